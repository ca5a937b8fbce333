#!/usr/bin/env python3
"""Dumps healthy processes of the system and wants to hear of each that nothing is wrong.

    corpus_test.py --program build/dev/coldcase --work build/dev/live/corpus [--only redis ...]
    corpus_test.py --install     # apt-get what tools/corpus-packages names, as root

Every process of a program is dumped with gcore, and where an abort harms nobody by the kernel; each
core is analyzed alone, and the cores of one program also in one call. Exit status: 0 all were told to
be healthy, 1 not, 77 nothing could be tried. What is not installed is a row marked `skip`.
"""
from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Dict, List, Sequence, Set

import makecore
from corpus_programs import PROGRAMS, Missing, Place, Program

ANALYZE_TIMEOUT = 120.0
REST_TIMEOUT = 6.0
EXIT_CODES = {"none": 0, "inconclusive": 4}
SET_CHILD_SUBREAPER = 36  # prctl: orphans of what we start become our children
PACKAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools",
                        "corpus-packages")


# Processes


def parents() -> Dict[int, int]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, encoding="utf-8", errors="replace") as file:
                    found[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
    return found


def descendants() -> List[int]:
    """What this test started, directly or not, lowest first."""
    tree, mine = parents(), {os.getpid()}
    while True:
        more: Set[int] = {pid for pid, parent in tree.items() if parent in mine} - mine
        if not more:
            return sorted(mine - {os.getpid()})
        mine |= more


def states(pid: int) -> str:
    """One letter a thread; empty when it has ended."""
    letters = ""
    try:
        for tid in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/stat" % (pid, tid), encoding="utf-8",
                      errors="replace") as file:
                letters += file.read().rpartition(")")[2].split()[0]
    except OSError:
        return letters
    return letters


