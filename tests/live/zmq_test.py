#!/usr/bin/env python3
"""Finalizers that block, and ZeroMQ contexts that cannot end: real processes, dumped, and told.

    zmq_test.py --program build/dev/coldcase --work build/dev/live/zmq [--keep] [--case zmq_finalizer]

The ZeroMQ programs run with Debian's python3-zmq, and with PyPI's pyzmq in an environment made in
--work; without either, or without a registry, the rows say so. The others run with every
interpreter that is there. Exit status: 0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Sequence

import environments
import makecore
from live_test import analyze
from report_checks import (Expected, Report, check_confidence, check_count, check_edges,
                           check_health, check_python_names, check_sites, check_verdict, last_name)

BOTH = ("gcore", "kernel")
OPEN, CLOSED = "0xbaddecaf", "0xdeadbeef"


@dataclass(frozen=True)
class Case:
    program: str
    patterns: Sequence[str]
    kinds: Sequence[str]
    zmq: bool = False
    confidence: str = "proved"  # at least
    advice: str = ""            # a word of it


CASES = [
    Case("zmq_finalizer", ("blocking-finalizer",), ("hang",), True, "proved", "linger"),
    Case("zmq_decref", ("blocking-finalizer",), ("hang",), True, "very_likely", "linger"),
    # Ended by hand: what it waits for is told; that nobody will close the sockets is not known.
    Case("zmq_term", ("none", "blocked-holder"), ("inconclusive", "hang"), True, "hypothesis"),
    Case("zmq_server", ("none",), ("none",), True),
    Case("lock_finalizer", ("blocking-finalizer",), ("hang",), False, "likely", "finalizer"),
    Case("self_finalizer", ("self-deadlock",), ("deadlock",), False, "likely"),
]


@dataclass
class Attempt:
    case: Case
    dump: str
    label: str
    python: str = ""
    skipped: str = ""

    def folder_name(self) -> str:
        return "-".join([self.case.program, self.label.replace(" ", "-"), self.dump])


def attempts_of(cases: Sequence[Case], work: str) -> Iterator[Attempt]:
    pythons = makecore.find_pythons()
    folder = os.path.join(work, "environment")
    with_zmq = (environments.pythons_with(environments.ZMQ, pythons, folder)
                if any(case.zmq for case in cases) else [])
    for case in cases:
        for python in with_zmq if case.zmq else pythons:
            for dump in BOTH:
                yield Attempt(case, dump, python.label, python.path, python.skipped)


# Checks


def waited_context(report: Report, truth: Dict[str, Any]) -> Dict[str, Any]:
    wait = report.thread(truth["threads"]["MainThread"]).get("wait", {})
    if wait.get("kind") != "zmq_context" or wait.get("ends") != "never":
        return {}
    return next((report.at(identity) for identity in wait.get("on", [])), {})


def check_context(report: Report, truth: Dict[str, Any]) -> List[str]:
    """The context is found, with its sockets, their types and the port; no host and no path."""
    wanted = truth.get("zmq")
    if wanted is None:
        return []
    context = waited_context(report, truth)
    if not context:
        return ["the main thread does not wait for a context"]
    problems = []
    evidence = [e for e in report.value["evidence"] if e.get("resource") == context["id"]]
    claims = [e["claim"] for e in evidence
              if any(w["value"] == OPEN for w in e.get("words", []))]
    if sorted(c.split(",")[0] for c in claims) != sorted(wanted["open"]):
        problems.append("open sockets: %s, not %s" % (claims, wanted["open"]))
    if not any("tcp port %d" % wanted["port"] in claim for claim in claims):
        problems.append("no socket has the port %d: %s" % (wanted["port"], claims))
    closed = [e["claim"] for e in evidence
              if any(w["value"] == CLOSED for w in e.get("words", []))]
    if truth["pattern"] == "blocked-holder" and not any("linger -1" in c for c in closed):
        problems.append("the closed socket that lingers is missing: %s" % closed)
    if report.thread(truth["threads"]["MainThread"]).get("api", {}).get("name") != "zmq_ctx_term":
        problems.append("the main thread is not said to be in zmq_ctx_term")
    whole = json.dumps(report.value)
    problems += ["the report tells %s" % private for private in ("127.0.0.1", "coldcase-nobody",
                 "coldcase-private") if private in whole]
    return problems


def check_finalizer(report: Report, truth: Dict[str, Any], case: Case) -> List[str]:
    wanted = truth.get("finalizer")
    if wanted is None:
        return []
    finding = report.main_finding()
    prose = json.dumps([finding.get("story"), finding.get("summary")])
    place = "%s:%d" % (wanted["file"], wanted["line"])
    problems = []
    if wanted["function"] not in finding.get("headline", ""):
        problems.append("the headline lacks %s: %s" % (wanted["function"],
                                                       finding.get("headline")))
    if place not in prose or wanted["interrupted"] not in prose:
        problems.append("the interrupted line %s is not told" % place)
    if last_name(finding.get("location", {}).get("function", "")) != "__del__":
        problems.append("the finding is not located at the finalizer")
    if not any(case.advice in line["text"] for line in finding.get("advice", [])):
        problems.append("no advice about " + case.advice)
    if "__del__" not in finding.get("signature", {}).get("text", ""):
        problems.append("the signature does not name the finalizer")
    return problems + check_collector(report, truth, case)


def check_collector(report: Report, truth: Dict[str, Any], case: Case) -> List[str]:
    main = report.thread(truth["threads"]["MainThread"])
    states = [interpreter.get("gc", {}) for process in report.value["processes"]
              for runtime in process.get("runtimes", [])
              for interpreter in runtime.get("interpreters", [])]
    collects = case.program != "zmq_decref"
    problems = []
    if [state.get("running") for state in states] != [collects]:
        problems.append("the collector's state: %s" % states)
    if collects and [state.get("thread") for state in states] != [main.get("id")]:
        problems.append("the collecting thread is %s" % states)
    if [python.get("in_gc") for python in main.get("python", [])] != [collects]:
        problems.append("in_gc of the main thread: %s" % main.get("python"))
    return problems


def check_helpers(report: Report, case: Case) -> List[str]:
    names = [t.get("name", "") for t in report.value["threads"] if t.get("name_from") == "runtime"]
    wanted = ["ZeroMQ I/O", "ZeroMQ reaper"] if case.zmq else []
    return [] if sorted(names) == wanted else ["helpers %s, not %s" % (sorted(names), wanted)]


def problems_of(attempt: Attempt, program: str, core: makecore.Core) -> List[str]:
    code, output, errors = analyze(program, core)
    try:
        report = Report(json.loads(output))
    except ValueError:
        return ["exit code %d and no JSON: %s" % (code, errors.strip()[-300:])]
    case, truth = attempt.case, core.truth
    expected = Expected(case.patterns, case.kinds, confidence=case.confidence)
    problems = check_verdict(report, expected, code) + check_count(report, core.tids)
    problems += check_python_names(report, truth) + check_helpers(report, case)
    if truth["kind"] == "none":
        return problems + check_health(report)
    if report.findings():
        problems += check_confidence(report, expected)
    problems += check_edges(report, truth, True) + check_sites(report, truth)
    return problems + check_context(report, truth) + check_finalizer(report, truth, case)


def attempt_once(attempt: Attempt, program: str, work: str, keep: bool) -> List[str]:
    folder = os.path.join(work, attempt.folder_name())
    try:
        core = makecore.make_core(attempt.case.program, attempt.dump, folder,
                                  os.path.join(work, "built"), attempt.python)
        return problems_of(attempt, program, core)
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


def run_all(attempts: Sequence[Attempt], program: str, work: str, keep: bool) -> int:
    passed = failed = skipped = 0
    for attempt in attempts:
        problems = [] if attempt.skipped else attempt_once(attempt, program, work, keep)
        result = "skip: " + attempt.skipped if attempt.skipped else "FAIL" if problems else "ok"
        print("%-15s %-14s %-7s %s" % (attempt.case.program, attempt.label, attempt.dump, result),
              flush=True)
        for problem in problems:
            print("    " + problem, flush=True)
        failed += bool(problems)
        skipped += bool(attempt.skipped)
        passed += not problems and not attempt.skipped
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0 if passed else 77


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for cores and the environment")
    parser.add_argument("--case", choices=[case.program for case in CASES])
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    options = parser.parse_args()
    work = os.path.abspath(options.work)
    os.makedirs(work, exist_ok=True)
    cases = [case for case in CASES if options.case in (None, case.program)]
    return run_all(list(attempts_of(cases, work)), os.path.abspath(options.program), work,
                   options.keep)


if __name__ == "__main__":
    sys.exit(main())
