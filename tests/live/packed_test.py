#!/usr/bin/env python3
"""Cores as people hand them in: packed, in archives with their files, in collectors' wrappings.

    packed_test.py --program build/dev/coldcase --work build/dev/live/packed

One row per check. Exit status: 0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from typing import Any, Dict, List, Sequence, Tuple

import makecore
from inputs_test import (SYSTEM_PYTHON, Bench, Check, Problems, differs, pack, refused, run_all,
                         without_inputs, wrong_code)

CHECKS: List[Check] = []
BOOT_ID = "0123456789abcdef" * 2


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def lz4(content: bytes) -> bytes:
    if shutil.which("lz4") is None:
        raise makecore.CannotMake("no lz4")
    return subprocess.run(["lz4", "-q", "-c"], input=content, check=True,
                          stdout=subprocess.PIPE).stdout


def tar(files: Dict[str, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def zipped(files: Dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def same_story(bench: Bench, core: makecore.Core, path: str, what: str) -> Problems:
    plain, packed = bench.report(core.path), bench.report(path)
    problems = differs(without_inputs(plain), without_inputs(packed), what)
    if packed["inputs"][0].get("identity") != plain["inputs"][0].get("identity"):
        problems.append("%s: another identity" % what)
    return problems


@check
def packings(bench: Bench) -> Problems:
    core, problems = bench.core("founding_case", "kernel"), []
    content = read(core.path)
    for name, packed in (("xz", lzma.compress(content, preset=0)), ("gz", gzip.compress(content, 1)),
                         ("bz2", bz2.compress(content, 1)), ("lz4", lz4(content))):
        path = bench.path("core." + name, packed)
        problems += same_story(bench, core, path, name)
        with open(path, "rb") as file:
            done = subprocess.run([bench.program, "analyze", "-", "--format", "json"], stdin=file,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        problems += differs(without_inputs(bench.report(path)),
                            without_inputs(json.loads(done.stdout)), name + " on stdin")
    return problems


@check
def archives(bench: Bench) -> Problems:
    core, problems = bench.core("founding_case", "kernel"), []
    files = {"logs/build.txt": b"text", "dump/core.885": read(core.path)}
    for name, packed in (("a.tar", tar(files)), ("a.tar.gz", tar(files, "w:gz")),
                         ("a.tar.xz", tar(files, "w:xz")), ("a.zip", zipped(files)),
                         ("stored.zip", zipped(files, zipfile.ZIP_STORED)),
                         ("twice.zip", zipped({"core.zst": read(pack(bench, core))}))):
        problems += same_story(bench, core, bench.path(name, packed), name)
    return problems


def moved_away(bench: Bench) -> Tuple[makecore.Core, str, bytes]:
    """A core whose program is gone from where it ran; the program's bytes."""
    core = bench.core("abba_mutex", "kernel")
    program = next(module["path"] for module in bench.report(core.path)["modules"]
                   if module["path"].endswith("/abba_mutex"))
    program = os.path.expanduser(program)
    return core, program, read(program)


def found_in(report: Dict[str, Any]) -> str:
    module = next(module for module in report["modules"] if module["name"] == "abba_mutex")
    return "%s %s" % (module["found"], module.get("file", ""))


@check
def files_beside_the_core(bench: Bench) -> Problems:
    """In its archive, in its folder, in a copied tree beside it; another build is not used."""
    core, program, content = moved_away(bench)
    at_home = bench.report(core.path)
    problems: Problems = []
    os.rename(program, program + ".away")
    try:
        dump = read(core.path)
        for name, packed in (("with.tar", tar({"core": dump, "abba_mutex": content})),
                             ("tree.tar.gz", tar({"root" + program: content, "core": dump}, "w:gz")),
                             ("with.zip", zipped({"core": dump, "bin/abba_mutex": content}))):
            report = bench.report(bench.path(name, packed))
            if not found_in(report).startswith("file ") or ":" not in found_in(report):
                problems.append("%s: %s" % (name, found_in(report)))
            problems += differs({"findings": at_home["findings"]}, {"findings": report["findings"]},
                                name)
        folder = os.path.join(bench.work, "folder")
        os.makedirs(folder, exist_ok=True)
        shutil.copy(core.path, os.path.join(folder, "core"))
        if found_in(bench.report(os.path.join(folder, "core"))).startswith("file"):
            problems.append("found where it is not: %s" % found_in(bench.report(folder + "/core")))
        shutil.copy("/bin/true", os.path.join(folder, "abba_mutex"))
        if not found_in(bench.report(folder + "/core")).startswith("mismatch"):
            problems.append("another program: %s" % found_in(bench.report(folder + "/core")))
        with open(os.path.join(folder, "abba_mutex"), "wb") as file:
            file.write(content)
        if not found_in(bench.report(folder + "/core")).startswith("file"):
            problems.append("in its folder: %s" % found_in(bench.report(folder + "/core")))
    finally:
        os.rename(program + ".away", program)
    return problems


