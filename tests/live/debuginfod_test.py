#!/usr/bin/env python3
"""Files from elsewhere: debuglink, dwz and minidebuginfo, a real debuginfod on loopback, "another
machine", and servers that misbehave.

    debuginfod_test.py --program build/dev/coldcase --work build/dev/live/debuginfod

One row per check. Exit status: 0 all passed, 1 not, 77 nothing could be tried. The servers are
children of this script and end with it.
"""
from __future__ import annotations

import argparse
import difflib
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, Type

import makecore
from file_servers import Debuginfod, Misbehaving, Part, TooLarge, section_of
from inputs_test import Bench, Check, Problems, run_checks, wrong_code

SOURCES = os.path.join(makecore.PROGRAMS, "debuginfod")
FLAGS = ["g++", "-std=c++20", "-O1", "-g", "-Wl,--build-id"]
PACKAGE = '{"type":"deb","os":"debian","name":"ring-town","version":"1.0-1","architecture":"amd64"}'
# Its source package: no name of one that could be installed.
FIND = "debuginfod-find %s %s"
BUDGET = 3.0
LATE = 2.5  # seconds after its budget, on a busy machine
CHECKS: List[Check] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


class Town(Bench):
    """One deadlock of a stripped program and library; their debug files, sharing one dwz file."""

    def __init__(self, program: str, work: str) -> None:
        super().__init__(program, work)
        self.home, self.served = os.path.join(work, "home"), os.path.join(work, "served")
        self.core_path = os.path.join(work, "away", "core")

    def at_home(self) -> str:
        """The core, its binaries where they ran: symbols by .gnu_debuglink."""
        if os.path.isdir(self.served):
            os.rename(self.served, self.home)
        if not os.path.isfile(self.core_path):
            self._build()
            self._dump()
        return self.core_path

    def away(self) -> str:
        """The core, its binaries moved away."""
        core = self.at_home()
        os.rename(self.home, self.served)
        return core

    def _build(self) -> None:
        for tool in ("g++", "objcopy", "strip", "dwz"):
            if shutil.which(tool) is None:
                raise makecore.CannotMake("no " + tool)
        os.makedirs(self.home)
        flags = [*FLAGS, "-I", makecore.PROGRAMS]
        library, program = (os.path.join(self.home, name) for name in ("libring.so", "worker"))
        makecore.run([*flags, "-shared", "-fPIC", "-fvisibility=hidden", "-o", library,
                      "-Xlinker", "--package-metadata=" + PACKAGE, os.path.join(SOURCES, "ring.cpp")])
        makecore.run([*flags, "-o", program, os.path.join(SOURCES, "worker.cpp"), library,
                      "-pthread", "-Wl,-rpath," + self.home])
        for path in (library, program):
            makecore.run(["objcopy", "--only-keep-debug", path, path + ".debug"])
        common = os.path.join(self.home, "common.dwz")
        makecore.run(["dwz", "-m", common, "-r", library + ".debug", program + ".debug"])
        for path in (library, program):
            makecore.run(["strip", path])
            makecore.run(["objcopy", "--add-gnu-debuglink=" + path + ".debug", path])

    def _dump(self) -> None:
        os.makedirs(os.path.dirname(self.core_path))
        os.rename(self.dump_again(), self.core_path)

    def dump_again(self) -> str:
        """The core of a further run; at home."""
        folder = os.path.join(self.work, "dumps")
        os.makedirs(folder, exist_ok=True)
        process = makecore.start([os.path.join(self.home, "worker")], folder)
        try:
            makecore.settle(process, makecore.read_truth(process))
            return makecore.dump_with_kernel(process, folder)
        finally:
            makecore.finish(process)

    def environment(self, cache: str = "cache", **more: str) -> Dict[str, str]:
        """A cache of its own, no proxy, no servers but those that a check names."""
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("DEBUGINFOD") and not name.endswith("_proxy")
                       and not name.endswith("_PROXY")}
        environment["DEBUGINFOD_CACHE_PATH"] = os.path.join(self.work, cache)
        environment.update(more)
        return environment

    def ask(self, core: str, *options: str, cache: str = "cache", **more: str) -> Dict[str, Any]:
        return self.report(core, *options, env=self.environment(cache, **more))


