#!/usr/bin/env python3
"""Makes trees of real processes hang (or stay healthy), dumps all of them, and asks coldcase.

    tree_test.py --program build/dev/coldcase --work build/dev/live/trees
    tree_test.py --program ... --work ... --case queues-orphaned_semaphore --all-pythons --keep

Python rows run on two interpreters, Debian's and one other; all with --all-pythons. A row that could
not be tried says why. --text FOLDER also writes the text reports, to be read. Exit status: 0 all
passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Iterator, List, Sequence

import environments
import makecore
import maketree
import tree_cases
from tree_checks import View, check_tree

ANALYZE_TIMEOUT = 60.0


@dataclass
class Attempt:
    """One row of the table: an incident, dumped in one way."""
    case: tree_cases.Case
    dump: str
    label: str  # of the interpreter, or the variant
    python: str = ""
    skipped: str = ""

    def folder_name(self) -> str:
        return "-".join([self.case.name(), self.label.replace(" ", "-"), self.dump])


@dataclass
class Options:
    program: str
    work: str
    keep: bool
    text: str


def selected(view: View, tree: maketree.Tree) -> List[int]:
    pids = {tree.truth["pids"][name] for name in view.only} if view.only else set(tree.cores)
    return sorted(pids)


def analyze(options: Options, cores: Sequence[str], form: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([options.program, "analyze", *cores, "--format", form], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=ANALYZE_TIMEOUT, check=False)


def judge(attempt: Attempt, options: Options, tree: maketree.Tree) -> List[str]:
    problems: List[str] = []
    for number, view in enumerate(attempt.case.views(bool(tree.side_cars()))):
        if view.named and attempt.label == "release":
            view = tree_cases.HEALTHY
        pids = selected(view, tree)
        cores = [tree.cores[pid] for pid in pids]
        done = analyze(options, cores, "json")
        try:
            report = json.loads(done.stdout)
        except ValueError:
            return ["exit code %d and no JSON: %s" % (done.returncode, done.stderr.strip()[-300:])]
        found = check_tree(report, tree.truth, view, pids, done.returncode,
                           attempt.label != "release")
        where = "of %s: " % ", ".join(view.only) if view.only else ""
        problems += [where + problem for problem in found]
        if options.text:
            os.makedirs(options.text, exist_ok=True)
            name = "%s-%d.txt" % (attempt.folder_name(), number)
            with open(os.path.join(options.text, name), "w", encoding="utf-8") as file:
                file.write(analyze(options, cores, "text").stdout)
    return problems


def attempt_once(attempt: Attempt, options: Options) -> List[str]:
    folder = os.path.join(options.work, attempt.folder_name())
    command = maketree.command_of(attempt.case.program, attempt.case.scenario,
                                  os.path.join(options.work, "built"), attempt.python,
                                  attempt.label)
    try:
        tree = maketree.make_tree(command, attempt.dump, folder, options.program)
        return judge(attempt, options, tree)
    except makecore.CannotMake as reason:
        attempt.skipped = str(reason)
        return []
    except (makecore.WentWrong, OSError, subprocess.TimeoutExpired) as problem:
        return ["%s: %s" % (type(problem).__name__, problem)]
    except (KeyError, ValueError, TypeError, AttributeError) as problem:  # not the contract's shape
        return ["%s: %s" % (type(problem).__name__, problem)]
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def run_all(attempts: Sequence[Attempt], options: Options) -> int:
    passed = failed = 0
    for attempt in attempts:
        problems = [] if attempt.skipped else attempt_once(attempt, options)
        result = "skip: " + attempt.skipped if attempt.skipped else "FAIL" if problems else "ok"
        print("%-26s %-14s %-7s %s" % (attempt.case.name(), attempt.label, attempt.dump, result),
              flush=True)
        for problem in problems:
            print("    " + problem, flush=True)
        failed += bool(problems)
        passed += not problems and not attempt.skipped
    print("%d passed, %d failed, %d skipped" % (passed, failed, len(attempts) - passed - failed))
    return 1 if failed else 0 if passed else 77


def choose_pythons(everyone: bool) -> List[makecore.Python]:
    """Debian's, and the newest of the others."""
    usable = [python for python in makecore.find_pythons() if not python.skipped]
    system = [python for python in usable if python.path.startswith("/usr/")][-1:]
    others = [python for python in usable if not python.path.startswith("/usr/")]
    return usable if everyone else system + others[-1:]


def pythons_of(case: tree_cases.Case, chosen: Sequence[makecore.Python],
               work: str) -> Sequence[makecore.Python]:
    if case.needs is None:
        return [python for python in chosen
                if [int(part) for part in python.label.split()[0].split(".")[:2]] >= list(case.since)]
    folder = os.path.join(work, "environment-" + case.needs.module)
    return environments.pythons_with(case.needs, makecore.find_pythons(), folder)


def attempts_of(case: tree_cases.Case, dumps: Sequence[str],
                pythons: Sequence[makecore.Python]) -> Iterator[Attempt]:
    for dump in case.dumps:
        if dump not in dumps:
            continue
        if not case.python:
            yield from (Attempt(case, dump, variant) for variant in makecore.VARIANTS
                        if variant in case.variants)
        for python in pythons if case.python else []:
            yield Attempt(case, dump, python.label, python.path, python.skipped)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--case", action="append", help="PROGRAM-SCENARIO or PROGRAM; repeatable")
    parser.add_argument("--dump", action="append", choices=tree_cases.BOTH, help="repeatable")
    parser.add_argument("--group", choices=sorted(tree_cases.GROUPS))
    parser.add_argument("--all-pythons", action="store_true")
    parser.add_argument("--python", help="only this interpreter")
    parser.add_argument("--text", default="", help="folder for the text reports")
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    options = Options(os.path.abspath(arguments.program), os.path.abspath(arguments.work),
                      arguments.keep, arguments.text)
    cases = [case for case in tree_cases.CASES
             if (not arguments.case or {case.name(), case.program} & set(arguments.case))
             and (not arguments.group or case in tree_cases.GROUPS[arguments.group])]
    maketree.adopt_orphans()
    try:
        maketree.build_trees(os.path.join(options.work, "built"))
    except makecore.CannotMake as reason:
        print("skip: %s" % reason)
        return 77
    pythons: List[makecore.Python] = []
    if any(case.python for case in cases):
        pythons = ([makecore.ask_python(arguments.python)] if arguments.python
                   else choose_pythons(arguments.all_pythons))
    dumps = arguments.dump or tree_cases.BOTH
    return run_all([attempt for case in cases for attempt in
                    attempts_of(case, dumps, pythons_of(case, pythons, options.work))], options)


if __name__ == "__main__":
    sys.exit(main())
