#!/usr/bin/env python3
"""Ranks of MPI jobs under mpirun, the core of every rank, and one report over all of them.

    mpi_test.py --program build/dev/coldcase --work build/dev/live/mpi [--case split] [--keep]

Open MPI and MPICH, as far as they are here: Debian's, or those under COLDCASE_OPENMPI=PREFIX and
COLDCASE_MPICH=PREFIX. Exit status: 0 all passed, 1 not, 77 nothing could be
tried. A row that could not be tried says why.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import makecore
import mpi_run
from report_checks import CONFIDENCES, EXIT_CODES, Json, Report, check_health, frame_is

ROOT = os.path.dirname(os.path.dirname(makecore.HERE))
OPEN_MPI, MPICH = "openmpi", "mpich"


@dataclass(frozen=True)
class Case:
    name: str  # argument of the program, or "python"
    size: int
    mpi: str
    dump: str
    pattern: str
    kind: str
    confidence: str = "proved"  # at least
    involved: Tuple[int, ...] = ()  # ranks in the main finding; empty: all


CASES = [
    Case("mismatch", 2, OPEN_MPI, "gcore", "collective-mismatch", "deadlock"),
    Case("mismatch", 4, OPEN_MPI, "kernel", "collective-mismatch", "deadlock"),
    Case("mismatch", 2, MPICH, "kernel", "collective-mismatch", "deadlock", "likely"),
    Case("barrier", 4, OPEN_MPI, "gcore", "collective-mismatch", "deadlock"),
    Case("barrier", 4, MPICH, "gcore", "collective-mismatch", "deadlock", "likely"),
    Case("split", 4, OPEN_MPI, "kernel", "collective-mismatch", "deadlock", involved=(0, 2)),
    Case("split", 4, MPICH, "gcore", "collective-mismatch", "deadlock", "likely", (0, 2)),
    Case("crossed", 2, OPEN_MPI, "kernel", "collective-mismatch", "deadlock"),
    Case("crossed", 2, MPICH, "kernel", "collective-mismatch", "deadlock", "likely"),
    Case("receive", 4, OPEN_MPI, "gcore", "collective-mismatch", "deadlock"),
    Case("receive", 2, MPICH, "kernel", "collective-mismatch", "deadlock", "likely"),
    Case("finalize", 4, OPEN_MPI, "gcore", "collective-mismatch", "deadlock", "very_likely"),
    Case("finalize", 2, MPICH, "kernel", "collective-mismatch", "deadlock", "likely"),
    Case("lock", 2, OPEN_MPI, "gcore", "self-deadlock", "deadlock", involved=(1,)),
    Case("messages", 2, OPEN_MPI, "gcore", "message-cycle", "deadlock", "likely"),
    Case("python", 2, OPEN_MPI, "gcore", "collective-mismatch", "deadlock"),
    Case("python", 2, OPEN_MPI, "kernel", "collective-mismatch", "deadlock"),
    # Healthy: somebody who runs may still come.
    Case("compute", 4, OPEN_MPI, "gcore", "collective-wait", "none", "very_likely"),
    Case("compute", 2, MPICH, "kernel", "collective-wait", "none", "very_likely"),
    Case("server", 2, OPEN_MPI, "gcore", "none", "none"),
    # Ranks that move while one is dumped after the other: what they show does not fit together.
    Case("busy", 4, OPEN_MPI, "gcore", "", "moving"),
]


def build(mpi: str, folder: str) -> str:
    compiler = mpi_run.find_tool(mpi, "mpicc")
    os.makedirs(folder, exist_ok=True)
    output = os.path.join(folder, "mpi_mismatch." + mpi)
    libraries = os.path.join(os.path.dirname(os.path.dirname(compiler)), "lib")
    makecore.run([compiler, "-O1", "-g", "-Wall", "-Wextra", "-Wl,--build-id", "-o", output,
                  os.path.join(makecore.PROGRAMS, "mpi_mismatch.c"), "-Wl,-rpath," + libraries,
                  "-lpthread"])
    return output


def command_of(case: Case, built: str) -> List[str]:
    if case.name != "python":
        return [build(case.mpi, built), case.name]
    if "COLDCASE_OPENMPI" in os.environ:
        raise makecore.CannotMake("mpi4py is of another MPI")
    python = "/usr/bin/python3"
    found = subprocess.run([python, "-c", "import mpi4py"], stderr=subprocess.DEVNULL, check=False)
    if found.returncode != 0:
        raise makecore.CannotMake("no mpi4py")
    return [python, os.path.join(makecore.PROGRAMS, "mpi_mismatch.py")]


def analyze(program: str, cores: Sequence[str]) -> Tuple[int, Report]:
    done = subprocess.run([program, "analyze", "--format", "json", *cores], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False)
    return done.returncode, Report(json.loads(done.stdout))


def check_schema(report: Report) -> List[str]:
    try:
        import jsonschema
    except ImportError:
        return []
    path = os.path.join(ROOT, "share", "coldcase", "coldcase-report-1.closed.schema.json")
    with open(path, encoding="utf-8") as file:
        schema = jsonschema.Draft202012Validator(json.load(file))
    return ["schema: %s: %s" % (e.json_path, e.message[:200])
            for e in schema.iter_errors(report.value)][:5]


def check_verdict(report: Report, code: int, case: Case) -> List[str]:
    kind = report.value["verdict"]["kind"]
    finding = report.main_finding()
    problems = []
    if kind != case.kind or code != EXIT_CODES[kind]:
        problems.append("verdict %s, exit code %d" % (kind, code))
    if finding.get("pattern", "none") != case.pattern:
        problems.append("pattern %s" % finding.get("pattern", "none"))
    if finding and (CONFIDENCES.index(finding["confidence"])
                    < CONFIDENCES.index(case.confidence)):
        problems.append("confidence %s" % finding["confidence"])
    if report.value["verdict"].get("unrelated"):
        problems.append("the ranks are called unrelated")
    return problems + (check_health(report) if case.kind == "none" else [])


def check_rank(report: Report, case: Case, truth: Dict[str, Any]) -> List[str]:
    """Place in the job, call, communicator and line of one rank."""
    said = "rank %d: " % truth["rank"]
    thread = report.thread(truth["pid"])
    place = report.at(thread.get("process", "")).get("mpi", {})
    problems = []
    if (place.get("rank"), place.get("size")) != (truth["rank"], case.size):
        problems.append(said + "place %s" % place)
    if thread.get("api", {}).get("name", "") != truth["call"]:
        problems.append(said + "in %s, not %s" % (thread.get("api"), truth["call"]))
    if truth["call"] and thread.get("state") not in ("spinning", "blocked", "idle"):
        problems.append(said + "state %s" % thread.get("state"))
    on = [report.at(x) for x in thread.get("wait", {}).get("on", [])]
    if truth["on"] and not any(truth["on"] in x.get("label", "") for x in on):
        problems.append(said + "waits on %s, not %s" % ([x.get("label") for x in on], truth["on"]))
    frames = report.frames(truth["pid"])
    site = thread.get("site")
    # A server's or a computing rank's line moves; a blocked one's does not.
    if site is None or (truth["call"] and not frame_is(frames[site], truth["site"])):
        problems.append(said + "site %s, not %s" % (frames[site] if site else None, truth["site"]))
    if case.kind != "none":
        inside = thread.get("id") in report.main_finding().get("threads", [])
        if inside != (not case.involved or truth["rank"] in case.involved):
            problems.append(said + "in the main finding: %s" % inside)
    return problems


def check_shared(report: Report, case: Case, truths: Sequence[Dict[str, Any]]) -> List[str]:
    """One resource for a communicator, in as many processes as say they have it."""
    problems: List[str] = []
    if case.name == "finalize":  # whoever is in it may have none any more
        return problems
    for name in {truth["on"] for truth in truths if truth["on"]}:
        found = [r for r in report.value["resources"]
                 if r["kind"] == "collective" and name in r["label"]]
        size = case.size // 2 if case.name == "split" and name != "MPI_COMM_WORLD" else case.size
        if len(found) != 1 or len(found[0]["at"]) != size:
            problems.append("%s: %s" % (name, [len(r["at"]) for r in found]))
    return problems


def check_alone(program: str, core: str, case: Case) -> List[str]:
    """One rank of several: no verdict, and what is missing is said with the command to give."""
    code, report = analyze(program, [core])
    notes = [n for n in report.value["notes"] if n["code"] == "mpi-ranks-missing"]
    if code != EXIT_CODES["inconclusive"] or not notes or "analyze" not in notes[0]["command"]:
        return ["one rank alone: exit code %d, notes %s" % (code, notes)]
    return []


def check_no_leak(report: Report) -> List[str]:
    text = json.dumps(report.value)
    return ["the report has %s" % word for word in ("PMIX_NAMESPACE", "PMI_", "OMPI_COMM_WORLD_")
            if word in text]


def attempt(case: Case, program: str, work: str, keep: bool) -> List[str]:
    folder = os.path.join(work, "-".join([case.name, str(case.size), case.mpi, case.dump]))
    try:
        command = command_of(case, os.path.join(work, "built"))
        with mpi_run.Job(case.mpi, case.size, command, folder) as job:
            cores = job.dump(case.dump)
        code, report = analyze(program, cores)
        if case.kind == "moving":
            kind = report.value["verdict"]["kind"]
            return [] if kind in ("none", "inconclusive") else ["verdict " + kind]
        problems = check_verdict(report, code, case) + check_schema(report)
        for truth in job.truths:
            problems += check_rank(report, case, truth)
        problems += check_shared(report, case, job.truths) + check_no_leak(report)
        if case.name == "mismatch":
            problems += check_alone(program, cores[0], case)
        return problems
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--case", choices=sorted({case.name for case in CASES}))
    parser.add_argument("--mpi", choices=[OPEN_MPI, MPICH])
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    passed = failed = skipped = 0
    for case in CASES:
        if options.case not in (None, case.name) or options.mpi not in (None, case.mpi):
            continue
        problems: List[str] = []
        result = "ok"
        try:
            problems = attempt(case, os.path.abspath(options.program),
                               os.path.abspath(options.work), options.keep)
        except makecore.CannotMake as reason:
            result = "skip: %s" % reason
        except (makecore.WentWrong, OSError, ValueError, KeyError, IndexError, TypeError,
                subprocess.TimeoutExpired) as problem:
            problems = ["%s: %s" % (type(problem).__name__, problem)]
        if problems:
            result = "FAIL"
        print("%-10s %d ranks %-8s %-7s %s" % (case.name, case.size, case.mpi, case.dump, result),
              flush=True)
        for text in problems:
            print("    " + text, flush=True)
        passed += result == "ok"
        failed += result == "FAIL"
        skipped += result.startswith("skip")
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0 if passed else 77


if __name__ == "__main__":
    sys.exit(main())
