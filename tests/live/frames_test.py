#!/usr/bin/env python3
"""Stacks where little helps: musl (no unwind tables), static and static-PIE programs, split DWARF, 100,000 frames of
recursion, code made at run time (V8, the JVM) and Go.

    frames_test.py --program build/dev/coldcase --work build/dev/live/frames [--only musl]

One row per program and dump. Exit status: 0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Sequence

import makecore

FRAMES = os.path.join(makecore.PROGRAMS, "frames")
Report = Dict[str, Any]
Problems = List[str]
TRUSTED = ("context", "cfi")


@dataclass
class Case:
    name: str
    source: str
    build: Sequence[str]
    check: Callable[["Bench", Report, makecore.Core], Problems]
    dumps: Sequence[str] = ("gcore", "kernel")


def stack_of(report: Report, tid: int) -> Dict[str, Any]:
    thread = next(one for one in report["threads"] if one.get("tid") == tid)
    return next(one for one in report["stacks"] if one["id"] == thread.get("stack"))


def function_of(frame: Dict[str, Any]) -> str:
    return frame.get("function") or frame.get("symbol", "")


# Each thread of blocked.c: its own functions, innermost first.
BLOCKED = {"first": ["block_on_mutex", "first"], "second": ["block_on_mutex", "second"],
           "condition": ["block_on_condition", "condition"],
           "semaphore": ["block_on_semaphore", "semaphore"],
           "joiner": ["block_in_join", "joiner"], "reader": ["block_in_read", "reading"]}


def own_frames(report: Report, core: makecore.Core) -> Problems:
    """Every thread's own functions are told, in order; what was guessed says so."""
    problems = []
    for name, wanted in BLOCKED.items():
        frames = stack_of(report, core.truth["threads"][name])["frames"]
        own = [frame for frame in frames if frame.get("file", "").endswith("blocked.c")]
        names = [function_of(frame) for frame in own if frame["kind"] == "native"]
        if names != wanted:
            problems.append("%s: %s instead of %s" % (name, [function_of(f) for f in frames], wanted))
        stop = stack_of(report, core.truth["threads"][name])["stopped_because"]
        if stop["code"] != "outermost":
            problems.append("%s: %s after %s" % (name, stop, [function_of(f) for f in frames]))
    frames = stack_of(report, core.truth["pid"])["frames"]
    if "main" not in [function_of(frame) for frame in frames]:
        problems.append("main thread: %s" % [function_of(frame) for frame in frames])
    return problems


def waits_of(report: Report, core: makecore.Core) -> Dict[str, Any]:
    tids = {tid: name for name, tid in core.truth["threads"].items()}
    return {tids[thread["tid"]]: thread.get("wait", {}) for thread in report["threads"]
            if thread.get("tid") in tids}


def check_musl(bench: "Bench", report: Report, core: makecore.Core) -> Problems:
    problems = own_frames(report, core)
    for stack in report["stacks"]:
        for inner, outer in zip(stack["frames"], stack["frames"][1:]):
            # What calls out of code without tables was not found by tables.
            without = not inner.get("file") and outer.get("file", "").endswith("blocked.c")
            if without and inner["kind"] == "native" and outer["trust"] in TRUSTED:
                problems.append("%s is called by %s, by %s" % (function_of(inner), function_of(outer),
                                                            outer["trust"]))
    if any(runtime["kind"] == "glibc" for p in report["processes"] for runtime in p.get("runtimes", [])):
        problems.append("taken for glibc")
    proved = [owner for one in report["resources"] for owner in one.get("owners", [])
              if owner["confidence"] == "proved"]
    if proved:
        problems.append("owners by glibc's structures: %s" % proved)
    if report["verdict"]["kind"] == "none":
        problems.append("called healthy")
    for name, wait in waits_of(report, core).items():
        if wait.get("syscall", {}).get("name") not in ("futex", "read"):
            problems.append("%s waits in %s" % (name, wait))
    return problems