def town(bench: Bench) -> Town:
    assert isinstance(bench, Town)
    return bench


def story(report: Dict[str, Any]) -> Dict[str, Any]:
    """A report without what says where files were found and what came along."""
    kept = {key: value for key, value in report.items() if key not in ("inputs", "notes")}
    kept["modules"] = [{key: value for key, value in module.items()
                        if key not in ("found", "file", "debug_file", "supplement", "fetch")}
                       for module in report["modules"]]
    return kept


def same(one: Dict[str, Any], other: Dict[str, Any], what: str) -> Problems:
    first, second = story(one), story(other)
    return ["%s: another story, in %s" % (what, key) for key in first
            if first[key] != second.get(key)]


def module(report: Dict[str, Any], name: str) -> Dict[str, Any]:
    return next(m for m in report["modules"] if m["name"] == name)


def note_texts(report: Dict[str, Any]) -> str:
    return "\n".join(" ".join([n["text"], n.get("advice", ""), n.get("command", "")])
                     for n in report["notes"])


def frames_of(report: Dict[str, Any]) -> List[Dict[str, Any]]:
    return [frame for stack in report["stacks"] for frame in stack["frames"]]


def lines_of(report: Dict[str, Any]) -> List[str]:
    return ["%s:%s" % (os.path.basename(frame.get("file", "")), frame.get("line"))
            for frame in frames_of(report)]


def story_text(bench: Town, core: str, *options: str) -> str:
    done = bench.run(core, *options, env=bench.environment())
    return "\n".join(line for line in done.stdout.splitlines()
                     if "no debug information came for" not in line)


@check
def debuglink_and_dwz(bench: Bench) -> Problems:
    here = town(bench)
    report = here.ask(here.at_home())
    problems = []
    for name in ("worker", "libring.so"):
        found = module(report, name)
        if found["symbols"] != "dwarf" or not found.get("debug_file", "").endswith(name + ".debug"):
            problems.append("%s: debug file %r" % (name, found.get("debug_file")))
        if not found.get("supplement", "").endswith("/common.dwz"):
            problems.append("%s: no supplement: %r" % (name, found.get("supplement")))
    with open(os.path.join(SOURCES, "ring.cpp"), encoding="utf-8") as source:
        line = next(i for i, text in enumerate(source, 1) if "lock_guard" in text)
    if "ring.cpp:%d" % line not in lines_of(report):
        problems.append("no line of ring.cpp: %r" % lines_of(report))
    return problems


@check
def a_debug_file_of_another_build(bench: Bench) -> Problems:
    """Its name is right and its build-id is not: it is not used."""
    here = town(bench)
    core = here.at_home()
    path, kept = here.home + "/libring.so.debug", here.home + "/kept"
    os.rename(path, kept)
    try:
        shutil.copy(here.home + "/worker.debug", path)
        found = module(here.ask(core), "libring.so")
    finally:
        os.rename(kept, path)
    if found.get("debug_file") or found["symbols"] == "dwarf":
        return ["used: %r" % found]
    if found.get("package") != {"name": "ring-town", "version": "1.0-1"}:
        return ["no package: %r" % found]
    return [] if found.get("fetch") == FIND % ("debuginfo", found["build_id"]) else [
        "no command: %r" % found]


@check
def a_supplement_that_is_missing(bench: Bench) -> Problems:
    here = town(bench)
    core = here.at_home()
    os.rename(here.home + "/common.dwz", here.home + "/kept")
    try:
        report = here.ask(core)
    finally:
        os.rename(here.home + "/kept", here.home + "/common.dwz")
    found, problems = module(report, "worker"), []
    if found.get("supplement") or not found.get("fetch", "").startswith("debuginfod-find"):
        problems.append("%r" % found)
    if report["verdict"]["kind"] != "deadlock":
        problems.append("verdict %s" % report["verdict"]["kind"])
    return problems


