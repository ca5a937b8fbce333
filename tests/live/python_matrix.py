#!/usr/bin/env python3
"""The live matrix of Python: every scenario of programs/python x interpreter x dump, graded.

    python_matrix.py --program build/dev/coldcase --work build/dev/live/matrix
    python_matrix.py --program ... --work ... --file locks --scenario crosswise --keep --text DIR
    python_matrix.py --program ... --work ... --all --python 3.8 --dump kernel

A scenario says what each thread really waits for and holds (programs/python/says.py); it is dumped
when all of its threads are at rest, and python_grade.py holds the report against its words. A row
for each run, its reasons where not everything is right, and totals. Without --all: each scenario on
Debian's interpreter and one other, in turn, with gcore and the kernel in turn. --traced runs them
under sys.settrace, --coverage under PyPI's coverage.

Exit status: 0; 1 when anything is wrong or a scenario's pattern is less than its `least`; 77 when
nothing could be tried. What this machine cannot run is a row marked skip, an interpreter that the
program says it cannot read a row marked unread.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import glob
import json
import os
import re
import select
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence, Tuple

import makecore
import python_tools
from makecore import CannotMake, WentWrong
from python_grade import GRADES, Grade, Report, Truth, grade_all

PROGRAMS = os.path.join(makecore.PROGRAMS, "python")
DUMPS = ("gcore", "kernel")
ANALYZE_TIMEOUT = 120.0
READ = ((3, 8), (3, 13))  # of these no row may be unread


@dataclass(frozen=True)
class Scenario:
    file: str
    name: str
    facts: Dict[str, Any] = field(hash=False, compare=False)


def version_of(python: makecore.Python) -> Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", python.label)[:2])


@dataclass
class Run:
    """One row."""
    scenario: Scenario
    python: makecore.Python
    dump: str
    skipped: str = ""
    problem: str = ""
    unread: bool = False
    milliseconds: int = 0
    worse: List[str] = field(default_factory=list)  # than pystack
    grades: List[Grade] = field(default_factory=list)

    def name(self) -> str:
        return "%s.%s" % (self.scenario.file, self.scenario.name)

    def folder_name(self) -> str:
        return "-".join([self.name(), self.python.label.replace(" ", "-"), self.dump])

    def word(self) -> str:
        if self.skipped:
            return "skip"
        if self.problem:
            return "FAIL"
        return "unread" if self.unread else max((grade.word for grade in self.grades),
                                                key=GRADES.index)

    def failures(self) -> List[str]:
        found = [self.problem] if self.problem else []
        if self.unread and READ[0] <= version_of(self.python) <= READ[1]:
            found.append("unread, though the program reads CPython %d.%d to %d.%d" %
                         (*READ[0], *READ[1]))
        found += ["pystack: " + text for text in self.worse if not self.unread]
        found += ["wrong: %s: %s" % (grade.what, "; ".join(grade.reasons))
                  for grade in self.grades if grade.word == "wrong"]
        least = self.scenario.facts["least"]
        if self.grades and not self.unread and \
                GRADES.index(self.grades[0].word) > GRADES.index(least):
            found.append("pattern %s, at least %s is wanted" % (self.grades[0].word, least))
        return found


# Which runs


def list_scenarios(only_file: str, only_name: str) -> List[Scenario]:
    found = []
    for path in sorted(glob.glob(os.path.join(PROGRAMS, "*.py"))):
        file = os.path.splitext(os.path.basename(path))[0]
        if file == "says" or only_file not in ("", file):
            continue
        done = subprocess.run([sys.executable, "-B", path, "--list"], stdout=subprocess.PIPE,
                              text=True, check=True, timeout=60)
        found += [Scenario(file, facts["name"], facts)
                  for facts in map(json.loads, done.stdout.splitlines())
                  if only_name in ("", facts["name"])]
    return found


def runs_of(scenarios: Sequence[Scenario], pythons: Sequence[makecore.Python],
            options: argparse.Namespace) -> List[Run]:
    """All pairs, or for each scenario Debian's interpreter first and then, in turn, another."""
    dumps = [dump for dump in DUMPS if options.dump in (None, dump)]
    if options.all or options.python:
        return [Run(scenario, python, dump) for scenario in scenarios for python in pythons
                for dump in dumps]
    usable = [python for python in pythons if not python.skipped]
    own = [python for python in usable if python.path.startswith("/usr/")][:1]
    others = [python for python in usable if python not in own]
    first = [Run(scenario, python, dumps[i % len(dumps)])
             for i, scenario in enumerate(scenarios) for python in own]
    return first + [Run(scenario, others[i % len(others)], dumps[(i + 1) % len(dumps)])
                    for i, scenario in enumerate(scenarios) if others]


