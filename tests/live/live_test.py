#!/usr/bin/env python3
"""Makes real processes hang or crash, dumps them, and asks coldcase what happened.

    live_test.py --program build/dev/coldcase --work build/dev/live
    live_test.py --program ... --work ... --case founding_case --python /usr/bin/python3

One row per case, interpreter (or variant) and dump. Exit status: 0 all passed, 1 not, 77 nothing
could be tried. A row that could not be tried says why. Cores are deleted unless --keep is given.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Iterator, List, Sequence, Tuple

import makecore
from report_checks import Expected, check_report

ANALYZE_TIMEOUT = 60.0
BOTH = ("kernel", "gcore")
SEGV = ("crash-segv", "crash-null-deref")


@dataclass(frozen=True)
class Case:
    program: str
    group: str
    patterns: Sequence[str]
    kind: str
    dumps: Sequence[str] = BOTH
    python: bool = False
    confidence: str = "proved"  # at least; the holder of a plain threading.Lock is deduced
    # The detector of this pattern has tests of its own; here only the lock's holder counts.
    holder_only: bool = False
    traced: Sequence[str] = ()  # also run under these tracers, dumped by the kernel
    since: Tuple[int, int] = (3, 6)


TRACED = ("lines", "opcodes", "monitoring")
CASES = [
    Case("founding_case", "founding", ("gil-driver-inversion",), "deadlock", python=True),
    Case("abba_lock", "python_locks", ("lock-cycle",), "deadlock", python=True,
         confidence="likely", traced=TRACED),
    Case("lambda_lock", "python_locks", ("lock-cycle",), "deadlock", ("kernel",), python=True,
         confidence="likely"),
    Case("rlock_abba", "python_locks", ("lock-cycle",), "deadlock", ("kernel",), python=True,
         traced=("lines",)),
    Case("self_lock", "python_locks", ("self-deadlock",), "deadlock", ("kernel",), python=True,
         confidence="likely", traced=TRACED),
    Case("subinterpreter", "python_locks", ("self-deadlock",), "deadlock", ("kernel",), python=True,
         confidence="likely", since=(3, 8)),
    Case("gil_mutex", "python_locks", ("gil-lock-inversion",), "deadlock", python=True),
    Case("idle_workers", "healthy", ("none",), "none", python=True),
    Case("busy", "healthy", ("none",), "none", python=True),
    Case("idle_pool", "native", ("none",), "none"),
    Case("abba_mutex", "native", ("lock-cycle",), "deadlock"),
    Case("self_mutex", "native", ("self-deadlock",), "deadlock"),
    Case("rwlock_cycle", "native", ("lock-cycle",), "deadlock"),
    Case("crash_segv", "crash", SEGV, "crash", ("crash",)),
    Case("crash_abort", "crash", ("crash-uncaught-exception",), "crash", ("crash",)),
    Case("crash_assert", "crash", ("crash-assert",), "crash", ("crash",)),
    Case("crash_python", "crash", SEGV, "crash", ("crash",), python=True),
]


@dataclass
class Attempt:
    """One row of the table."""
    case: Case
    dump: str
    label: str  # of the interpreter, or the variant
    python: str = ""
    variant: str = "debug"
    skipped: str = ""
    traced: str = ""
    milliseconds: int = 0

    def folder_name(self) -> str:
        return "-".join([self.case.program, self.label.replace(" ", "-"), self.dump + self.traced])


def why_not(case: Case, python: makecore.Python) -> str:
    """Why the case is not tried on this interpreter."""
    version = tuple(int(n) for n in python.label.split()[0].split(".")[:2] if n.isdigit())
    return python.skipped or ("needs %d.%d" % case.since if version < case.since else "")


def attempts_of(case: Case, pythons: Sequence[makecore.Python]) -> Iterator[Attempt]:
    for dump in case.dumps:
        if case.python:
            for python in pythons:
                yield Attempt(case, dump, python.label, python.path, skipped=why_not(case, python))
        else:
            for variant in makecore.VARIANTS:
                yield Attempt(case, dump, variant, variant=variant)
    for traced in case.traced:
        for python in pythons:
            yield Attempt(case, "kernel", python.label, python.path,
                          skipped=why_not(case, python), traced=traced)


def analyze(program: str, core: makecore.Core) -> Tuple[int, str, str]:
    done = subprocess.run([program, "analyze", core.path, "--format", "json"], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=ANALYZE_TIMEOUT)
    return done.returncode, done.stdout, done.stderr


def judge(attempt: Attempt, program: str, core: makecore.Core) -> List[str]:
    """The problems of one report; the time of the analysis goes into the row."""
    before = time.monotonic()
    code, output, errors = analyze(program, core)
    attempt.milliseconds = round((time.monotonic() - before) * 1000)
    try:
        report = json.loads(output)
    except ValueError:
        return ["exit code %d and no JSON: %s" % (code, errors.strip()[-300:])]
    case = attempt.case
    expected = Expected(case.patterns, (case.kind,), names=attempt.variant == "debug",
                        confidence=case.confidence, truth_is_holder_only=case.holder_only)
    return check_report(report, core.truth, expected, code, core.tids)


def attempt_once(attempt: Attempt, program: str, work: str, keep: bool) -> List[str]:
    folder = os.path.join(work, attempt.folder_name())
    try:
        core = makecore.make_core(attempt.case.program, attempt.dump, folder,
                                  os.path.join(work, "built"), attempt.python, attempt.variant,
                                  attempt.traced)
        return judge(attempt, program, core)
    except makecore.CannotMake as reason:
        attempt.skipped = str(reason)
        return []
    except (makecore.WentWrong, OSError, subprocess.TimeoutExpired) as problem:
        return ["%s: %s" % (type(problem).__name__, problem)]
    except (KeyError, ValueError, TypeError, AttributeError) as problem:  # not the contract's shape
        return ["%s: %s" % (type(problem).__name__, problem)]
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def print_row(attempt: Attempt, problems: Sequence[str]) -> None:
    result = "skip: " + attempt.skipped if attempt.skipped else "FAIL" if problems else "ok"
    time_taken = "" if attempt.skipped else str(attempt.milliseconds)
    print("%-14s %-14s %-10s %6s  %s" % (attempt.case.program, attempt.label,
                                        attempt.traced or attempt.dump, time_taken, result),
          flush=True)
    for problem in problems:
        print("    " + problem, flush=True)


def run_all(attempts: Sequence[Attempt], program: str, work: str, keep: bool) -> int:
    print("%-14s %-14s %-10s %6s  %s" % ("case", "run by", "dump", "ms", "result"))
    passed = failed = 0
    for attempt in attempts:
        problems = [] if attempt.skipped else attempt_once(attempt, program, work, keep)
        print_row(attempt, problems)
        failed += bool(problems)
        passed += not problems and not attempt.skipped
    print("%d passed, %d failed, %d skipped" % (passed, failed, len(attempts) - passed - failed))
    return 1 if failed else 0 if passed else 77


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--python", help="only this interpreter")
    parser.add_argument("--case", choices=[case.program for case in CASES])
    parser.add_argument("--group", choices=sorted({case.group for case in CASES}))
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> List[Attempt]:
    cases = [case for case in CASES if options.case in (None, case.program)
             and options.group in (None, case.group)]
    pythons: List[makecore.Python] = []
    if any(case.python for case in cases):
        only = options.python
        pythons = [makecore.ask_python(only)] if only else makecore.find_pythons(fetched=True)
    return [attempt for case in cases for attempt in attempts_of(case, pythons)]


def main() -> int:
    options = parse_arguments()
    work = os.path.abspath(options.work)
    try:
        makecore.build_all(os.path.join(work, "built"))
    except makecore.CannotMake as reason:
        print("skip: %s" % reason)
        return 77
    return run_all(chosen(options), os.path.abspath(options.program), work, options.keep)


if __name__ == "__main__":
    sys.exit(main())