@check
def debuglink_by_crc(bench: Bench) -> Problems:
    """No build-id on either side: the CRC of the whole file decides."""
    folder = os.path.join(bench.work, "crc")
    dumps, program = folder + "/dumps", folder + "/worker"
    os.makedirs(dumps)
    makecore.run([*FLAGS[:-1], "-Wl,--build-id=none", "-I", makecore.PROGRAMS, "-o", program,
                  SOURCES + "/worker.cpp", SOURCES + "/ring.cpp", "-pthread"])
    makecore.run(["objcopy", "--only-keep-debug", program, program + ".debug"])
    makecore.run(["strip", program])
    makecore.run(["objcopy", "--add-gnu-debuglink=" + program + ".debug", program])
    process = makecore.start([program], dumps)
    try:
        makecore.settle(process, makecore.read_truth(process))
        core = makecore.dump_with_kernel(process, dumps)
    finally:
        makecore.finish(process)
    good = module(bench.report(core), "worker")
    with open(program + ".debug", "ab") as debug:
        debug.write(b"\0")
    bad = module(bench.report(core), "worker")
    problems = [] if good["symbols"] == "dwarf" and good.get("identified_by") == "same_layout" else [
        "%r" % good]
    return problems + (["used in spite of its CRC: %r" % bad] if bad.get("debug_file") else [])


@check
def minidebuginfo(bench: Bench) -> Problems:
    """The symbols of functions packed into the library, as Fedora does; no other debug file."""
    if shutil.which("xz") is None:
        raise makecore.CannotMake("no xz")
    here = town(bench)
    core = here.at_home()
    folder = os.path.join(here.work, "mini")
    os.makedirs(folder, exist_ok=True)
    library, packed = here.home + "/libring.so", os.path.join(folder, "mini")
    makecore.run(["objcopy", "-S", "--remove-section=.gnu_debuglink", "--remove-section=.comment",
                  "--remove-section=.gnu_debugaltlink", here.home + "/libring.so.debug", packed,
                  "--keep-symbol=_ZN12_GLOBAL__N_114change_balanceER7Accountl"])
    makecore.run(["xz", "-f", "-k", packed])
    copy = os.path.join(folder, "libring.so")
    makecore.run(["objcopy", "--remove-section=.gnu_debuglink", "--add-section",
                  ".gnu_debugdata=" + packed + ".xz", library, copy])
    os.rename(library, here.home + "/kept")
    try:
        report = here.ask(core, "--executable", "libring.so=" + copy)
    finally:
        os.rename(here.home + "/kept", library)
    names = [frame.get("function", "") for frame in frames_of(report)]
    if not any("change_balance" in name for name in names):
        return ["not named: %r; %r" % (names, module(report, "libring.so"))]
    return []


@check
def another_machine(bench: Bench) -> Problems:
    """Symbols from the loopback debuginfod alone: the same story; the second time nobody is asked."""
    here = town(bench)
    home = here.ask(here.at_home())
    home_text = story_text(here, here.core_path)
    core, problems = here.away(), []
    lost = here.ask(core)
    if module(lost, "worker")["found"] != "missing":
        problems.append("found without a server: %r" % module(lost, "worker"))
    for name, wanted in (("worker", "debuginfod-find executable " +
                          module(lost, "worker")["build_id"]),
                         ("libring.so", FIND % ("executable",
                                                module(lost, "libring.so")["build_id"]))):
        if module(lost, name).get("fetch") != wanted or wanted not in note_texts(lost):
            problems.append("%s: no command: %r" % (name, module(lost, name).get("fetch")))
    with Debuginfod([here.served], here.path("server.log")) as server:
        first = here.ask(core, "--debuginfod", server.url)
        asked = server.asked()
        again = here.ask(core, DEBUGINFOD_URLS=server.url)
        text = story_text(here, core, "--debuginfod", server.url)
        if len(server.asked()) != len(asked):
            problems.append("asked again: %r" % server.asked()[len(asked):])
    if not asked:
        problems.append("the server's log has no request")
    for name in ("worker", "libring.so"):
        found = module(first, name)
        if found["found"] != "debuginfod" or found["symbols"] != "dwarf" or \
                "supplement" not in found:
            problems.append("%s: %r" % (name, found))
    problems += same(home, first, "fetched") + same(home, again, "from the cache")
    if text != home_text:
        problems.append("another text:\n" + "\n".join(difflib.unified_diff(
            home_text.splitlines(), text.splitlines(), lineterm="")))
    return problems