def check_static(bench: "Bench", report: Report, core: makecore.Core) -> Problems:
    problems = own_frames(report, core)
    kinds = {"first": "mutex", "second": "mutex", "condition": "condition", "semaphore": "semaphore",
             "joiner": "thread", "reader": "io"}
    for name, wait in waits_of(report, core).items():
        if kinds[name] not in wait.get("kind", ""):
            problems.append("%s waits for %s, a %s" % (name, wait.get("kind"), kinds[name]))
    if report["verdict"]["kind"] != "deadlock":
        problems.append("verdict %s" % report["verdict"]["kind"])
    patterns = [finding["pattern"] for finding in report["findings"]]
    if "lock-cycle" not in patterns:
        problems.append("findings: %s" % patterns)
    if any(note["code"].startswith("debuginfo") for note in report["notes"]):
        problems.append("notes: %s" % report["notes"])
    return problems


def check_split(bench: "Bench", report: Report, core: makecore.Core) -> Problems:
    """Lines are told and what is not is said."""
    problems = own_frames(report, core)
    codes = [note["code"] for note in report["notes"]]
    if codes.count("debuginfo-split") != 1:
        problems.append("notes: %s" % codes)
    return problems


def check_deep(bench: "Bench", report: Report, core: makecore.Core) -> Problems:
    problems = []
    for name, of in (("alone", 1), ("turns", 2)):
        stack = stack_of(report, core.truth["threads"][name])
        repeats = [frame for frame in stack["frames"] if frame["kind"] == "repeat"]
        if not 100_000 <= stack["depth"] <= 100_010 or len(stack["frames"]) > 30:
            problems.append("%s: depth %d in %d frames" % (name, stack["depth"], len(stack["frames"])))
        if len(repeats) != 1 or repeats[0]["of"] != of:
            problems.append("%s: %s" % (name, repeats))
        left_out = sum(frame["times"] * frame["of"] for frame in repeats)
        if left_out + len(stack["frames"]) - len(repeats) != stack["depth"]:
            problems.append("%s: its parts do not add up" % name)
        if stack["stopped_because"]["code"] != "outermost":
            problems.append("%s: %s" % (name, stack["stopped_because"]))
    text = bench.run("analyze", core.path, "--threads", "all")
    if "more times" not in text.stdout or len(text.stdout) > 20_000:
        problems.append("text of %d characters" % len(text.stdout))
    if bench.seconds > 5 or bench.kib > 200_000:
        problems.append("%.1f s, %d KiB" % (bench.seconds, bench.kib))
    return problems


def names_of(stack: Dict[str, Any]) -> List[str]:
    return [function_of(frame) for frame in stack["frames"]]


def check_machine(report: Report, core: makecore.Core, note: str, entry: str) -> Problems:
    """The main thread's native frames are told through the machine's own code, by frame pointers, and
    the report says what is not read."""
    problems = []
    texts = " ".join(one["text"] for one in report["notes"])
    if note not in texts:
        problems.append("notes: %s" % texts)
    led = [stack for stack in report["stacks"] if entry in " ".join(names_of(stack)) and
           any(frame["trust"] == "frame_pointer" for frame in stack["frames"])]
    if not led:
        problems.append("no stack leads through made code to %s" % entry)
    for stack in led:
        if stack["stopped_because"]["code"] != "outermost":
            problems.append("%s after %s" % (stack["stopped_because"], names_of(stack)))
    return problems


def check_v8(bench: "Bench", report: Report, core: makecore.Core) -> Problems:
    return check_machine(report, core, "V8", "node::Start")


def check_java(bench: "Bench", report: Report, core: makecore.Core) -> Problems:
    return check_machine(report, core, "Java's own locks are not read", "JavaMain")


def check_go(bench: "Bench", report: Report, core: makecore.Core) -> Problems:
    problems = []
    texts = " ".join(one["text"] for one in report["notes"])
    if "Go runtime: its goroutines are not read" not in texts:
        problems.append("notes: %s" % texts)
    bad = [stack["stopped_because"] for stack in report["stacks"]
           if stack["stopped_because"]["code"] != "outermost"]
    if bad or not any("runtime.mcall" in names_of(stack) for stack in report["stacks"]):
        problems.append("%s, %s" % (bad, [names_of(stack)[-1:] for stack in report["stacks"]]))
    return problems