def unfit(run: Run) -> str:
    """Why this interpreter is not for this scenario."""
    facts, version = run.scenario.facts, version_of(run.python)
    if run.python.skipped:
        return run.python.skipped
    if not tuple(facts["since"]) <= version < tuple(facts["before"]):
        return "for CPython %s to before %s" % tuple(".".join(map(str, facts[end]))
                                                     for end in ("since", "before"))
    return ""


# Running


class Lines:
    """What a scenario says, taken as it comes."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        self._stdout, self._rest, self.truth = process.stdout, b"", Truth()

    def take(self, seconds: float) -> bool:
        """False when nothing came, or nothing can come any more."""
        if not select.select([self._stdout], [], [], seconds)[0]:
            return False
        more = os.read(self._stdout.fileno(), 1 << 16)
        *lines, self._rest = (self._rest + more).split(b"\n")
        for line in lines:
            word, _, text = line.decode().partition(" ")
            self.truth.take(word, json.loads(text))
        return bool(more)


def at_rest(pid: int, truth: Truth) -> List[str]:
    """The threads that are not where they said they would be."""
    awake = []
    for name, words in truth.settles.items():
        try:
            rests = not words or any(makecore.at_rest(pid, truth.threads[name], word)
                                     for word in words.split("|"))
        except FileNotFoundError:
            rests = False
        awake += [] if rests else [name]
    return awake


def settle(process: "subprocess.Popen[bytes]", lines: Lines) -> bool:
    """Until the program is ready and nothing more comes of it; False when it died by a signal."""
    end = time.monotonic() + makecore.READY_TIMEOUT
    truth, quiet = lines.truth, 0
    while quiet < 3:
        spoke = lines.take(0.1 if quiet == 0 else 0.0)
        code = process.poll()
        if code is not None and not lines.take(0.0):
            if truth.ready and truth.ready["dies"] and code < 0:
                return False
            raise WentWrong("ended with status %d" % code)
        if time.monotonic() > end:
            raise WentWrong("not at rest: " + ", ".join(at_rest(process.pid, truth))
                            if truth.ready else "not ready")
        if not truth.ready or spoke:
            quiet = 0
            continue
        time.sleep(0.1)
        complete = len(truth.threads) >= truth.ready["expects"]
        quiet = quiet + 1 if complete and not at_rest(process.pid, truth) else 0
    return True


def make_core(run: Run, options: argparse.Namespace, folder: str) -> Tuple[str, Truth]:
    if run.dump == "kernel":
        makecore.check_kernel_dumps()
    command, environment = python_tools.command_of(
        run.python, os.path.join(PROGRAMS, run.scenario.file + ".py"), run.scenario.facts,
        options.work, "coverage" if options.coverage else "traced" if options.traced else "")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    process = makecore.start(["env", *("%s=%s" % pair for pair in environment.items()), *command],
                             folder)
    try:
        lines = Lines(process)
        if settle(process, lines):
            return makecore.DUMPS[run.dump](process, folder), lines.truth
        if run.dump == "gcore":
            raise CannotMake("died before gcore could come")
        return makecore.DUMPS["crash"](process, folder), lines.truth
    except WentWrong as problem:
        with open(os.path.join(folder, "stderr.txt"), encoding="utf-8", errors="replace") as file:
            raise WentWrong("%s %s" % (problem, file.read()[-500:])) from None
    finally:
        makecore.finish(process)


def analyze(program: str, core: str, form: str) -> str:
    done = subprocess.run([program, "analyze", core, "--format", form], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=ANALYZE_TIMEOUT)
    if not done.stdout:
        raise WentWrong("exit code %d: %s" % (done.returncode, done.stderr.strip()[-300:]))
    return done.stdout


def execute(run: Run, options: argparse.Namespace) -> None:
    """The outcome is in the row."""
    run.skipped = unfit(run)
    if run.skipped:
        return
    folder = os.path.join(options.work, run.folder_name())
    try:
        core, truth = make_core(run, options, folder)
        before = time.monotonic()
        value = json.loads(analyze(options.program, core, "json"))
        run.milliseconds = round((time.monotonic() - before) * 1000)
        run.grades = grade_all(value, truth)
        run.unread = Report(value).is_unread() and run.grades[0].word != "wrong"
        if run.unread:
            run.grades = []
        if options.pystack:
            run.worse = python_tools.worse_than_pystack(core, run.python, value, options.work)
        if options.text:
            with open(os.path.join(options.text, run.folder_name() + ".txt"), "w",
                      encoding="utf-8") as file:
                file.write(analyze(options.program, core, "text"))
    except CannotMake as reason:
        run.skipped = str(reason)
    except (WentWrong, OSError, ValueError, KeyError, TypeError,
            subprocess.TimeoutExpired) as problem:
        run.problem = "%s: %s" % (type(problem).__name__, problem)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


# Saying it

ROW = "%-28s %-15s %-7s %5s  %-7s %-7s %s"


def counts_of(grades: Sequence[Grade]) -> str:
    return " ".join("%d %s" % (count, word) for word in GRADES
                    for count in [sum(grade.word == word for grade in grades)] if count)


def print_run(run: Run) -> None:
    pattern = run.grades[0].word if run.grades else ""
    rest = run.skipped or run.problem.split("\n")[0] or counts_of(run.grades[1:])
    print((ROW % (run.name(), run.python.label, run.dump, run.milliseconds or "", run.word(),
                  pattern, rest)).rstrip())
    for grade in run.grades:
        reasons = "; ".join(filter(None, grade.reasons))
        if grade.word in ("wrong", "weaker") or (grade.word == "silent" and reasons):
            print("    %-6s %s: %s" % (grade.word, grade.what, reasons))
    for text in run.failures():
        print("    FAIL: " + text)
    sys.stdout.flush()


def print_table(runs: Sequence[Run]) -> None:
    """One line a scenario, one column an interpreter: the worst word of its runs."""
    labels = list(dict.fromkeys(run.python.label for run in runs if run.word() != "skip"))
    order = ("skip", "unread", *GRADES, "FAIL")
    print("\n%-28s %s" % ("worst of each", " ".join("%-14s" % label for label in labels)))
    for name in dict.fromkeys(run.name() for run in runs):
        words = [max((run.word() for run in runs
                      if (run.name(), run.python.label) == (name, label)),
                     key=order.index, default="") for label in labels]
        print(("%-28s %s" % (name, " ".join("%-14s" % word for word in words))).rstrip())
    print("\n%-14s %6s %6s %6s %6s %6s" % ("totals", "runs", *GRADES))
    for label in [*labels, ""]:
        mine = [run for run in runs if label in ("", run.python.label)]
        grades = [grade for run in mine for grade in run.grades]
        print("%-14s %6d %s" % (label or "all", sum(run.word() != "skip" for run in mine),
                                " ".join("%6d" % sum(grade.word == word for grade in grades)
                                         for word in GRADES)))


def run_all(runs: Sequence[Run], options: argparse.Namespace) -> int:
    print(ROW % ("scenario", "interpreter", "dump", "ms", "worst", "pattern", "its lines"))
    started, printing = time.monotonic(), threading.Lock()

    def one(run: Run) -> None:
        if options.seconds and time.monotonic() - started > options.seconds:
            run.skipped = "the time is up"
        else:
            execute(run, options)
        with printing:
            print_run(run)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done in [pool.submit(one, run) for run in runs]:
            done.result()
    print_table(runs)
    words = [run.word() for run in runs]
    failed = [run for run in runs if run.failures()]
    print("%d runs, %d failed, %d unread, %d skipped" %
          (len(runs), len(failed), words.count("unread"), words.count("skip")))
    for run in failed:
        print("FAIL: %s, %s, %s" % (run.name(), run.python.label, run.dump))
    return 1 if failed else 77 if words.count("skip") == len(words) else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--file", default="", help="only this file's scenarios, as locks")
    parser.add_argument("--scenario", default="", help="only this scenario")
    parser.add_argument("--python", default="", help="only these: part of a label or a path")
    parser.add_argument("--dump", choices=DUMPS)
    parser.add_argument("--all", action="store_true", help="every interpreter and dump")
    parser.add_argument("--traced", action="store_true", help="under sys.settrace")
    parser.add_argument("--coverage", action="store_true", help="under PyPI's coverage")
    parser.add_argument("--pystack", action="store_true",
                        help="hold the frames against those of PyPI's pystack, too")
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    parser.add_argument("--text", default="", help="folder for the text reports")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--seconds", type=float, default=0, help="start none after so long")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    options.program, options.work = map(os.path.abspath, (options.program, options.work))
    os.makedirs(options.work, exist_ok=True)
    if options.text:
        os.makedirs(options.text, exist_ok=True)
    makecore.allow_core()
    pythons = [python for python in makecore.find_pythons(fetched=True)
               if options.python in python.label or options.python in python.path]
    runs = runs_of(list_scenarios(options.file, options.scenario), pythons, options)
    return run_all(runs, options)


if __name__ == "__main__":
    sys.exit(main())
