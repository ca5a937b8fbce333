#!/usr/bin/env python3
"""Thousands of threads in a core: the report comes soon, and people can read it.

    many_test.py --program build/dev/coldcase --work build/dev/live/many [--threads 5000]

Runs programs/many/many_threads.cpp and .py in each of their kinds, dumps them with the kernel and looks
at the verdict, the time (a generous limit: other things run here too), the sizes of text and Markdown,
and whether threads in one place are told in one line. Exit status: 0 all passed, 1 not, 77 nothing
could be tried.
"""
from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Dict, List

import makecore

PROGRAMS = os.path.join(makecore.PROGRAMS, "many")
TIME_LIMIT = 10.0    # seconds; about 0.3 on an idle machine
TEXT_LIMIT = 20000   # characters
MARKDOWN_LIMIT = 60000
LINES_LIMIT = 220
PATTERNS = {"idle": "none", "own": "none", "behind": "blocked-holder", "pairs": "blocked-holder",
            "chain": "blocked-holder", "ring": "lock-cycle", "circle": "lock-cycle"}
IN_PYTHON = ("idle", "behind", "ring")
EXIT_CODES = {"none": 0}  # all others: 2


@dataclass
class Row:
    kind: str
    language: str
    threads: int = 0
    seconds: float = 0.0
    sizes: str = ""


def build(folder: str) -> str:
    if shutil.which("g++") is None:
        raise makecore.CannotMake("no g++")
    os.makedirs(folder, exist_ok=True)
    binary = os.path.join(folder, "many_threads")
    source = os.path.join(PROGRAMS, "many_threads.cpp")
    if os.path.exists(binary) and os.path.getmtime(binary) > os.path.getmtime(source):
        return binary
    makecore.run(["g++", "-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Wl,--build-id", "-o", binary,
                  source, "-lpthread"])
    return binary


def make_core(command: List[str], folder: str) -> makecore.Core:
    makecore.check_kernel_dumps()
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    process = makecore.start(command, folder)
    try:
        truth = makecore.read_truth(process)
        time.sleep(1.0)  # the last threads between their word and their sleep
        makecore.settle(process, truth)
        count = len(os.listdir("/proc/%d/task" % process.pid))
        process.send_signal(signal.SIGABRT)
        return makecore.Core(makecore.await_kernel_core(process, folder), command[0], {"count": count})
    finally:
        makecore.finish(process)


def report(program: str, core: str, form: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([program, "analyze", core, "--format", form], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120)


def check_json(row: Row, done: "subprocess.CompletedProcess[str]", count: int) -> List[str]:
    told = json.loads(done.stdout)
    row.threads = told["totals"]["thread_count"]
    problems = []
    if row.threads != count:
        problems.append("%d threads told, %d there" % (row.threads, count))
    found = told["findings"][0]["pattern"] if told["findings"] else "none"
    if found != PATTERNS[row.kind]:
        problems.append("pattern %s: %s" % (found, told["verdict"]["headline"]))
    if done.returncode != EXIT_CODES.get(PATTERNS[row.kind], 2):
        problems.append("exit code %d" % done.returncode)
    if len(told["stacks"]) > 40:
        problems.append("%d stacks for a few places" % len(told["stacks"]))
    longest = max([len(finding["story"]) for finding in told["findings"]], default=0)
    if longest > 16:
        problems.append("a story of %d sentences" % longest)
    return problems


def check_text(row: Row, text: str, count: int) -> List[str]:
    problems = []
    if len(text) > TEXT_LIMIT or text.count("\n") > LINES_LIMIT:
        problems.append("text of %d characters, %d lines" % (len(text), text.count("\n")))
    told = [int(number) for number in
            re.findall(r"^ *(\d+) (?:idle|blocked|held up|deadlocked|blocks)", text, re.M)]
    # All but a handful of special ones stand in one line, or in two: half of the pairs each.
    wanted = {"pairs": count // 2 - 20, "circle": 0}.get(row.kind, count - 20)
    if row.kind != "circle" and max(told, default=0) < wanted:
        problems.append("no line for %d threads, the largest is %d" % (wanted, max(told, default=0)))
    table = re.search(r"^WHO WAITS FOR WHOM\n(.*?)\n\n", text, re.M | re.S)
    if table and table.group(1).count("\n") > 90:
        problems.append("a table of %d lines" % table.group(1).count("\n"))
    return problems


def check_markdown(text: str) -> List[str]:
    problems = []
    if len(text) > MARKDOWN_LIMIT:
        problems.append("Markdown of %d characters" % len(text))
    if "Cut to fit" in text:
        problems.append("the Markdown was cut")
    return problems


def check(row: Row, program: str, core: makecore.Core) -> List[str]:
    problems: List[str] = []
    sizes: Dict[str, int] = {}
    for form in ("json", "text", "md"):
        before = time.monotonic()
        done = report(program, core.path, form)
        row.seconds = max(row.seconds, time.monotonic() - before)
        sizes[form] = len(done.stdout)
        count = core.truth["count"]
        if form == "json":
            problems += check_json(row, done, count)
        elif form == "text":
            problems += check_text(row, done.stdout, count)
        else:
            problems += check_markdown(done.stdout)
    row.sizes = ", ".join("%s %d" % item for item in sizes.items())
    if row.seconds > TIME_LIMIT:
        problems.append("took %.1f s" % row.seconds)
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--threads", type=int, default=5000)
    parser.add_argument("--kind", choices=sorted(PATTERNS))
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    options = parser.parse_args()
    program, work = os.path.abspath(options.program), os.path.abspath(options.work)
    rows = [Row(kind, "C++") for kind in PATTERNS] + [Row(kind, "Python") for kind in IN_PYTHON]
    tried = failed = 0
    for row in [row for row in rows if options.kind in (None, row.kind)]:
        folder = os.path.join(work, row.kind + "-" + row.language)
        try:
            start = ([build(os.path.join(work, "built"))] if row.language == "C++" else
                     [sys.executable, os.path.join(PROGRAMS, "many_threads.py")])
            core = make_core([*start, row.kind, str(options.threads)], folder)
            problems = check(row, program, core)
        except (makecore.CannotMake, makecore.WentWrong, OSError) as why:
            print("%-7s %-7s skip: %s" % (row.kind, row.language, why), flush=True)
            continue
        finally:
            if not options.keep:
                shutil.rmtree(folder, ignore_errors=True)
        tried += 1
        failed += bool(problems)
        print("%-7s %-7s %5d threads  %5.2f s  %s  %s" % (
            row.kind, row.language, row.threads, row.seconds, row.sizes,
            "FAIL" if problems else "ok"), flush=True)
        for problem in problems:
            print("    " + problem, flush=True)
    return 1 if failed else 0 if tried else 77


if __name__ == "__main__":
    sys.exit(main())
