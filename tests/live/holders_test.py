#!/usr/bin/env python3
"""Who holds a lock that does not say so: real programs, whose truth is known, against the report.

    holders_test.py --program build/dev/coldcase --work build/dev/live/holders [--case landing_pad]

One row per program, way of compiling and dump, one word per wait: right (the holder, and surely),
weaker (the holder, likely), partly (not all readers), silent (nobody is named), wrong (somebody
else is). Exit status: 1 when somebody else is named, or when a wait is answered worse than it was
when the test was written; 77 when nothing could be tried.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from typing import Any, Dict, List, Tuple

import makecore

SURE = ("very_likely", "proved")
ORDER = ("wrong", "silent", "partly", "weaker", "right")
GNU = ("gcc", "g++")
BUILDS: Dict[str, Tuple[Tuple[str, str], List[str], bool]] = {
    "plain": (GNU, ["-O0", "-g"], False),
    "debug": (GNU, ["-O1", "-g"], False),
    "optimized": (GNU, ["-O2", "-g"], False),
    "stripped": (GNU, ["-O2"], True),
    "unthrown": (GNU, ["-O0", "-g", "-fno-exceptions"], False),
    "clang": (("clang", "clang++"), ["-O2"], True),
}
# The least a wait of this program is answered with; another word for some builds.
LEAST: Dict[str, Dict[str, str]] = {
    "landing_pad": {"": "right"},
    "nested_guards": {"": "right"},
    "sem_guard": {"": "right", "unthrown": "silent"},
    "word_guard": {"": "right", "unthrown": "silent"},
    "spin_guard": {"": "right", "unthrown": "silent"},
    "static_guard": {"": "right", "unthrown": "silent"},
    "c_reader": {"": "right"},
    "c_semaphore": {"": "right"},
    "pool_residue": {"": "right"},
    "c_residue": {"": "silent"},
    "c_maybe": {"": "silent"},
    "upgrade": {"": "right"},
}


def source_of(program: str) -> str:
    path = os.path.join(makecore.PROGRAMS, program)
    return path + (".cpp" if os.path.exists(path + ".cpp") else ".c")


def build(program: str, name: str, folder: str) -> None:
    compilers, flags, strip = BUILDS[name]
    source = source_of(program)
    cpp = source.endswith(".cpp")
    compiler = compilers[1] if cpp else compilers[0]
    if shutil.which(compiler) is None:
        raise makecore.CannotMake("no " + compiler)
    output = os.path.join(folder, name, program)
    os.makedirs(os.path.dirname(output), exist_ok=True)
    makecore.run([compiler, *(["-std=c++17"] if cpp else []), *flags, "-Wall", "-Wextra",
                  "-Wl,--build-id", "-o", output, source, "-lpthread"])
    if strip:
        makecore.run(["strip", "--strip-all", output])


def analyze(program: str, core: str) -> Dict[str, Any]:
    done = subprocess.run([program, "analyze", core, "--format", "json"], text=True, timeout=60,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise makecore.WentWrong("exit code %d: %s" % (done.returncode,
                                                       done.stderr.strip()[-300:])) from None


def judge_wait(report: Dict[str, Any], tid: int, holders: List[int]) -> str:
    """One word, and for a wrong answer who was named."""
    threads = {thread["id"]: thread for thread in report["threads"]}
    waiting = [thread for thread in report["threads"] if thread.get("tid") == tid]
    resources = [resource for resource in report["resources"]
                 if waiting and resource["id"] in waiting[0].get("wait", {}).get("on", [])]
    if not resources:
        return "wrong: its wait is not seen"
    named = {threads[owner["by"]]["tid"]: owner for owner in resources[0].get("owners", [])}
    others = [tid for tid in named if tid not in holders]
    if others:
        return "wrong: " + ", ".join("%d %s %s" % (tid, named[tid]["confidence"],
                                                   named[tid]["basis"]) for tid in others)
    if not named:
        return "right" if not holders else "silent"
    if set(named) != set(holders):
        return "partly"
    sure = all(owner["confidence"] in SURE for owner in named.values())
    return "right" if sure else "weaker"


def bases_of(report: Dict[str, Any]) -> str:
    return ",".join(sorted({owner["basis"] for resource in report["resources"]
                            for owner in resource.get("owners", [])}))


def judge(report: Dict[str, Any], truth: Dict[str, Any]) -> List[str]:
    waits: Dict[str, List[int]] = {}
    for edge in truth["edges"]:
        holders = waits.setdefault(edge["from"] + " " + edge["resource"], [])
        if edge["to"] in truth["threads"]:
            holders.append(truth["threads"][edge["to"]])
    return [judge_wait(report, truth["threads"][key.split()[0]], holders)
            for key, holders in waits.items()]


def try_once(options: argparse.Namespace, case: str, name: str, dump: str) -> Tuple[str, bool]:
    """The row's text, and whether it is good enough."""
    work = os.path.abspath(options.work)
    folder = os.path.join(work, "-".join([case, name, dump]))
    try:
        core = makecore.make_core(case, dump, folder, os.path.join(work, "built"), "", name)
        report = analyze(os.path.abspath(options.program), core.path)
        words = judge(report, core.truth)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    least = LEAST[case].get(name, LEAST[case][""])
    good = all(ORDER.index(word.split(":")[0]) >= ORDER.index(least) for word in words)
    return "%s  (%s)" % ("; ".join(words), bases_of(report)), good


def run_all(options: argparse.Namespace) -> int:
    passed = failed = 0
    for case in [case for case in LEAST if options.case in (None, case)]:
        for name in [name for name in BUILDS if options.build in (None, name)]:
            for dump in ("gcore", "kernel"):
                try:
                    build(case, name, os.path.join(os.path.abspath(options.work), "built"))
                    text, good = try_once(options, case, name, dump)
                except makecore.CannotMake as reason:
                    print("%-14s %-10s %-7s skip: %s" % (case, name, dump, reason), flush=True)
                    continue
                except (makecore.WentWrong, OSError, subprocess.TimeoutExpired) as problem:
                    text, good = "%s: %s" % (type(problem).__name__, problem), False
                print("%-14s %-10s %-7s %-5s %s" % (case, name, dump, "ok" if good else "FAIL",
                                                    text), flush=True)
                passed += good
                failed += not good
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0 if passed else 77


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--case", choices=sorted(LEAST))
    parser.add_argument("--build", choices=sorted(BUILDS))
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    return run_all(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
