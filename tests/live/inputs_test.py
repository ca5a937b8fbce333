#!/usr/bin/env python3
"""Wrong, cut, packed and odd inputs, and the command line: exit codes, messages, the same report.

    inputs_test.py --program build/dev/coldcase --work build/dev/live/inputs

One row per check. Exit status: 0 all passed, 1 not, 77 nothing could be tried. A check that this
machine cannot make says why. Cores are deleted unless --keep is given.
"""
from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Sequence

import makecore

HERE = os.path.dirname(os.path.abspath(__file__))
SHARE = os.path.join(HERE, "..", "..", "share", "coldcase")
SYSTEM_PYTHON = "/usr/bin/python3"
TIMEOUT = 60.0
NOBODY = 65534
TABLES = ("threads", "stacks", "locks", "modules")
NOISE = ("internal error", "terminate called", "what():", "Traceback", "runtime error", "#0 ")

Done = subprocess.CompletedProcess
Problems = List[str]


class Bench:
    """The program under test, a folder to work in, and cores that are made when first asked for."""

    def __init__(self, program: str, work: str) -> None:
        self.program, self.work = program, work
        self.built = os.path.join(work, "built")
        self._cores: Dict[str, makecore.Core] = {}

    def core(self, program: str, dump: str) -> makecore.Core:
        folder = os.path.join(self.work, "%s-%s" % (program, dump))
        if folder not in self._cores:
            self._cores[folder] = makecore.make_core(program, dump, folder, self.built,
                                                     SYSTEM_PYTHON)
        return self._cores[folder]

    def path(self, name: str, content: bytes = b"", mode: int = 0o644) -> str:
        """A new file in the work folder."""
        path = os.path.join(self.work, name)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def cut(self, core: makecore.Core, percent: int) -> str:
        with open(core.path, "rb") as file:
            size = os.path.getsize(core.path) * percent // 100
            return self.path("cut.core", file.read(size))

    def run(self, *arguments: str, **options: Any) -> "Done[str]":
        settings: Dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                                    "stderr": subprocess.PIPE, "timeout": TIMEOUT}
        settings.update(options)
        done = subprocess.run([self.program, *arguments], **settings)
        out, err = ((text or b"").decode("utf-8", "replace") for text in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(arguments, done.returncode, out, err)

    def report(self, *arguments: str, **options: Any) -> Dict[str, Any]:
        done = self.run("analyze", *arguments, "--format", "json", **options)
        if not done.stdout:
            raise ValueError("no report, exit %d: %s" % (done.returncode, done.stderr.strip()))
        return json.loads(done.stdout)

    def clean(self) -> None:
        for name in os.listdir(self.work):
            if name != "built":
                path = os.path.join(self.work, name)
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


Check = Callable[[Bench], Problems]
CHECKS: List[Check] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


# What is wrong with an answer


def wrong_code(done: "Done[str]", *codes: int) -> Problems:
    if done.returncode in codes:
        return []
    wanted = " or ".join(map(str, codes))
    return ["exit %d, not %s: %s: %s" % (done.returncode, wanted, " ".join(done.args)[-160:],
                                         done.stderr.strip()[:160])]


def unclear(done: "Done[str]", code: int, name: str, advice: bool = True) -> Problems:
    """Whether an error is not what a user needs: the file, what happened, what to try; no noise."""
    said, problems = done.stderr.strip(), wrong_code(done, code)
    if done.stdout:
        problems.append("prints on standard output: %r" % done.stdout[:100])
    if name not in said:
        problems.append("does not name %s: %r" % (name, said[:160]))
    if len(said.splitlines()) > 4:
        problems.append("%d lines: %r" % (len(said.splitlines()), said[:160]))
    if advice and not re.search(r"[.;]\s+\S|\n", said[said.find(name) + 1:]):
        problems.append("tells what happened, not what to try: %r" % said[-160:])
    return problems + ["noise: %r" % said[:200] for noise in NOISE if noise in said]


def refused(bench: Bench, path: str, code: int = 65, advice: bool = True) -> Problems:
    return unclear(bench.run("analyze", path), code, path, advice)


def without_inputs(report: Dict[str, Any]) -> Dict[str, Any]:
    return {key: value for key, value in report.items() if key != "inputs"}


def differs(one: Dict[str, Any], other: Dict[str, Any], what: str) -> Problems:
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return ["%s: another report, in %s" % (what, ", ".join(keys))] if keys else []


def pack(bench: Bench, core: makecore.Core) -> str:
    if shutil.which("zstd") is None:
        raise makecore.CannotMake("no zstd")
    packed = os.path.join(bench.work, "packed.core.zst")
    makecore.run(["zstd", "-q", "-f", core.path, "-o", packed])
    return packed


# Not a core


@check
def no_such_file(bench: Bench) -> Problems:
    missing = os.path.join(bench.work, "missing")
    return (refused(bench, missing, 66, advice=False) +
            unclear(bench.run(missing), 66, missing, advice=False) +
            unclear(bench.run("show", "threads", missing), 66, missing, advice=False))


@check
def a_directory(bench: Bench) -> Problems:
    return refused(bench, bench.work)


@check
def an_empty_file(bench: Bench) -> Problems:
    return refused(bench, bench.path("empty"))


@check
def a_text_file(bench: Bench) -> Problems:
    return refused(bench, bench.path("text", b"2024-01-01 all is well\n" * 50))


@check
def not_an_elf(bench: Bench) -> Problems:
    return refused(bench, bench.path("noise", bytes(range(256)) * 64))


@check
def an_elf_that_is_no_core(bench: Bench) -> Problems:
    library = os.path.join(bench.built, "libtable_lock.so")
    return (refused(bench, os.path.join(bench.built, "debug", "abba_mutex")) +
            refused(bench, library) + unclear(bench.run(library), 65, library))


@check
def a_program_beside_the_core(bench: Bench) -> Problems:
    """As gdb takes it: PROGRAM CORE, PROGRAM -c CORE."""
    core = bench.core("abba_mutex", "kernel")
    program, plain = core.executable, bench.report(core.path, "--executable", core.executable)
    problems = []
    for words in ([program, core.path], [program, "-c", core.path], ["-c", core.path, program],
                  ["--executable", program, core.path]):
        for command in (["analyze"], []):
            if not command and words[0].startswith("-"):
                continue  # the short form begins with a file
            done = bench.run(*command, *words, "--format", "json")
            here = wrong_code(done, 2)
            problems += here or differs(plain, json.loads(done.stdout), " ".join(done.args))
    return problems


def patched(bench: Bench, offset: int, content: bytes) -> Problems:
    with open(bench.core("abba_mutex", "kernel").path, "rb") as file:
        head = bytearray(file.read(1 << 16))
    head[offset:offset + len(content)] = content
    return refused(bench, bench.path("patched.core", bytes(head)))


@check
def a_32_bit_core(bench: Bench) -> Problems:
    return patched(bench, 4, b"\x01")  # EI_CLASS


@check
def a_big_endian_core(bench: Bench) -> Problems:
    return patched(bench, 5, b"\x02")  # EI_DATA


@check
def a_foreign_machine(bench: Bench) -> Problems:
    # e_machine: aarch64 is another machine until it is read; 0xfefe nobody knows
    return patched(bench, 18, b"\xf3\x00") + patched(bench, 18, b"\xfe\xfe")


# Cut and packed


@check
def a_kernel_core_cut(bench: Bench) -> Problems:
    """Its notes come first: the threads survive, and too little to judge is not `none`."""
    problems = []
    for program, percent in (("abba_mutex", 1), ("abba_mutex", 40), ("abba_mutex", 99),
                             ("founding_case", 40), ("founding_case", 95)):
        core = bench.core(program, "kernel")
        done = bench.run("analyze", bench.cut(core, percent), "--format", "json")
        here = wrong_code(done, 2, 4)
        report = json.loads(done.stdout)
        if sorted(thread.get("tid", 0) for thread in report["threads"]) != core.tids:
            here.append("threads are missing")
        if report["inputs"][0].get("truncated") is not True:
            here.append("not marked as truncated")
        if "truncated" not in [note["code"] for note in report["notes"]]:
            here.append("no note says so")
        mismatches = [m["name"] for m in report["modules"] if m["found"] == "mismatch"]
        if mismatches:
            here.append("called another build, but they are the same: %s" % ", ".join(mismatches))
        problems += ["%s, %d %%: %s" % (program, percent, problem) for problem in here]
    return problems


@check
def a_gcore_cut(bench: Bench) -> Problems:
    """Its notes come last: without them there are modules at most."""
    core, problems = bench.core("abba_mutex", "gcore"), []
    for percent in (1, 40, 99):
        path = bench.cut(core, percent)
        done = bench.run("analyze", path, "--format", "json")
        if done.returncode == 65:
            here = unclear(done, 65, path)
        else:
            here, report = wrong_code(done, 4), json.loads(done.stdout)
            if percent > 1 and not report["modules"]:
                here.append("no modules")
            if report["inputs"][0].get("truncated") is not True:
                here.append("not marked as truncated")
        problems += ["%d %%: %s" % (percent, problem) for problem in here]
    return problems


@check
def zstd(bench: Bench) -> Problems:
    problems = []
    for program, dump in (("abba_mutex", "kernel"), ("abba_mutex", "gcore"),
                          ("founding_case", "kernel")):
        core = bench.core(program, dump)
        plain, packed = bench.report(core.path), bench.report(pack(bench, core))
        problems += differs(without_inputs(plain), without_inputs(packed), program)
        source = packed["inputs"][0]
        if "zst" not in source.get("compression", ""):
            problems.append("compression is %r" % source.get("compression"))
        if source.get("identity") != plain["inputs"][0].get("identity"):
            problems.append("another identity")
    return problems


def seekable(bench: Bench, core: makecore.Core, name: str, lie: str = "") -> str:
    """The core in the zstd seekable format: frames of 256 KiB, then a table of their sizes."""
    if shutil.which("zstd") is None:
        raise makecore.CannotMake("no zstd")
    frames, sizes = [], []
    with open(core.path, "rb") as file:
        while content := file.read(256 * 1024):
            told = ["--stream-size=%d" % len(content)] if lie != "sizes" else []
            done = subprocess.run(["zstd", "-q", "-c", *told], input=content, check=True,
                                  stdout=subprocess.PIPE)
            frames.append(done.stdout)
            sizes.append(len(content))
    if lie:  # where a frame lies that is read, and that all of them together are right
        sizes[0], sizes[1] = sizes[0] + 4096, sizes[1] - 4096
    rows = b"".join(struct.pack("<II", len(frame), size) for frame, size in zip(frames, sizes))
    table = struct.pack("<II", 0x184D2A5E, len(rows) + 9) + rows
    footer = struct.pack("<IBI", len(frames), 0, 0x8F92EAB1)
    return bench.path(name, b"".join(frames) + table + footer)


@check
def zstd_by_frames(bench: Bench) -> Problems:
    """A table that is right, none, one that the frames contradict at once or when they are read."""
    problems = []
    for program, dump in (("abba_mutex", "gcore"), ("founding_case", "kernel")):
        core = bench.core(program, dump)
        reports = {"packed": bench.report(pack(bench, core))}
        for lie in ("", "headers", "sizes"):
            path = seekable(bench, core, "seekable.zst", lie)
            reports["seekable " + lie] = bench.report(path)
            shown = bench.run("show", "threads", path)
            problems += differing_text(shown, bench.run("show", "threads", core.path))
        for name, report in reports.items():
            plain = bench.report(core.path)
            problems += differs(without_inputs(plain), without_inputs(report), name)
            source, wanted = report["inputs"][0], reports["packed"]["inputs"][0]
            for one in (source, wanted):
                for key in ("path", "file_bytes", "taken"):
                    one.pop(key, None)
            problems += differs(wanted, source, name)
    return problems


def differing_text(one: "Done[str]", other: "Done[str]") -> Problems:
    return [] if one.stdout == other.stdout else ["another table: %r" % one.stdout[:200]]


@check
def zstd_cut_short(bench: Bench) -> Problems:
    with open(pack(bench, bench.core("abba_mutex", "kernel")), "rb") as file:
        packed = file.read()
    done = bench.run("analyze", bench.path("half.zst", packed[:len(packed) // 2]),
                     "--format", "json")
    problems = wrong_code(done, 2, 4)
    if not problems and json.loads(done.stdout)["inputs"][0].get("truncated") is not True:
        problems.append("not marked as truncated")
    return problems + refused(bench, bench.path("start.zst", packed[:30]))


@check
def zstd_of_garbage(bench: Bench) -> Problems:
    noise = bytes((i * i * 31 + i * 7) % 251 for i in range(20000))
    return (refused(bench, bench.path("noise.zst", noise)) +
            refused(bench, bench.path("magic.zst", b"\x28\xb5\x2f\xfd" + noise)))


@check
def standard_input(bench: Bench) -> Problems:
    core, problems = bench.core("abba_mutex", "kernel"), []
    plain = without_inputs(bench.report(core.path))
    for path in (core.path, pack(bench, core)):
        with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as source:
            piped = bench.report("-", stdin=source.stdout)
        problems += differs(plain, without_inputs(piped), "from a pipe: " + os.path.basename(path))
    nothing = bench.run("analyze", "-")
    return problems + unclear(nothing, 65, "standard input")


@check
def a_bad_input_beside_a_good_one(bench: Bench) -> Problems:
    """65 and 66 are for when nothing was usable; a report lists what it could not read."""
    core, problems = bench.core("abba_mutex", "kernel").path, []
    for bad in (bench.path("text", b"all is well\n"), os.path.join(bench.work, "missing")):
        done = bench.run("analyze", core, bad, "--format", "json")
        here = wrong_code(done, 2)
        if not here and "problem" not in json.loads(done.stdout)["inputs"][1]:
            here.append("the report does not list the other input")
        problems += here
    return problems


@check
def a_bad_report(bench: Bench) -> Problems:
    """`render` is as clear about its input as `analyze`."""
    whole = bench.run("analyze", bench.core("abba_mutex", "kernel").path, "--format", "json").stdout
    missing, problems = os.path.join(bench.work, "missing.json"), []
    for path, code in ((missing, 66), (bench.work, 65), (bench.path("empty.json"), 65),
                       (bench.path("cut.json", whole.encode()[:4000]), 65),
                       (bench.path("other.json", b'{"schema": "other"}'), 65)):
        problems += unclear(bench.run("render", path), code, path, advice=code == 65)
    return problems


# Permissions, outputs, races


def as_nobody() -> None:
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


@check
def a_core_of_another_user(bench: Bench) -> Problems:
    path = bench.path("secret.core", b"\x7fELF", 0o600 if os.getuid() == 0 else 0)
    try:
        done = bench.run("analyze", path, preexec_fn=as_nobody)
    except (PermissionError, subprocess.SubprocessError):
        raise makecore.CannotMake("another user cannot run the program here") from None
    return unclear(done, 77, path)


@check
def an_output_that_cannot_be_written(bench: Bench) -> Problems:
    core, folder = bench.core("abba_mutex", "kernel"), os.path.join(bench.work, "folder.md")
    os.makedirs(folder, exist_ok=True)
    problems = []
    for target in (os.path.join(bench.work, "missing", "r.md"), folder):
        problems += unclear(bench.run("analyze", core.path, "-o", target), 73, target, advice=False)
    with open("/dev/full", "wb") as full:
        problems += wrong_code(bench.run("analyze", core.path, stdout=full), 73)
    return problems + ["left behind: " + name for name in os.listdir(bench.work) if ".tmp" in name]


@check
def an_output_that_is_no_file(bench: Bench) -> Problems:
    """A pipe or a device is written to, never replaced by a file."""
    core, pipe = bench.core("abba_mutex", "kernel"), os.path.join(bench.work, "pipe.json")
    os.mkfifo(pipe)
    read: List[bytes] = []

    def drain() -> None:
        with open(pipe, "rb") as file:
            read.append(file.read())

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    done = bench.run("analyze", core.path, "-q", "-o", pipe)
    kept = stat.S_ISFIFO(os.stat(pipe).st_mode)
    reader.join(2 if kept else 0)
    problems = wrong_code(done, 2) + ([] if kept else ["the pipe was replaced by a file"])
    return problems if not kept or read else problems + ["nothing came through the pipe"]


SHRINK = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
  void *mapped = (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
  struct stat wanted, given;
  const char *path = getenv("SHRINK_FILE");
  if (path && fd >= 0 && stat(path, &wanted) == 0 && fstat(fd, &given) == 0 &&
      wanted.st_ino == given.st_ino && wanted.st_dev == given.st_dev)
    if (truncate(path, atol(getenv("SHRINK_TO"))) != 0) abort();
  return mapped;
}
void *mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
  return mmap(at, size, protection, flags, fd, offset);
}
"""


@check
def an_input_that_shrinks(bench: Bench) -> Problems:
    """Cut in the moment after it was mapped: a message and 74, no crash."""
    core = bench.core("abba_mutex", "gcore")
    source = bench.path("shrink.c", SHRINK.encode())
    library = os.path.join(bench.work, "shrink.so")
    makecore.run(["gcc", "-shared", "-fPIC", "-o", library, source])
    problems = []
    for size in (0, os.path.getsize(core.path) // 2):
        path = os.path.join(bench.work, "shrinking.core")
        shutil.copyfile(core.path, path)
        environment = dict(os.environ, LD_PRELOAD=library, SHRINK_FILE=path, SHRINK_TO=str(size))
        done = bench.run("analyze", path, env=environment)
        if "ASan" in done.stderr:
            raise makecore.CannotMake("a sanitizer's program takes no LD_PRELOAD")
        if os.path.getsize(path) != size:
            raise makecore.CannotMake("the program does not map its input through mmap")
        problems += unclear(done, 74, "coldcase", advice=False)
        if not done.stderr.strip():
            problems.append("no message")
    return problems


@check
def a_reader_that_goes_away(bench: Bench) -> Problems:
    core = bench.core("abba_mutex", "kernel")
    done = subprocess.run(["sh", "-c", '"$0" analyze "$1" | head -1', bench.program, core.path],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=TIMEOUT)
    problems = [] if done.stdout.count("\n") == 1 and not done.stderr else ["said %r" % done.stderr]
    ends = os.pipe()
    os.close(ends[0])
    closed = bench.run("analyze", core.path, stdout=ends[1])
    os.close(ends[1])
    if closed.stderr:
        problems.append("complains: %r" % closed.stderr)
    return problems + wrong_code(closed, -13, 2, 73)


# The command line


@check
def usage_errors(bench: Bench) -> Problems:
    core, problems = bench.core("abba_mutex", "kernel").path, []
    for name, words in (("--nosuch", ["analyze", core, "--nosuch"]),
                        ("xml", ["analyze", core, "--format", "xml"]),
                        ("nosuch", ["nosuch"]), ("nosuch", ["nosuch", core]),
                        ("xyz", ["analyze", core, "-o", "r.xyz"]),
                        ("noformat", ["analyze", core, "-o", "noformat"]),
                        ("json:", ["analyze", core, "-o", "json:"]),
                        ("modules", ["show", "nosuch", core]), ("nosuch", ["patterns", "nosuch"]),
                        ("nosuch", ["schema", "nosuch"]), ("no core", ["analyze"])):
        problems += unclear(bench.run(*words), 64, name, advice=False)
    nothing = bench.run()
    return problems + (wrong_code(nothing, 0) if nothing.stdout else wrong_code(nothing, 64))


@check
def several_outputs(bench: Bench) -> Problems:
    core = bench.core("abba_mutex", "kernel").path
    files = {name: os.path.join(bench.work, "r." + suffix)
             for name, suffix in (("md", "md"), ("json", "json"), ("text", "txt"))}
    outputs = [word for path in files.values() for word in ("-o", path)]
    done = bench.run("analyze", core, *outputs)
    problems = wrong_code(done, 2)
    if len(done.stdout.strip().splitlines()) != 1:
        problems.append("standard output holds no one-line summary: %r" % done.stdout[:200])
    for name, path in files.items():
        with open(path, encoding="utf-8") as file:
            if file.read() != bench.run("analyze", core, "--format", name).stdout:
                problems.append("-o %s is not --format %s" % (os.path.basename(path), name))
    quiet = bench.run("analyze", core, "-q", *outputs)
    return problems + wrong_code(quiet, 2) + (["-q prints"] if quiet.stdout else [])


@check
def formats(bench: Bench) -> Problems:
    core = bench.core("abba_mutex", "kernel").path
    plain = bench.run("analyze", core, "--format", "json")
    problems = wrong_code(plain, 2)
    if bench.run("analyze", core, "-o", "json:-").stdout != plain.stdout:
        problems.append("json:- is not --format json")
    for words in ([core], [core, "--format", "json"], [core, "--title-only"]):
        if bench.run(*words).stdout != bench.run("analyze", *words).stdout:
            problems.append("the short form differs: %s" % words[1:])
    named = bench.run("analyze", "-c", core, "--format", "json")
    if named.stdout != plain.stdout:
        problems.append("-c CORE differs")
    title = bench.run("analyze", core, "--title-only").stdout
    if title.strip() != json.loads(plain.stdout)["verdict"]["headline"] or title.count("\n") != 1:
        problems.append("--title-only says %r" % title)
    return problems


@check
def options_before_the_core(bench: Bench) -> Problems:
    """An option takes its own value, never the core that follows."""
    core, problems = bench.core("abba_mutex", "kernel").path, []
    target = os.path.join(bench.work, "before.md")
    for words in (["-o", target], ["-o", target, "-o", "json:-"], ["--sysroot", bench.work],
                  ["--debug-dir", bench.work], ["--format", "json"], ["--width", "100"]):
        problems += wrong_code(bench.run("analyze", *words, core), 2)
    return problems + wrong_code(bench.run("show", "--format", "json", "threads", core), 0)


@check
def exit_zero(bench: Bench) -> Problems:
    core = bench.core("abba_mutex", "kernel").path
    return (wrong_code(bench.run("analyze", core, "--exit-zero"), 0) +
            wrong_code(bench.run("analyze", core + ".missing", "--exit-zero"), 66))


@check
def tables(bench: Bench) -> Problems:
    problems = []
    for core in (bench.core("abba_mutex", "kernel"), bench.core("founding_case", "kernel")):
        for table in TABLES:
            text = bench.run("show", table, core.path)
            rows = bench.run("show", table, core.path, "--format", "json")
            problems += wrong_code(text, 0) + wrong_code(rows, 0)
            count = len(json.loads(rows.stdout))
            lines = len(text.stdout.splitlines())
            if not 0 < count == lines - 1:  # one line of headings
                problems.append("%s: %d rows of JSON, %d lines of text" % (table, count, lines))
            if table == "threads" and count != len(core.tids):
                problems.append("%d threads, not %d" % (count, len(core.tids)))
    return problems


@check
def python_tables(bench: Bench) -> Problems:
    """What `show python` tells of a core with Python in it, and that it says so of one without."""
    problems = []
    core = bench.core("founding_case", "kernel")
    text = bench.run("show", "python", core.path)
    value = bench.run("show", "python", core.path, "-f", "json")
    problems += wrong_code(text, 0) + wrong_code(value, 0)
    sections = json.loads(value.stdout)
    if list(sections)[:4] != ["interpreters", "threads", "stacks", "locks"]:
        problems.append("sections " + ", ".join(sections))
    lines = len(text.stdout.splitlines())
    rows = sum(len(section) for section in sections.values())
    if lines != rows + 3 * len(sections) - 1:  # a name, headings, and an empty line between
        problems.append("%d rows of JSON, %d lines of text" % (rows, lines))
    known = set(core.truth["threads"].values())
    for thread in sections["threads"]:
        if int(thread["LWP"]) in known and thread["name"] not in core.truth["threads"]:
            problems.append("a thread is called " + thread["name"])
    if [lock["kind"] for lock in sections["locks"]][:1] != ["gil"]:
        problems.append("the GIL is missing")
    none = bench.run("show", "python", bench.core("abba_mutex", "kernel").path)
    if "No CPython" not in none.stdout:
        problems.append("of a core without Python: " + none.stdout)
    return problems


@check
def patterns(bench: Bench) -> Problems:
    every = bench.run("patterns")
    one = bench.run("patterns", "gil-driver-inversion")
    problems = wrong_code(every, 0) + wrong_code(one, 0)
    for slug in ("lock-cycle", "gil-lock-inversion", "gil-driver-inversion", "self-deadlock"):
        if slug not in every.stdout:
            problems.append("%s is not listed" % slug)
    return problems if "gil-driver-inversion" in one.stdout else problems + ["says nothing of it"]


@check
def schemas(bench: Bench) -> Problems:
    problems = []
    for name, suffix in (("report", ""), ("report-closed", ".closed")):
        done = bench.run("schema", name)
        problems += wrong_code(done, 0)
        json.loads(done.stdout)
        path = os.path.join(SHARE, "coldcase-report-1%s.schema.json" % suffix)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                if file.read() != done.stdout:
                    problems.append("%s is not the file in share/" % name)
    return problems + ([] if bench.run("schema").stdout else ["`schema` alone prints nothing"])


@check
def version_and_help(bench: Bench) -> Problems:
    times = []
    for _ in range(10):
        before = time.monotonic()
        done = bench.run("--version")
        times.append(time.monotonic() - before)
    problems = wrong_code(done, 0) + ([] if "coldcase " in done.stdout else ["no version"])
    with open(bench.program, "rb") as program:
        slow = b"__asan_init" in program.read()  # a sanitizer takes its time to start
    if min(times) > 0.020 and not slow:
        problems.append("--version takes %d ms" % (min(times) * 1000))
    for words in ([], ["analyze"], ["show"], ["render"], ["patterns"], ["schema"],
                  ["capture"]):
        done = bench.run(*words, "--help")
        problems += wrong_code(done, 0)
        if not done.stdout or done.stderr:
            problems.append("no help for %s" % words)
    return problems


# Rows


def run_check(bench: Bench, function: Check) -> Problems:
    try:
        return function(bench)
    except (makecore.WentWrong, OSError, subprocess.TimeoutExpired) as problem:
        return ["%s: %s" % (type(problem).__name__, problem)]
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as problem:  # no report
        return ["%s: %s" % (type(problem).__name__, problem)]


def run_checks(bench: Bench, checks: Sequence[Check]) -> int:
    passed = failed = 0
    for function in checks:
        name = function.__name__.replace("_", " ")
        try:
            problems = run_check(bench, function)
        except makecore.CannotMake as reason:
            print("%-34s skip: %s" % (name, reason), flush=True)
            continue
        print("%-34s %s" % (name, "FAIL" if problems else "ok"), flush=True)
        for problem in problems:
            print("    " + problem, flush=True)
        failed += bool(problems)
        passed += not problems
    print("%d passed, %d failed, %d skipped" % (passed, failed, len(checks) - passed - failed))
    return 1 if failed else 0 if passed else 77


def run_all(description: str, checks: Sequence[Check]) -> int:
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--only", help="the checks whose name contains this")
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    options = parser.parse_args()
    bench = Bench(os.path.abspath(options.program), os.path.abspath(options.work))
    os.makedirs(bench.work, exist_ok=True)
    bench.clean()
    try:
        makecore.build_all(bench.built)
        return run_checks(bench, [c for c in checks if (options.only or "") in c.__name__])
    except makecore.CannotMake as reason:
        print("skip: %s" % reason)
        return 77
    finally:
        if not options.keep:
            bench.clean()


if __name__ == "__main__":
    sys.exit(run_all(__doc__ or "", CHECKS))