def named(report: Dict[str, Any], name: str) -> List[str]:
    """Function and line of the frames in this module, without the inlined ones."""
    id_of = module(report, name)["id"]
    return ["%s %s:%s" % (frame.get("function"), os.path.basename(frame.get("file", "")),
                          frame.get("line"))
            for frame in frames_of(report)
            if frame.get("module") == id_of and frame["kind"] == "native"]


@check
def a_file_too_large(bench: Bench) -> Problems:
    """Names and lines come from sections of it, which is said; the other files come, and the server
    is not given up. Fetched by hand it is used."""
    here = town(bench)
    home = here.ask(here.at_home())
    core, problems = here.away(), []
    most = os.path.getsize(here.served + "/worker.debug") - 1
    with Debuginfod([here.served], here.path("large.log")) as server:
        lost = here.ask(core, "--debuginfod", server.url, cache="cache-large",
                        DEBUGINFOD_MAXSIZE=str(most))
        said = note_texts(lost)
        find = "debuginfod-find debuginfo " + module(lost, "worker")["build_id"]
        if "1 file of debuginfod servers did not come whole: larger" not in said or find not in said or \
                "failed" in said or "Functions inlined there are not told" not in said:
            problems.append("not said: %r" % said)
        if "main worker.cpp:30" not in named(lost, "worker"):
            problems.append("no line: %r" % named(lost, "worker"))
        if [name.split(" ")[:-1] for name in named(home, "worker")] != \
                [name.split(" ")[:-1] for name in named(lost, "worker")]:
            problems.append("other names: %r" % named(lost, "worker"))
        asked = len(server.asked())
        again = here.ask(core, "--debuginfod", "cache", cache="cache-large")
        if named(again, "worker") != named(lost, "worker") or len(server.asked()) != asked:
            problems.append("from the cache: %r" % named(again, "worker"))
        subprocess.run(find.split(), check=True, stdout=subprocess.DEVNULL,
                       env=here.environment("cache-large", DEBUGINFOD_URLS=server.url))
        found = here.ask(core, "--debuginfod", server.url, cache="cache-large",
                         DEBUGINFOD_MAXSIZE=str(most))
    for report, levels in ((lost, ["dynamic", "dwarf"]), (found, ["dwarf", "dwarf"])):
        got = [module(report, name)["symbols"] for name in ("worker", "libring.so")]
        if got != levels:
            problems.append("symbols of worker and libring.so: %r, not %r" % (got, levels))
    return problems


def parts(bench: Bench, what: str, part: Callable[[str, str, str], Part],
          lies: Callable[[str], bool] = lambda line: not line.startswith("None ")) -> Problems:
    """Of debug files only sections come; `part(build_id, name, debug file)` makes them. No name of
    worker's functions, or what else `lies`, is used."""
    here = town(bench)
    core = here.away()
    lost = here.ask(core)
    programs = {module(lost, name)["build_id"]: os.path.join(here.served, name)
                for name in ("worker", "libring.so")}
    cache = "cache-parts-" + what
    with TooLarge(programs, lambda build_id, name: part(
            build_id, name, programs[build_id] + ".debug")) as server:
        report = here.ask(core, "--debuginfod", server.url, cache=cache)
        asked = list(server.asked)
    problems = ["%s: no frames" % what] if not report["threads"] else []
    if not any("/section/" in path for path in asked) or "failed" in note_texts(report):
        problems.append("%s: asked %r, said %r" % (what, asked, note_texts(report)))
    wrong = [line for line in named(report, "worker") if lies(line)]
    return problems + ["%s: used: %r" % (what, wrong)] if wrong else problems


