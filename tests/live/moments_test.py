#!/usr/bin/env python3
"""Healthy processes caught where a dump hardly ever finds them: between two instructions that write one record of the
interpreter's, between a lock's word and its owner's. gdb brings them there (moments.py).

    moments_test.py --program build/dev/coldcase --work build/dev/live/moments

Exit status: 0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from typing import Any, Dict, List

import makecore

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(HERE, "programs", "moments")


def catch(moment: str, command: List[str], folder: str) -> str:
    """What gdb says; its cores are in the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    ended = subprocess.run(
        ["gdb", "-nx", "-batch", "-x", os.path.join(HERE, "moments.py"), "--args", *command], timeout=240,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
        env={**os.environ, "MOMENT": moment, "OUT": folder, "DEBUGINFOD_URLS": ""})
    return ended.stdout


def analyze(program: str, core: str) -> Dict[str, Any]:
    ended = subprocess.run([program, "analyze", "--format", "json", core], stdout=subprocess.PIPE, timeout=60)
    return json.loads(ended.stdout)


def judge(program: str, core: str) -> List[str]:
    report = analyze(program, core)
    problems = []
    if report["verdict"]["kind"] != "none":
        problems.append("verdict " + report["verdict"]["kind"] + ": " + report["verdict"]["headline"])
    problems += ["finding " + finding["pattern"] for finding in report["findings"]]
    if any(thread.get("python") for thread in report["threads"]):
        merges = [stack.get("merge") for stack in report["stacks"]]
        problems += ["a stack is merged: %s" % merge for merge in merges if merge != "exact"]
    return ["%s: %s" % (os.path.basename(core), problem) for problem in problems]


def try_moment(program: str, moment: str, command: List[str], label: str, folder: str) -> str:
    said = catch(moment, command, folder)
    cores = re.findall(r"^MOMENT (.*)$", said, re.M)
    missed = re.search(r"^NOT REACHED (.*)$", said, re.M)
    problems = [problem for core in cores for problem in judge(program, core)]
    if not cores:
        result = "skip  " + missed.group(1) if missed else "FAIL  gdb made no core"
        problems = [] if missed else said.splitlines()[-5:]
    else:
        result = "FAIL" if problems else "ok"
    print("%-10s %-16s %3d cores  %s" % (moment, label, len(cores), result))
    for problem in problems[:10]:
        print("    " + problem)
    sys.stdout.flush()
    if not problems:
        shutil.rmtree(folder, ignore_errors=True)
    return result.split()[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--work", required=True)
    arguments = parser.parse_args()
    program, work = os.path.abspath(arguments.program), os.path.abspath(arguments.work)
    if shutil.which("gdb") is None or shutil.which("gcc") is None:
        print("skip: needs gdb and gcc")
        return 77
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    native = os.path.join(work, "turns")
    makecore.run(["gcc", "-g", "-O1", "-Wall", "-Wextra", "-o", native, os.path.join(PROGRAMS, "turns.c"), "-lpthread"])
    results = [try_moment(program, "waking", [native], "native", os.path.join(work, "waking"))]
    for python in makecore.find_pythons():
        if python.skipped:
            print("%-10s %-16s %s" % ("-", python.label, "skip  " + python.skipped))
            continue
        version = tuple(int(part) for part in python.label.split()[0].split(".")[:2])
        # 3.10 and older have no record that is pushed before it is filled; a sub-interpreter of 3.12 has a GIL of
        # its own.
        moments = ["entering"] if version >= (3, 11) else []
        moments += ["giving"] + (["taken"] if (3, 8) <= version <= (3, 11) else [])
        for moment in moments:
            folder = os.path.join(work, moment + "-" + python.label.replace(" ", "-"))
            command = [python.path, os.path.join(PROGRAMS, "inner.py" if moment == "taken" else "turns.py")]
            results.append(try_moment(program, moment, command, python.label, folder))
    print("%d passed, %d failed, %d skipped"
          % tuple(results.count(word) for word in ("ok", "FAIL", "skip")))
    return 1 if "FAIL" in results else 0 if "ok" in results else 77


if __name__ == "__main__":
    sys.exit(main())
