#!/usr/bin/env python3
"""A core of 40 GiB, nearly all of it a hole, costs what the same stacks in a small core cost: time as a ratio,
memory as a bound; the same packed (.zst in the seekable format).

    sparse_test.py --program build/dev/coldcase --work build/dev/live/sparse

Exit status: 0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import Any, Dict, List, Tuple

import makecore
import seekable

SIZES = {"small": 1, "large": 40 << 10}  # MiB reserved
ROUNDS = 5
MOST_RATIO = 2.0       # of the CPU time of the best of the rounds
MOST_SECONDS = 1.0     # of CPU
MOST_MEMORY = 64 << 10  # KiB, with the pages of mapped files


def make(program: str, folder: str, size: int) -> str:
    os.makedirs(folder)
    process = subprocess.Popen([program, str(size)], cwd=folder, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, start_new_session=True,
                               preexec_fn=makecore.allow_core)
    try:
        makecore.settle(process, makecore.read_truth(process))
        process.send_signal(signal.SIGABRT)
        return makecore.await_kernel_core(process, folder)
    finally:
        makecore.finish(process)


def run(program: str, core: str) -> Tuple[Dict[str, Any], float, int]:
    """The report, seconds of CPU, KiB at the peak."""
    process = subprocess.Popen([program, "analyze", core, "--format", "json"], stdout=subprocess.PIPE,
                               stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 2:
        raise makecore.WentWrong("exit %d for %s" % (process.returncode, core))
    return json.loads(text), usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def story_of(report: Dict[str, Any]) -> List[Any]:
    """What must not depend on how large the core is: verdict, titles, patterns."""
    return [report["verdict"]["kind"], report["verdict"]["headline"],
            [(f["pattern"], f["confidence"], f["headline"]) for f in report["findings"]]]


def judge(program: str, cores: Dict[str, str]) -> List[str]:
    problems: List[str] = []
    seconds: Dict[str, List[float]] = {name: [] for name in cores}
    stories: Dict[str, Any] = {}
    memory = dict.fromkeys(cores, 0)
    for _ in range(ROUNDS):
        for name, core in cores.items():
            report, spent, peak = run(program, core)
            seconds[name].append(spent)
            memory[name] = max(memory[name], peak)
            stories[name] = story_of(report)
    for name in cores:
        best = min(seconds[name])
        ratio = best / min(seconds["small"])
        print("%-14s %6.1f ms of CPU, %.2f times the small one's, %.1f MiB"
              % (name, best * 1000, ratio, memory[name] / 1024))
        # A packed core is inflated where it is touched: its ratio is to a file that is mapped.
        if best > MOST_SECONDS or (ratio > MOST_RATIO and "packed" not in name):
            problems.append("%s takes too long" % name)
        if memory[name] > MOST_MEMORY:
            problems.append("%s takes too much memory" % name)
        if stories[name] != stories["small"]:
            problems.append("%s tells another story: %r" % (name, stories[name]))
    return problems


def test(program: str, work: str) -> List[str]:
    built = os.path.join(work, "sparse")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs", "sparse.c")
    if shutil.which("gcc") is None or shutil.which("zstd") is None:
        raise makecore.CannotMake("no gcc or no zstd")
    makecore.run(["gcc", "-g", "-O1", "-o", built, source, "-lpthread"])
    cores = {name: make(built, os.path.join(work, name), size) for name, size in SIZES.items()}
    if os.path.getsize(cores["large"]) < 40 << 30:
        raise makecore.CannotMake("the kernel's core is not 40 GiB large")
    cores["large, packed"] = os.path.join(work, "large.zst")
    seekable.pack(cores["large"], cores["large, packed"])
    return judge(program, cores)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--work", required=True)
    options = parser.parse_args()
    work = os.path.abspath(options.work)
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    try:
        makecore.check_kernel_dumps()
        problems = test(os.path.abspath(options.program), work)
    except makecore.CannotMake as why:
        print("skip: %s" % why)
        return 77
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("\n".join(problems) or "all passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