@check
def a_file_too_large_for_the_time(bench: Bench) -> Problems:
    """It is given up when it is plain that it cannot come; its sections come, in the time. Neither
    that nor a time that is over is remembered: where there is more time it comes."""
    here = town(bench)
    core = here.away()
    worker = module(here.ask(core), "worker")["build_id"]
    with TooLarge({worker: here.served + "/worker"},
                  lambda _id, name: section_of(here.served + "/worker.debug", name),
                  trickle=True) as server:
        before = time.monotonic()
        report = here.ask(core, "--debuginfod", server.url, "--time-budget", "12",
                          cache="cache-trickle")
        took = time.monotonic() - before
        cut = here.ask(core, "--debuginfod", server.url, "--time-budget", "0.9", cache="cache-cut")
    said, problems = note_texts(report), []
    if ": 0 files did not come" in note_texts(cut):
        problems.append("said: %r" % note_texts(cut))
    with Debuginfod([here.served], here.path("trickle.log")) as good:
        for cache in ("cache-trickle", "cache-cut"):
            later = here.ask(core, "--debuginfod", good.url, cache=cache)
            if module(later, "worker")["symbols"] != "dwarf":
                problems.append("not asked for again with %s" % cache)
    if "would have taken far longer" not in said or "failed" in said or took > 9:
        problems.append("after %.1f s: %r" % (took, said))
    if "main worker.cpp:30" not in named(report, "worker"):
        problems.append("no line: %r" % named(report, "worker"))
    return problems


@check
def packed_sections(bench: Bench) -> Problems:
    """As the server has them: compressed, without a word about it."""
    here = town(bench)
    core, packed = here.away(), os.path.join(here.work, "packed.debug")
    makecore.run(["objcopy", "--compress-debug-sections", here.served + "/worker.debug", packed])
    if section_of(packed, ".debug_line")[:4] != b"\1\0\0\0":
        raise makecore.CannotMake("objcopy did not compress .debug_line")
    worker = module(here.ask(core), "worker")["build_id"]
    with TooLarge({worker: here.served + "/worker"},
                  lambda _id, name: section_of(packed, name)) as server:
        report = here.ask(core, "--debuginfod", server.url, cache="cache-packed")
    return [] if "main worker.cpp:30" in named(report, "worker") else [
        "no line: %r" % named(report, "worker")]


@check
def sections_that_do_not_come(bench: Bench) -> Problems:
    """A server that knows none, one of each kind: as without."""
    problems = []
    for status in (400, 404, 503):
        problems += parts(bench, str(status), lambda _id, _name, _debug, code=status: code)
    return problems


@check
def sections_that_lie(bench: Bench) -> Problems:
    """Garbage; those of another file; names of another file under the right build-id; cut ones."""
    here = town(bench)
    here.away()

    def other(name: str) -> bytes:
        return section_of(os.path.join(here.served, "libring.so.debug"), name)

    def mixed(_id: str, name: str, debug: str) -> bytes:
        return section_of(debug, name) if name.startswith(".note") else other(name)

    def shifted(_id: str, name: str, debug: str) -> bytes:
        """Every function begins a byte early."""
        content = bytearray(section_of(debug, name))
        for at in range(8, len(content), 24) if name == ".symtab" else ():
            value, = struct.unpack_from("<Q", content, at)
            struct.pack_into("<Q", content, at, max(value - 1, 0))
        return bytes(content)

    def lines(_id: str, name: str, debug: str) -> bytes:
        return other(name) if name.startswith(".debug") else section_of(debug, name)

    page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
    return parts(bench, "page", lambda _id, _name, _debug: page) + \
        parts(bench, "other", lambda _id, name, _debug: other(name)) + \
        parts(bench, "mixed", mixed) + parts(bench, "shifted", shifted) + \
        parts(bench, "lines", lines, lambda line: not line.endswith(" :None")) + \
        parts(bench, "cut", lambda _id, name, debug: section_of(debug, name)[:23])


@check
def the_cache_as_a_folder(bench: Bench) -> Problems:
    """What debuginfod-find (or gdb) fetched, with no server asked."""
    here = town(bench)
    core, cache = here.away(), os.path.join(here.work, "cache-folder")
    with Debuginfod([here.served], here.path("folder.log")) as server:
        home = here.ask(core, "--debuginfod", server.url, cache="cache-folder")
    report = here.ask(core, "--debug-dir", cache, cache="cache-empty")
    problems = same(home, report, "from the folder")
    for name in ("worker", "libring.so"):
        found = module(report, name)
        if found["found"] != "file" or found["symbols"] != "dwarf" or "supplement" not in found or \
                not found.get("file", "").endswith(found["build_id"] + "/executable"):
            problems.append("%s: %r" % (name, found))
    return problems