def command_name(pid: int) -> str:
    try:
        with open("/proc/%d/comm" % pid, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"


def living() -> List[int]:
    return [pid for pid in descendants() if states(pid).strip("Z")]


def come_to_rest() -> None:
    """Until every thread sleeps three times in a row; a program that never does is dumped anyway."""
    end, seen = time.monotonic() + REST_TIMEOUT, 0
    while seen < 3 and time.monotonic() < end:
        time.sleep(0.1)
        resting = all(set(states(pid)) <= set("SZI") for pid in living())
        seen = seen + 1 if resting else 0


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass


def end_all() -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        left = living()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap()
        if not left:
            return
        time.sleep(0.05)


# Dumps


@dataclass
class Dump:
    pid: int
    name: str
    how: str
    path: str


def dump_all_with_gcore(pids: Sequence[int], folder: str) -> List[Dump]:
    if shutil.which("gcore") is None:
        raise Missing("no gcore")
    dumps = []
    for pid in pids:
        name = command_name(pid)
        said = makecore.run_gcore(pid, folder)
        path = os.path.join(folder, "core.%d" % pid)
        if os.path.exists(path):
            dumps.append(Dump(pid, name, "gcore", path))
        elif "ptrace" in said or "not permitted" in said:
            raise Missing("gcore may not look")
    return dumps


def take_kernel_core(pid: int, folder: str) -> Dump:
    """Aborts one process. core_pattern may leave the number out: so one after the other."""
    dump = Dump(pid, command_name(pid), "kernel", os.path.join(folder, "core.%d" % pid))
    place = os.readlink("/proc/%d/cwd" % pid)
    names = [os.path.join(place, name) for name in ("core.%d" % pid, "core")]
    os.kill(pid, signal.SIGABRT)
    os.kill(pid, signal.SIGCONT)
    end = time.monotonic() + 30
    while time.monotonic() < end and states(pid).strip("Z"):
        time.sleep(0.05)
    for path in names:
        if os.path.isfile(path):
            shutil.move(path, dump.path)
            break
    return dump


def dump_all_with_kernel(pids: Sequence[int], folder: str) -> List[Dump]:
    """All are stopped first: none sees another die. Children first, while they still have parents."""
    makecore.check_kernel_dumps()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    dumps = [take_kernel_core(pid, folder) for pid in reversed(pids)]
    reap()
    return [dump for dump in reversed(dumps) if os.path.exists(dump.path)]


# Judging


@dataclass
class Row:
    program: str
    who: str
    how: str
    milliseconds: int = 0
    threads: int = 0
    problem: str = ""


def judge(coldcase: str, program: Program, row: Row, cores: Sequence[str]) -> Row:
    before = time.monotonic()
    done = subprocess.run([coldcase, "analyze", *cores, "--format", "json"], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=ANALYZE_TIMEOUT)
    row.milliseconds = round((time.monotonic() - before) * 1000)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        row.problem = "exit code %d and no JSON: %s" % (done.returncode, done.stderr.strip()[-300:])
        return row
    row.threads = report["totals"]["thread_count"]
    verdict = report["verdict"]
    if verdict["kind"] != program.verdict or done.returncode != EXIT_CODES[program.verdict]:
        patterns = ", ".join(finding["pattern"] for finding in report["findings"]) or "no finding"
        row.problem = "%s, exit code %d (%s): %s" % (verdict["kind"], done.returncode, patterns,
                                                     verdict["headline"])
    return row


def judge_all(coldcase: str, program: Program, dumps: Sequence[Dump], table: List[Row]) -> None:
    for dump in dumps:
        row = Row(program.name, "%s" % dump.name, dump.how)
        table.append(judge(coldcase, program, row, [dump.path]))
        print_row(table[-1])
    if len(dumps) > 1:
        row = Row(program.name, "all %d" % len(dumps), dumps[0].how)
        table.append(judge(coldcase, program, row, [dump.path for dump in dumps]))
        print_row(table[-1])


def print_row(row: Row) -> None:
    print("%-24s %-16s %-7s %6d %5d  %s" % (row.program, row.who, row.how, row.milliseconds,
                                            row.threads, "FAIL" if row.problem else "ok"),
          flush=True)
    if row.problem:
        print("    " + row.problem, flush=True)


def skip(program: Program, how: str, why: object) -> None:
    print("%-24s %-16s %-7s %6s %5s  skip: %s" % (program.name, "", how, "", "", why), flush=True)


def try_program(program: Program, how: str, options: argparse.Namespace, table: List[Row]) -> None:
    folder = os.path.join(options.work, "%s-%s" % (program.name, how))
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    cores = folder + "-cores"
    shutil.rmtree(cores, ignore_errors=True)
    os.makedirs(cores)
    place = Place(folder, [])
    try:
        program.start(place)
        come_to_rest()
        pids = living()
        if not pids:
            raise makecore.WentWrong("it has ended")
        dump = dump_all_with_gcore if how == "gcore" else dump_all_with_kernel
        dumps = dump(pids, cores)
        end_all()
        if not dumps:
            skip(program, how, "no core was written")
        judge_all(options.program, program, dumps, table)
    except (Missing, makecore.CannotMake, makecore.WentWrong, OSError) as why:
        skip(program, how, str(why).replace("\n", " ")[-300:])
    finally:
        end_all()
        for descriptor in place.closing:
            os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)
        if not options.keep:
            shutil.rmtree(cores, ignore_errors=True)


def install() -> int:
    with open(PACKAGES, encoding="utf-8") as file:
        names = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    return subprocess.call(["apt-get", "install", "-y", "--no-install-recommends", *names],
                           env=environment)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="the coldcase executable")
    parser.add_argument("--work", help="folder for cores")
    parser.add_argument("--only", nargs="+", choices=sorted(PROGRAMS), default=sorted(PROGRAMS))
    parser.add_argument("--how", nargs="+", choices=("gcore", "kernel"),
                        default=("gcore", "kernel"))
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    parser.add_argument("--install", action="store_true", help="install what can be tried")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    if options.install:
        return install()
    options.program, options.work = os.path.abspath(options.program), os.path.abspath(options.work)
    ctypes.CDLL(None, use_errno=True).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    print("%-24s %-16s %-7s %6s %5s  result" % ("program", "process", "dump", "ms", "threads"))
    table: List[Row] = []
    for program in PROGRAMS.values():
        if program.name in options.only:
            for how in options.how:
                if program.gcore if how == "gcore" else program.kernel:
                    try_program(program, how, options, table)
    failed = sum(bool(row.problem) for row in table)
    print("%d healthy, %d told otherwise" % (len(table) - failed, failed))
    return 77 if not table else 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