@check
def side_car_in_an_archive(bench: Bench) -> Problems:
    core = bench.core("abba_mutex", "kernel")
    pid = bench.report(core.path)["processes"][0]["pid"]
    side_car = {"schema": "coldcase/side-car", "schema_version": "1.0", "process": {"pid": pid}}
    path = bench.path("side.tar", tar({"x/core.1": read(core.path),
                                       "x/core.1.side-car.json": json.dumps(side_car).encode()}))
    inputs = bench.report(path)["inputs"]
    return [] if "sidecar" in [row["kind"] for row in inputs] else ["not used: %r" % inputs]


@check
def several_cores_in_an_archive(bench: Bench) -> Problems:
    one, two = bench.core("abba_mutex", "kernel"), bench.core("founding_case", "kernel")
    path = bench.path("two.tar", tar({"core.1": read(one.path), "core.2": read(two.path)}))
    problems = [] if len(bench.report(path)["processes"]) == 2 else ["not both are told"]
    return problems + same_story(bench, two, path + ":core.2", "one of two")


@check
def collectors(bench: Bench) -> Problems:
    """systemd's name, ABRT's folder, Apport's report."""
    core, content = bench.core("abba_mutex", "kernel"), b""
    content = read(core.path)
    name = "core.abba_mutex.1000.%s.885.1700000000000000" % BOOT_ID
    path = bench.path(name, content)
    problems = same_story(bench, core, path, "systemd")
    taken = bench.report(path)["inputs"][0].get("taken", {})
    if taken != {"at": "2023-11-14T22:13:20Z", "source": "name"}:
        problems.append("taken: %r" % taken)
    folder = os.path.join(bench.work, "ccpp-2026-11-21-06:55:00-885")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "coredump"), "wb") as file:
        file.write(content)
    problems += same_story(bench, core, folder, "ABRT")
    packed = gzip.compress(content, 1)
    report = "ProblemType: Crash\nCoreDump: base64\n" + "".join(
        " %s\n" % base64.b64encode(packed[at:at + (1 << 20)]).decode()
        for at in range(0, len(packed), 1 << 20)) + "ExecutablePath: /usr/bin/x\n"
    problems += same_story(bench, core, bench.path("_usr_bin_x.0.crash", report.encode()), "Apport")
    return problems + refused(bench, bench.path("no.crash", b"ProblemType: Crash\n"))


@check
def triage_of_artifacts(bench: Bench) -> Problems:
    """Packed cores and archives among logs, packed logs too: each core is one row, also those of
    one archive that have nothing to do with each other."""
    if b"__asan_init" in read(bench.program):
        raise makecore.CannotMake("a sanitizer does not fit into a worker's limits")
    one, two = bench.core("abba_mutex", "kernel"), bench.core("founding_case", "kernel")
    folder, out = os.path.join(bench.work, "artifacts"), os.path.join(bench.work, "triaged")
    os.makedirs(folder, exist_ok=True)
    for name, content in (("core.1.xz", lzma.compress(read(one.path), preset=0)),
                          ("job.tar.gz", tar({"core": read(two.path), "log": b"text"}, "w:gz")),
                          ("night.tar", tar({"a/core": read(one.path), "b/core": read(two.path)})),
                          ("log.gz", gzip.compress(b"a log\n" * 1000)), ("log.txt", b"a log\n"),
                          ("empty.tar", tar({"log": b"text"}))):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    done = bench.run("triage", folder, "-o", out)
    problems = wrong_code(done, 2)
    if "2 incidents: 2 distinct problems" not in done.stdout:
        problems.append(done.stdout[:300])
    shutil.rmtree(out, ignore_errors=True)
    return problems