@check
def off(bench: Bench) -> Problems:
    """Nobody is asked without a URL, nor with --debuginfod off."""
    here = town(bench)
    core = here.away()
    with Misbehaving("error") as server:
        here.ask(core, cache="cache-off")
        here.ask(core, "--debuginfod", "off", cache="cache-off", DEBUGINFOD_URLS=server.url)
        here.ask(core, cache="cache-off", DEBUGINFOD_URLS="")
        problems = ["asked: %r" % server.asked] if server.asked else []
    done = here.run(core, "--debuginfod", "somewhere")
    return problems + wrong_code(done, 64)


@check
def show_modules(bench: Bench) -> Problems:
    here = town(bench)
    core, problems = here.away(), []
    rows = {row["module"]: row for row in json.loads(
        here.run("show", "modules", core, "-f", "json", env=here.environment()).stdout)}
    if rows["worker"].get("found") != "missing" or rows["worker"].get("identity"):
        problems.append("missing: %r" % rows["worker"])
    if not rows["worker"].get("to get what is missing", "").startswith("debuginfod-find exec"):
        problems.append("no command: %r" % rows["worker"])
    libc = rows["libc.so.6"]
    if libc.get("found") != "file" or libc.get("identity") != "build-id":
        problems.append("libc: %r" % libc)
    return problems


@check
def copies_and_namespaces(bench: Bench) -> Problems:
    """A library linked, in a namespace of its own, from memory, and mapped twice as data."""
    folder = os.path.join(bench.work, "copies")
    os.makedirs(folder)
    library, program = folder + "/libring.so", folder + "/copies"
    makecore.run([*FLAGS, "-shared", "-fPIC", "-fvisibility=hidden", "-o", library,
                  SOURCES + "/ring.cpp"])
    makecore.run([*FLAGS, "-I", makecore.PROGRAMS, "-o", program, SOURCES + "/copies.cpp", library,
                  "-pthread", "-ldl", "-Wl,-rpath," + folder])
    dumps = folder + "/dumps"
    os.makedirs(dumps)
    process = makecore.start([program], dumps)
    try:
        truth = makecore.read_truth(process)
        makecore.settle(process, truth)
        report = bench.report(makecore.dump_with_kernel(process, dumps))
    finally:
        makecore.finish(process)
    mapped = [m for m in report["modules"] if "ring" in m["name"]]
    problems = [] if len(mapped) == 3 else ["%d modules: %r" % (len(mapped), mapped)]
    problems += ["%r" % m for m in mapped if m["found"] != "file" or m["symbols"] != "dwarf"]
    for thread in report["threads"]:
        stack = next(s for s in report["stacks"] if s["id"] == thread["stack"])
        inside = [f for f in stack["frames"] if "change_balance" in f.get("function", "")]
        if thread["tid"] != truth["pid"] and not inside:
            problems.append("LWP %d: %r" % (thread["tid"], stack["frames"]))
    return problems


def misbehaves(manner: str, bench: Bench, said: str) -> Problems:
    """The report comes, in its time, and says what was wrong; the server is not asked again."""
    here = town(bench)
    core = here.away()
    with Misbehaving(manner) as server:
        before = time.monotonic()
        report = here.ask(core, "--debuginfod", server.url, "--time-budget", str(BUDGET),
                          cache="cache-" + manner)
        took, asked = time.monotonic() - before, list(server.asked)
    problems = []
    if took > BUDGET + LATE:
        problems.append("%.1f s with a budget of %.1f s" % (took, BUDGET))
    if said not in note_texts(report):
        problems.append("not said: %r" % note_texts(report))
    if module(report, "worker")["found"] != "missing":
        problems.append("used: %r" % module(report, "worker"))
    if not report["threads"] or len(asked) != len(set(asked)) or len(asked) > 8:
        problems.append("asked: %r" % asked)
    return problems


@check
def stalls(bench: Bench) -> Problems:
    return misbehaves("stall", bench, "did not answer in time")


@check
def one_byte_a_second(bench: Bench) -> Problems:
    return misbehaves("slow", bench, "did not answer in time")


@check
def a_wrong_file(bench: Bench) -> Problems:
    return misbehaves("wrong", bench, "another file than was asked for")


@check
def a_login_page(bench: Bench) -> Problems:
    return misbehaves("html", bench, "another file than was asked for")


