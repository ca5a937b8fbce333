#!/usr/bin/env python3
"""Interpreters whose symbols or files are gone: what a core tells of Python all the same.

    fileless_test.py --program build/dev/coldcase --work build/dev/live/fileless [--python LABEL]

`file gone`: the interpreter is a copy that is deleted before the analysis; `embedded`: the static
library inside a stripped program, `embedded gone`: that is deleted, too; `stripped`: a library with
its exported symbols only. `newer`, `beta`, `free-threaded`: in the core the runtime's description
of itself says that it is one that no coldcase can know; `other name`: the file's name says so, and
for `other name gone` it is deleted. Exit status: 0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import argparse
import glob
import json
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List

import live_test
import makecore
from report_checks import Expected, check_report

CASES = ("abba_lock", "rlock_abba", "self_lock", "gil_mutex", "idle_workers")
UNKNOWN = {  # what _Py_DebugOffsets says of itself: version, free_threaded
    "newer": (0x036300F0, 0), "beta": (0x030F00B3, 0), "free-threaded": (0, 1)}
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


def describe_otherwise(core: str, version: int, free_threaded: int) -> None:
    """Writes into the core what the runtime says of itself."""
    with open(core, "r+b") as file:
        content = file.read()
        found = 0
        for at in (match.start() for match in re.finditer(b"xdebugpy", content)):
            old, flag = struct.unpack_from("<QQ", content, at + 8)
            if old >> 24 != 3 or flag > 1:
                continue  # the word, not the description
            file.seek(at + 8)
            file.write(struct.pack("<QQ", version or old, free_threaded))
            found += 1
    if not found:
        raise makecore.WentWrong("no description of the runtime in the core")


def library_of(executable: str) -> str:
    said = subprocess.run(["ldd", executable], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True).stdout
    found = re.search(r"libpython3\.\d+\w*\.so\S* => (\S+)", said)
    return found.group(1) if found else ""


def copied(python: makecore.Python, folder: str, change: Callable[[str], None],
           name: str = "") -> str:
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
                       os.path.join(folder, name or os.path.basename(library or executable)))
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
    # Debian's library is not compiled for programs that may lie anywhere.
    makecore.run(["gcc", "-O2", "-no-pie", "-I" + include, EMBEDDED, library, *needed, "-lz", "-lexpat", "-o",
                  program])
    strip(program)
    return program


def make(row: Row, folder: str, built: str) -> makecore.Core:
    shutil.rmtree(folder, ignore_errors=True)
    home = os.path.join(folder, "interpreter")
    if row.kind.startswith("embedded"):
        path = embedded(row.python, home)
    elif row.kind.startswith("other name"):
        path = copied(row.python, home, leave, "python3.99")
    elif row.kind in UNKNOWN:
        path = row.python.path
    else:
        path = copied(row.python, home, strip if row.kind == "stripped" else leave)
    try:
        core = makecore.make_core(row.case.program, "kernel", os.path.join(folder, "run"), built,
                                  path)
    finally:
        if row.kind.endswith("gone"):
            shutil.rmtree(home)
    if row.kind in UNKNOWN:
        describe_otherwise(core.path, *UNKNOWN[row.kind])
    return core


def judge(row: Row, program: str, core: makecore.Core) -> List[str]:
    code, output, errors = live_test.analyze(program, core)
    try:
        report: Dict[str, Any] = json.loads(output)
    except ValueError:
        return ["exit code %d and no JSON: %s" % (code, errors.strip()[-300:])]
    notes = [note.get("code") for note in report.get("notes", [])]
    gone = row.kind.endswith("gone")
    problems = []
    if row.kind in UNKNOWN or row.kind.startswith("other name") or is_without_gil(row):
        return check_unread(report, notes, code, row.kind)
    if gone and "python-file-missing" not in notes:
        problems.append("no note says that the interpreter's file is missing")
    truth = dict(core.truth)
    if gone:
        truth.pop("callback", None)  # the functions by which it is found have no names
    expected = Expected(row.case.patterns, (row.case.kind,), confidence=row.case.confidence,
                        merged=not gone)
    return problems + check_report(report, truth, expected, code, core.tids)


def is_without_gil(row: Row) -> bool:
    """3.6 keeps its GIL in variables that only the file's symbols name."""
    return (row.kind, row.case.program) == ("file gone", "gil_mutex") and minor_of(row.python) == 6


def tries_of(row: Row) -> int:
    """Who waits for the GIL wakes every 5 ms; awake, only the function's name would tell it."""
    return 3 if (row.kind, row.case.program) == ("file gone", "gil_mutex") else 1


def check_unread(report: Dict[str, Any], notes: List[str], code: int, kind: str) -> List[str]:
    """A note, no verdict, and nothing of Python that would be a guess."""
    problems = []
    if code != 4 or report["verdict"]["kind"] != "inconclusive":
        problems.append("exit code %d, verdict %s" % (code, report["verdict"]["kind"]))
    (note, *_) = [one for one in report["notes"] if one["code"] == "python-unread"] or [{}]
    if not note.get("advice"):
        problems.append("no note that advises what to do: %s" % notes)
    frames = [frame for stack in report["stacks"] for frame in stack["frames"]]
    if kind != "file gone" and any(frame["kind"] == "python" for frame in frames):
        problems.append("tells Python frames of an interpreter that it cannot know")
    if not any(frame["kind"] == "native" for frame in frames):
        problems.append("tells no native frames")
    return problems


def minor_of(python: makecore.Python) -> int:
    return int(python.label.split(".")[1])


def kinds_of(python: makecore.Python, program: str) -> Iterator[str]:
    yield "file gone"
    minor, system = minor_of(python), python.path.startswith("/usr/")
    if program not in ("gil_mutex", "idle_workers") and system:  # extensions find no symbols there
        yield "embedded"
        yield "embedded gone"
    if minor == 6:
        yield "stripped"
    if program == "abba_lock" and system and minor <= 12:
        yield "other name"
        yield "other name gone"
    if program == "abba_lock" and minor >= 13:
        yield from UNKNOWN


def rows(only: str) -> Iterator[Row]:
    for python in makecore.find_pythons(fetched=True):
        if python.skipped or only not in python.label:
            continue
        for case in live_test.CASES:
            if case.program in CASES:
                for kind in kinds_of(python, case.program):
                    yield Row(case, kind, python)


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
            problems = ["never tried"]
            for _ in range(tries_of(row)):
                if problems:
                    problems = judge(row, os.path.abspath(options.program),
                                     make(row, folder, built))
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