CASES = [
    Case("musl", "blocked.c", ["musl-gcc", "-O1", "-g"], check_musl),
    Case("musl-O2", "blocked.c", ["musl-gcc", "-O2", "-g", "-fomit-frame-pointer"], check_musl),
    Case("musl-static", "blocked.c", ["musl-gcc", "-O1", "-g", "-static"], check_musl),
    Case("static", "blocked.c", ["gcc", "-O1", "-g", "-static"], check_static),
    Case("static-pie", "blocked.c", ["gcc", "-O1", "-g", "-static-pie"], check_static),
    Case("split-4", "blocked.c", ["gcc", "-O1", "-gdwarf-4", "-gsplit-dwarf"], check_split, ("gcore",)),
    Case("split-5", "blocked.c", ["gcc", "-O1", "-gdwarf-5", "-gsplit-dwarf"], check_split, ("gcore",)),
    Case("deep", "deep.c", ["gcc", "-O1", "-g", "-Wno-infinite-recursion"], check_deep),
    Case("go", "rest.go", ["go", "build"], check_go, ("gcore",)),
    Case("v8", "rest.js", ["node"], check_v8, ("gcore",)),
    Case("java", "Rest.java", ["javac"], check_java, ("gcore",)),
]


class Bench:
    def __init__(self, program: str, work: str) -> None:
        self.program, self.work = program, work
        self.seconds, self.kib = 0.0, 0

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        begin = time.monotonic()
        with subprocess.Popen([self.program, *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            out, err = process.communicate(timeout=120)
        self.seconds = time.monotonic() - begin
        self.kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def report(self, core: str) -> Report:
        done = self.run("analyze", core, "--format", "json")
        if not done.stdout:
            raise makecore.WentWrong("exit %d: %s" % (done.returncode, done.stderr.strip()[-300:]))
        return json.loads(done.stdout)


def build(case: Case, folder: str) -> List[str]:
    """Its command."""
    tool = shutil.which(case.build[0])
    if tool is None or (tool.endswith("javac") and shutil.which("java") is None):
        raise makecore.CannotMake("no " + case.build[0])
    os.makedirs(folder, exist_ok=True)
    output, source = os.path.join(folder, case.name), os.path.join(FRAMES, case.source)
    if case.name == "v8":
        return [os.path.realpath(tool), source]
    if case.name == "java":
        makecore.run(["javac", "-d", folder, source])
        return ["java", "-Xmx64m", "-XX:+UseSerialGC", "-cp", folder, "Rest"]
    flags = [] if case.name == "go" else ["-Wall", "-Wextra"]
    last = [] if case.name == "go" else ["-lpthread"]
    makecore.run([*case.build, *flags, "-o", output, source, *last])
    return [output]


def dump(command: List[str], how: str, folder: str) -> makecore.Core:
    if how != "gcore":
        makecore.check_kernel_dumps()
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    process = makecore.start(command, folder)
    try:
        truth = makecore.read_truth(process)
        makecore.settle(process, truth)
        return makecore.Core(makecore.DUMPS[how](process, folder), command[0], truth)
    finally:
        makecore.finish(process)


def attempt(bench: Bench, case: Case, how: str, command: List[str]) -> str:
    """"ok", or "skip: why", or "FAIL" and its lines."""
    folder = os.path.join(bench.work, "core")
    try:
        core = dump(command, how, folder)
        problems = case.check(bench, bench.report(core.path), core)
    except makecore.CannotMake as why:
        return "skip: %s" % why
    except (makecore.WentWrong, KeyError, StopIteration, ValueError) as why:
        problems = ["%s: %s" % (type(why).__name__, why)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return "ok" if not problems else "\n    ".join(["FAIL", *problems])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    bench = Bench(os.path.abspath(options.program), os.path.abspath(options.work))
    results = []
    for case in CASES:
        if options.only not in case.name:
            continue
        try:
            command = build(case, os.path.join(bench.work, "built"))
        except makecore.CannotMake as why:
            print("%-14s skip: %s" % (case.name, why))
            continue
        for how in case.dumps:
            results.append(attempt(bench, case, how, command))
            print("%-14s %-7s %5d ms %7d KiB  %s" % (case.name, how, bench.seconds * 1000, bench.kib,
                                                 results[-1]), flush=True)
    if any(result.startswith("FAIL") for result in results):
        return 1
    return 0 if "ok" in results else 77


if __name__ == "__main__":
    sys.exit(main())