@check
def what_a_filter_lost(bench: Bench) -> Problems:
    """coredump_filter is not in a core: what it kept out is, and the note says what to echo where."""
    program = ("import os, signal, sys, threading, time\n"
               "open('/proc/self/coredump_filter', 'w').write(sys.argv[1])\n"
               "lock = threading.Lock(); lock.acquire()\n"
               "threading.Thread(target=lock.acquire).start()\n"
               "os.kill(os.getpid(), signal.SIGABRT)\n")
    problems: Problems = []
    for told, code in (("0x32", "filter-stacks"), ("0x23", "module-unverified"), ("0x33", "")):
        folder = os.path.join(bench.work, "filter-" + told)
        os.makedirs(folder, exist_ok=True)
        subprocess.run(["/bin/bash", "-c", 'ulimit -c unlimited; exec "$0" "$@"', SYSTEM_PYTHON,
                        "-c", program, told], cwd=folder, timeout=60, stderr=subprocess.DEVNULL)
        cores = os.listdir(folder)
        if not cores:
            raise makecore.CannotMake("the kernel writes no core here")
        notes = bench.report(os.path.join(folder, cores[0]))["notes"]
        advice = {note["code"]: note.get("advice", "") for note in notes}
        if code and "coredump_filter" not in advice.get(code, ""):
            problems.append("%s: %r" % (told, notes))
        if not code and ("filter-stacks" in advice or "module-unverified" in advice):
            problems.append("%s, the default: %r" % (told, notes))
    return problems


@check
def what_a_cut_costs(bench: Bench) -> Problems:
    """The percentage, and whose stacks it is."""
    core = bench.core("founding_case", "kernel")
    for percent in (95, 90, 80, 60):
        report = bench.report(bench.cut(core, percent))
        text = next(note["text"] for note in report["notes"] if note["code"] == "truncated")
        if not re.match(r"%d\.\d %% of the core's declared bytes are present" % (percent - 1), text) \
                and not text.startswith("%d." % percent):
            return ["%d %%: %s" % (percent, text)]
        if re.search(r"the stacks? of LWP \d+.* (is|are) affected", text):
            return []
    return ["no stack was affected"]


@check
def what_is_no_core(bench: Bench) -> Problems:
    """Each is named, with what reads it."""
    problems: Problems = []
    for name, head, word in (("a.dmp", b"MDMP\x93\xa7", "minidump"), ("m", b"\xcf\xfa\xed\xfe", "Mach-O"),
                             ("c.img", b"gVisorSF\0\0", "gVisor"),
                             ("w.dmp", b"PAGEDU64", "Windows"), ("perf.data", b"PERFILE2", "perf"),
                             ("h.hprof", b"JAVA PROFILE 1.0.2\0", "heap dump"),
                             ("a.7z", b"7z\xbc\xaf\x27\x1c", "7z"),
                             ("tool.exe", b"MZ\x90\0", "Windows")):
        path = bench.path(name, head + os.urandom(64))
        problems += refused(bench, path, advice=False)
        if word not in bench.run("analyze", path).stderr:
            problems.append("%s: %s" % (name, bench.run("analyze", path).stderr.strip()))
    return problems


@check
def hostile_archives(bench: Bench) -> Problems:
    """Escaping names write nothing; bombs, endless entries and damage end in a message, soon."""
    core = read(bench.core("abba_mutex", "kernel").path)
    escaping = tar({"../../../../escaped.core": core, "/tmp/escaped.so": b"\x7fELF" + b"\0" * 60})
    problems = [] if bench.report(bench.path("escape.tar", escaping)) else ["not read"]
    for path in (os.path.join(bench.work, "..", "escaped.core"), "/tmp/escaped.so"):
        if os.path.exists(path):
            problems.append("written: " + path)
    zeros = gzip.compress(bytes(1 << 28), 1)
    cases: Sequence[Tuple[str, bytes]] = (
        ("bomb.gz", zeros), ("nested.zip", zipped({"a.zip": zipped({"b.zip": zeros})})),
        ("names.tar", tar({"d/%d" % i: b"" for i in range(140_000)})),
        ("long.tar", tar({"n" * 100_000: core})), ("cut.zip", zipped({"core": core})[:-30_000]),
        ("noise.tar", tar({"core": core})[:600] + os.urandom(5000)),
        ("head.xz", b"\xfd7zXZ\0" + os.urandom(500)), ("head.bz2", b"BZh91AY&SY" + os.urandom(500)))
    for name, content in cases:
        before = time.monotonic()
        done = bench.run("analyze", bench.path(name, content))
        seconds = time.monotonic() - before
        problems += ["%s: %s" % (name, problem) for problem in
                     wrong_code(done, 65, 4, 2)]
        if seconds > 20:
            problems.append("%s: took %.1f s" % (name, seconds))
        if done.returncode == 65 and name not in done.stderr:
            problems.append("%s: %s" % (name, done.stderr.strip()[:200]))
    return problems


if __name__ == "__main__":
    sys.exit(run_all(__doc__ or "", CHECKS))