@check
def an_endless_file(bench: Bench) -> Problems:
    return misbehaves("endless", bench, "the time for fetching files was over")


@check
def a_server_that_hangs_up(bench: Bench) -> Problems:
    return misbehaves("hangup", bench, "worker is not on this machine")


@check
def nobody_there(bench: Bench) -> Problems:
    here = town(bench)
    core = here.away()
    with Misbehaving("error") as server:
        url = server.url
    before = time.monotonic()
    report = here.ask(core, "--debuginfod", url, cache="cache-nobody")
    problems = [] if time.monotonic() - before < 5 else ["waited"]
    return problems + ([] if "Connection refused" in note_texts(report) else [note_texts(report)])


@check
def one_of_two_servers_stalls(bench: Bench) -> Problems:
    """The other one's files are used, and the one that stalls is named."""
    here = town(bench)
    home = here.ask(here.at_home())
    core = here.away()
    with Misbehaving("stall") as bad, Debuginfod([here.served], here.path("two.log")) as good:
        report = here.ask(core, "--debuginfod", bad.url + " " + good.url, "--time-budget", "30",
                          cache="cache-two")
        problems = same(home, report, "with a server that stalls")
        if module(report, "worker")["symbols"] != "dwarf":
            problems.append("%r" % module(report, "worker"))
        if len(bad.asked) > 12:
            problems.append("asked %d times" % len(bad.asked))
        notes = note_texts(report)
        if "debuginfod server 1 of 2 failed" not in notes or "127.0.0.1" in notes:
            problems.append("not told, or with the host's name: %r" % notes)
    return problems


@check
def without_the_library(bench: Bench) -> Problems:
    here = town(bench)
    core = here.away()
    folder = os.path.join(here.work, "no-library")
    os.makedirs(folder, exist_ok=True)
    here.path("no-library/libdebuginfod.so.1", b"no library")
    report = here.ask(core, "--debuginfod", "http://127.0.0.1:1", cache="cache-none",
                      LD_LIBRARY_PATH=folder)
    said = note_texts(report)
    return [] if "apt-get install libdebuginfod1" in said else [said]


def shown_until(terminal: int, wanted: bytes, seconds: float) -> bytes:
    """What a terminal was given until `wanted` came whole: one line may come in several reads."""
    shown, end = b"", time.monotonic() + seconds
    while wanted not in shown:
        left = end - time.monotonic()
        if left <= 0 or not select.select([terminal], [], [], left)[0]:
            break
        shown += os.read(terminal, 4096)
    return shown


@check
def ctrl_c_before_the_first_byte(bench: Bench) -> Problems:
    """On a terminal: the line that shows how it goes, and Ctrl-C ends it at once."""
    here = town(bench)
    core = here.away()
    with Misbehaving("stall") as server:
        mine, its = pty.openpty()
        process = subprocess.Popen([here.program, core, "--debuginfod", server.url],
                                   stdin=its, stdout=subprocess.DEVNULL, stderr=its,
                                   env=here.environment("cache-ctrl-c"), start_new_session=True)
        os.close(its)
        try:
            if not server.first.wait(30):
                return ["the server was not asked"]
            shown = shown_until(mine, b" MiB", 10)
            before = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group
            code = process.wait(10)
        finally:
            makecore.finish(process)
            os.close(mine)
        problems = [] if time.monotonic() - before < 1.5 else ["it took long to end"]
        problems += [] if code == -signal.SIGINT else ["ended with %d" % code]
        line = b"fetching from" in shown and b" MiB" in shown
        return problems + ([] if line else ["no line that tells the bytes: %r" % shown])


def run_town(description: str, kind: Type[Town], checks: List[Check]) -> int:
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--only", help="the checks whose name contains this")
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    options = parser.parse_args()
    bench = kind(os.path.abspath(options.program), os.path.abspath(options.work))
    os.makedirs(bench.work, exist_ok=True)
    bench.clean()
    try:
        return run_checks(bench, [c for c in checks if (options.only or "") in c.__name__])
    except makecore.CannotMake as reason:
        print("skip: %s" % reason)
        return 77
    finally:
        if not options.keep:
            bench.clean()


if __name__ == "__main__":
    sys.exit(run_town(__doc__, Town, CHECKS))
