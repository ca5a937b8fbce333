#!/usr/bin/env python3
"""Our native stacks against gdb's, frame by frame: how many, which function, what was inlined there.
No thread may have fewer or other frames than gdb tells, but for a reason that gdb_frames.py states.

    gdb_frames_test.py --program build/dev/coldcase --work build/dev/live/gdb_frames [--only shapes-O2] [-v]

Exit status: 0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Iterator, List, Sequence

import gdb_frames
import makecore

FRAMES = os.path.join(makecore.PROGRAMS, "frames")
NO_TABLES = ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]


@dataclass
class Build:
    """A program of programs/frames, built in one way."""
    name: str
    source: str
    command: Sequence[str]
    dumps: Sequence[str] = ("gcore",)
    strip: bool = False


def c(name: str, *flags: str, compiler: str = "gcc", strip: bool = False,
      dumps: Sequence[str] = ("gcore",)) -> Build:
    # Bound lazily: its stubs are met on the way to the loader.
    return Build("shapes-" + name, "shapes.c", [compiler, *flags, "-Wl,-z,lazy"], dumps, strip)


def cxx(name: str, *flags: str, compiler: str = "g++", strip: bool = False,
        dumps: Sequence[str] = ("gcore",)) -> Build:
    return Build("shapes_cxx-" + name, "shapes_cxx.cpp", [compiler, "-std=c++20", *flags], dumps, strip)


BUILDS = [
    c("O0", "-O0", "-g"), c("O2", "-O2", "-g", dumps=("gcore", "kernel")),
    c("O2-stripped", "-O2", strip=True, dumps=("gcore", "kernel")),
    c("O2-named", "-O2"),
    c("branch-tracking", "-O2", "-g", "-fcf-protection=full", "-Wl,-z,ibtplt"),
    c("debug-frame", "-O2", "-g", "-fomit-frame-pointer", *NO_TABLES),
    c("no-tables", "-O1", "-fno-omit-frame-pointer", *NO_TABLES),
    c("static", "-O2", "-g", "-static", "-DWITHOUT_STUBS"), c("static-pie", "-O2", "-g", "-static-pie", "-DWITHOUT_STUBS"),
    c("static-stripped", "-O2", "-static", "-DWITHOUT_STUBS", strip=True),
    c("clang-O2", "-O2", "-g", compiler="clang"), c("clang-O0", "-O0", "-g", compiler="clang"),
    cxx("O0", "-O0", "-g"), cxx("O2", "-O2", "-g", dumps=("gcore", "kernel")),
    cxx("O2-stripped", "-O2", strip=True), cxx("static", "-O2", "-g", "-static"),
    cxx("sections", "-O2", "-g1", "-ffunction-sections", "-Wl,--gc-sections"),
    Build("shapes_rust-debug", "shapes_rust.rs", ["rustc", "-g"]),
    Build("shapes_rust-release", "shapes_rust.rs", ["rustc", "-O", "-g"]),
    Build("shapes_rust-bare", "shapes_rust.rs", ["rustc", "-O"], strip=True),
]


@dataclass
class Row:
    name: str
    dump: str
    command: List[str]
    truthful: bool = True


def built(build: Build, folder: str) -> str:
    compiler = build.command[0]
    if shutil.which(compiler) is None:
        raise makecore.CannotMake("no " + compiler)
    os.makedirs(folder, exist_ok=True)
    output = os.path.join(folder, build.name)
    last = [] if compiler == "rustc" else ["-lpthread"]
    makecore.run([*build.command, "-o", output, os.path.join(FRAMES, build.source), *last])
    if build.strip:
        makecore.run(["strip", "--strip-all", output])
    return output


def dumped(row: Row, folder: str) -> makecore.Core:
    if row.dump != "gcore":
        makecore.check_kernel_dumps()
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    process = makecore.start(row.command, folder)
    try:
        truth = makecore.read_truth(process)
        if row.dump != "crash":
            makecore.settle(process, truth)
        return makecore.Core(makecore.DUMPS[row.dump](process, folder), row.command[0], truth)
    finally:
        makecore.finish(process)


def rows_of_suite(folder: str) -> Iterator[Row]:
    """Programs that other tests use: crashes, locks, and an interpreter with threads."""
    for name in ("crash_abort", "crash_assert", "crash_segv"):
        for variant in makecore.VARIANTS:
            yield Row("%s-%s" % (name, variant), "crash", [os.path.join(folder, variant, name)])
    for name in ("abba_mutex", "idle_pool", "rwlock_cycle"):
        yield Row(name, "kernel", [os.path.join(folder, "release", name)])
    for python in makecore.find_pythons():
        if not python.skipped:
            script = os.path.join(makecore.PROGRAMS, "idle_workers.py")
            yield Row("python " + python.label, "gcore", [python.path, script, folder])


def rows(folder: str, only: str) -> Iterator[Row]:
    for build in BUILDS:
        if only not in build.name:
            continue
        try:
            path = built(build, folder)
        except (makecore.CannotMake, makecore.WentWrong) as why:
            lines = str(why).strip().splitlines()
            print("%-28s skip: %s" % (build.name, lines[-1] if lines else "not built"))
            continue
        for dump in build.dumps:
            yield Row(build.name, dump, [path])
    if any(only in row.name for row in rows_of_suite(folder)):
        makecore.build_all(folder)
        yield from (row for row in rows_of_suite(folder) if only in row.name)


class Table:
    def __init__(self, verbose: bool) -> None:
        self.verbose = verbose
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()

    def add(self, row: Row, core: makecore.Core, program: str, work: str) -> None:
        theirs = gdb_frames.stacks_of_gdb(core.executable, core.path, work)
        mine = gdb_frames.stacks_of_report(gdb_frames.read_report(program, core.path))
        data, here = gdb_frames.data_ranges(core.path), Counter()
        problems = [] if theirs else ["gdb told no stacks"]
        for tid, stack in theirs.items():
            difference = gdb_frames.compare(mine.get(tid), stack, data)
            here[difference.verdict] += 1
            if difference.verdict in ("ours", "gdb"):
                self.reasons.update("%s: %s" % (difference.verdict, why) for why in difference.reasons)
            if difference.verdict == "wrong" or self.verbose:
                problems += ["LWP %d: %s" % (tid, why) for why in difference.reasons]
        frames = sum(len(stack.frames) for stack in mine.values())
        self.counts.update(here)
        self.counts["wrong"] += 0 if theirs else 1
        print("%-28s %-7s %3d %6d %5d %5d %4d %4d" % (row.name, row.dump, len(theirs), frames, here["same"],
                                                here["ours"], here["gdb"], here["wrong"]))
        for problem in problems:
            print("    " + problem)

    def end(self) -> None:
        print("%-28s %18s %5d %5d %4d %4d" % ("all", "", self.counts["same"], self.counts["ours"],
                                           self.counts["gdb"], self.counts["wrong"]))
        for reason, count in sorted(self.reasons.items()):
            print("    %4d x %s" % (count, reason))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    work, program = os.path.abspath(options.work), os.path.abspath(options.program)
    if shutil.which("gdb") is None:
        print("skip: no gdb")
        return 77
    os.makedirs(work, exist_ok=True)
    table, tried = Table(options.verbose), 0
    print("%-28s %-7s %3s %6s %5s %5s %4s %4s" % ("program", "dump", "LWP", "frames", "same", "ours", "gdb", "wrong"))
    for row in rows(os.path.join(work, "built"), options.only):
        folder = os.path.join(work, "core")
        try:
            table.add(row, dumped(row, folder), program, work)
            tried += 1
        except makecore.CannotMake as why:
            print("%-28s %-7s skip: %s" % (row.name, row.dump, why))
        except makecore.WentWrong as why:
            print("%-28s %-7s FAIL: %s" % (row.name, row.dump, why))
            table.counts["wrong"] += 1
        shutil.rmtree(folder, ignore_errors=True)
    table.end()
    return 77 if tried == 0 else 1 if table.counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
