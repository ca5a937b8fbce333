#!/usr/bin/env python3
"""Interpreters whose symbols or files are gone: what a core tells of Python all the same.

    fileless_test.py --program build/dev/coldcase --work build/dev/live/fileless [--python LABEL]

`file gone`: the interpreter is a copy that is deleted before the analysis; `embedded`: the static
library inside a stripped program; `stripped`: a library with its exported symbols only. Exit status:
0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import argparse
import glob
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List

import live_test
import makecore
from report_checks import Expected, check_report

CASES = ("abba_lock", "rlock_abba", "self_lock", "gil_mutex", "idle_workers")
EMBEDDED = os.path.join(makecore.PROGRAMS, "python", "embedded.c")


@dataclass(frozen=True)
class Row:
    case: live_test.Case
    kind: str
    python: makecore.Python


def write_starter(path: str, command: str, environment: Dict[str, str]) -> str:
    words = "".join("export %s='%s'\n" % pair for pair in environment.items())
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\n%sexec %s \"$@\"\n" % (words, command))
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path


def library_of(executable: str) -> str:
    said = subprocess.run(["ldd", executable], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True).stdout
    found = re.search(r"libpython3\.\d+\w*\.so\S* => (\S+)", said)
    return found.group(1) if found else ""


def copied(python: makecore.Python, folder: str, change: Callable[[str], None]) -> str:
    """A starter of this interpreter whose own code is a copy in `folder`, changed first."""
    os.makedirs(folder)
    starter = os.path.join(folder, "start")
    suite = os.path.dirname(os.path.dirname(python.path))
    if os.path.exists(os.path.join(suite, "usr/bin", os.path.basename(python.path))):
        real = os.path.join(suite, "usr/bin", os.path.basename(python.path))
        copy = shutil.copy(real, folder)
        change(copy)
        loader = glob.glob(os.path.join(suite, "lib*/ld-linux-*.so.*"))[0]
        paths = glob.glob(os.path.join(suite, "usr/lib/*-linux-gnu"))[0]
        return write_starter(starter, "'%s' --library-path '%s' '%s'" % (loader, paths, copy),
                             {"PYTHONHOME": os.path.join(suite, "usr")})
    executable = os.path.realpath(python.path)
    library = library_of(executable)
    copy = shutil.copy(os.path.realpath(library or executable),
                       os.path.join(folder, os.path.basename(library or executable)))
    change(copy)
    if library:
        return write_starter(starter, "'%s'" % executable, {"LD_LIBRARY_PATH": folder})
    home = os.path.dirname(os.path.dirname(executable))
    return write_starter(starter, "'%s'" % copy, {"PYTHONHOME": home})


def leave(_: str) -> None:
    """The copy stays as it is."""


def strip(path: str) -> None:
    os.chmod(path, os.stat(path).st_mode | stat.S_IWUSR)
    makecore.run(["strip", "--strip-all", path])


def configuration(python: str, name: str) -> str:
    ask = "import sysconfig; print(sysconfig.get_config_var(%r) or '')" % name
    return subprocess.run([python, "-c", ask], stdout=subprocess.PIPE, text=True).stdout.strip()


def embedded(python: makecore.Python, folder: str) -> str:
    """A stripped program with the interpreter's static library inside."""
    library = os.path.join(configuration(python.path, "LIBPL"),
                           configuration(python.path, "LIBRARY"))
    include = configuration(python.path, "INCLUDEPY")
    if not os.path.isfile(library) or not os.path.isfile(os.path.join(include, "Python.h")):
        raise makecore.CannotMake("no static library or headers")
    os.makedirs(folder)
    program = os.path.join(folder, "embedded")
    needed = [*configuration(python.path, "LIBS").split(),
              *configuration(python.path, "SYSLIBS").split(),
              *configuration(python.path, "MODLIBS").split()]
    makecore.run(["gcc", "-O2", "-I" + include, EMBEDDED, library, *needed, "-lz", "-lexpat", "-o",
                  program])
    strip(program)
    return program


def make(row: Row, folder: str, built: str) -> makecore.Core:
    shutil.rmtree(folder, ignore_errors=True)
    home = os.path.join(folder, "interpreter")
    if row.kind == "embedded":
        path = embedded(row.python, home)
    else:
        path = copied(row.python, home, strip if row.kind == "stripped" else leave)
    try:
        return makecore.make_core(row.case.program, "kernel", os.path.join(folder, "run"), built,
                                  path)
    finally:
        if row.kind == "file gone":
            shutil.rmtree(home)


def judge(row: Row, program: str, core: makecore.Core) -> List[str]:
    code, output, errors = live_test.analyze(program, core)
    try:
        report: Dict[str, Any] = json.loads(output)
    except ValueError:
        return ["exit code %d and no JSON: %s" % (code, errors.strip()[-300:])]
    gone = row.kind == "file gone"
    expected = Expected(row.case.patterns, (row.case.kind,), confidence=row.case.confidence,
                        merged=not gone)
    problems = check_report(report, core.truth, expected, code, core.tids)
    notes = [note.get("code") for note in report.get("notes", [])]
    if gone and "python-file-missing" not in notes:
        problems.append("no note says that the interpreter's file is missing")
    return problems


def rows(only: str) -> Iterator[Row]:
    for python in makecore.find_pythons(fetched=True):
        if python.skipped or only not in python.label:
            continue
        minor = int(python.label.split(".")[1])
        for case in live_test.CASES:
            if case.program not in CASES:
                continue
            yield Row(case, "file gone", python)
            if case.program != "gil_mutex" and python.path.startswith("/usr/"):
                yield Row(case, "embedded", python)  # an extension in C finds no symbols there
            if minor == 6:
                yield Row(case, "stripped", python)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--python", default="", help="only those with this in their label")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    work = os.path.abspath(options.work)
    built = os.path.join(work, "built")
    makecore.build_all(built)
    passed = failed = skipped = 0
    for row in rows(options.python):
        folder = os.path.join(work, "-".join([row.case.program, *row.python.label.split(),
                                              *row.kind.split()]))
        try:
            problems = judge(row, os.path.abspath(options.program), make(row, folder, built))
            result = "FAIL" if problems else "ok"
        except makecore.CannotMake as reason:
            problems, result = [], "skip: %s" % reason
        except (makecore.WentWrong, OSError, subprocess.TimeoutExpired) as problem:
            problems, result = ["%s: %s" % (type(problem).__name__, problem)], "FAIL"
        finally:
            if not options.keep:
                shutil.rmtree(folder, ignore_errors=True)
        print("%-14s %-14s %-10s %s" % (row.case.program, row.python.label, row.kind, result),
              flush=True)
        for problem in problems:
            print("    " + problem, flush=True)
        failed += bool(problems)
        skipped += result.startswith("skip")
        passed += result == "ok"
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0 if passed else 77


if __name__ == "__main__":
    sys.exit(main())
