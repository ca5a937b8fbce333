#!/usr/bin/env python3
"""coldcase --locals: arguments and variables of native frames, which nobody is told without asking.

    locals_test.py --program build/dev/coldcase --work build/dev/live/locals

What is told has to be true; without optimizing all of it has to be told. Exit status: 0 all passed,
1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import Any, Dict, List

import makecore
from inputs_test import Bench, Check, Problems, run_all

SOURCE = os.path.join(makecore.PROGRAMS, "locals.cpp")
TRUTH = {
    "inner": {"count": "42", "name": '"a name"', "color": "green", "flag": "true", "ratio": "2.5",
              "letters": '"let\\x1b[31mters"', "big": "-9000000000", "small": "200", "point": "Point at 0x",
              "wild": "0x10"},
    "outer": {"depth": "41", "before": "11"},
}
TYPES = {"count": "int", "name": "char*", "color": "Color", "flag": "bool", "ratio": "double",
         "letters": "char[]", "big": "long int", "small": "unsigned char", "point": "Point"}
CHECKS: List[Check] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def make(bench: Bench, compiler: str, level: str) -> makecore.Core:
    name = "%s%s" % (compiler, level)
    program = os.path.join(bench.work, "locals" + name)
    os.makedirs(bench.work, exist_ok=True)
    made = subprocess.run([compiler, "-std=c++17", "-g", level, "-o", program, SOURCE], check=False)
    if made.returncode != 0:
        raise makecore.CannotMake("no " + compiler)
    folder = os.path.join(bench.work, "core" + name)
    os.makedirs(folder, exist_ok=True)
    process = makecore.start([program], folder)
    try:
        truth = makecore.read_truth(process)
        makecore.settle(process, truth)
        return makecore.Core(makecore.dump_with_gcore(process, folder), program, truth, [])
    finally:
        makecore.finish(process)


def told(report: Dict[str, Any]) -> Dict[str, Dict[str, Dict[str, str]]]:
    """By function and name."""
    frames = {stack["id"]: stack["frames"] for stack in report["stacks"]}
    found: Dict[str, Dict[str, Dict[str, str]]] = {}
    for thread in report["threads"]:
        for one in thread.get("locals", []):
            function = frames[thread["stack"]][one["frame"]]["function"].partition("(")[0]
            found.setdefault(function, {})[one["name"]] = one
    return found


def compare(bench: Bench, compiler: str, level: str, everything: bool) -> Problems:
    core = make(bench, compiler, level)
    found, problems = told(bench.report(core.path, "--locals")), []
    count = 0
    for function, truth in TRUTH.items():
        for name, value in truth.items():
            one = found.get(function, {}).get(name)
            if one is None:
                if everything:
                    problems.append("%s of %s is not told" % (name, function))
                continue
            count += 1
            if value not in one["value"]:
                problems.append("%s of %s: %r" % (name, function, one))
            if name in TYPES and one.get("type", "").replace(" int", "") != TYPES[name].replace(" int", ""):
                problems.append("type of %s: %r" % (name, one))
    if not everything and count == 0:
        problems.append("nothing is told")
    return problems


@check
def not_optimized(bench: Bench) -> Problems:
    return compare(bench, "g++", "-O0", True)


@check
def optimized(bench: Bench) -> Problems:
    """What lies nowhere in particular is left out; what is told is true."""
    return compare(bench, "g++", "-O2", False)


@check
def of_clang(bench: Bench) -> Problems:
    return compare(bench, "clang++", "-O0", True) + compare(bench, "clang++", "-O2", False)


@check
def only_when_asked(bench: Bench) -> Problems:
    core = make(bench, "g++", "-O0")
    problems: Problems = []
    quiet = bench.run("analyze", core.path, "--threads", "all")
    if "a name" in quiet.stdout or told(bench.report(core.path)):
        problems.append("told without --locals")
    asked = bench.run("analyze", core.path, "--threads", "all", "--locals")
    for wanted in ("count = 42", '"a name"', "color = green", "before = 11"):
        if wanted not in asked.stdout:
            problems.append("not in the text: %s" % wanted)
    if "\x1b[31m" in asked.stdout:
        problems.append("a value's escape sequence reaches the terminal")
    path = os.path.join(bench.work, "private.txt")
    bench.run("analyze", core.path, "--locals", "-q", "-o", path)
    if stat.S_IMODE(os.stat(path).st_mode) != 0o600:
        problems.append("the file is %o" % stat.S_IMODE(os.stat(path).st_mode))
    if bench.report(core.path, "--locals")["redaction"]["opted_in"] != ["locals"]:
        problems.append("not said to be opted in")
    return problems


if __name__ == "__main__":
    sys.exit(run_all(__doc__ or "", CHECKS))
