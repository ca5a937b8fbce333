"""The workload `triage`: a folder of cores, sorted by `coldcase triage`, against a shell loop over gdb.

20 cores of 20 processes, half of them Python's with 10 threads, half native with 50. gdb prints their stacks
one core after the other; coldcase also finds the locks, groups the cores and writes a report of each. CPU is
user and system time of the command and all that it started."""
from __future__ import annotations

import json
import os
import shlex
import shutil
import statistics
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Tuple

import measure
import peers
import workloads

CORES = 20
ONCE = 20.0  # seconds; a slower loop is run once


@dataclass
class Runner:
    name: str
    command: List[str]
    ours: bool
    samples: List[measure.Sample] = field(default_factory=list)
    problem: str = ""

    def median(self, of: str) -> float:
        return statistics.median(value_of(sample, of) for sample in self.samples)


def value_of(sample: measure.Sample, of: str) -> float:
    return sample.wall if of == "wall" else sample.user + sample.system


def make_cores(python: str, folder: str) -> Tuple[str, List[Tuple[str, str]]]:
    """The folder, and executable and core of each."""
    night, made = os.path.join(folder, "cores", "night"), []
    shutil.rmtree(night, ignore_errors=True)
    os.makedirs(night)
    for number in range(CORES):
        kind, threads = ("python", 10) if number % 2 else ("native", 50)
        one = workloads.Workload("night-%02d" % number, kind, threads)
        workloads.make(one, python, folder)
        core = os.path.join(night, "core.%02d" % number)
        shutil.move(one.core, core)
        shutil.rmtree(os.path.join(folder, "cores", one.name))
        made.append((one.executable, core))
    return night, made


def gdb_loop(cores: List[Tuple[str, str]], folder: str) -> List[str]:
    """What one writes in a job without coldcase."""
    text = "".join("%s > %s 2>/dev/null\n" % (
        shlex.join(peers.gdb().command(executable, core)),
        shlex.quote(os.path.join(folder, "out", os.path.basename(core) + ".txt")))
        for executable, core in cores)
    return ["sh", "-c", text]


def triage_out(folder: str) -> str:
    return os.path.join(folder, "out", "night")


def said_all(runner: Runner, cores: List[Tuple[str, str]], folder: str) -> str:
    """Why a run gets no time: a core that it did not tell."""
    if runner.ours:
        with open(os.path.join(triage_out(folder), "triage.json"), encoding="utf-8") as file:
            totals = json.load(file)["totals"]
        told = totals["incident_count"] - totals["unreadable_count"]
        return "" if told == CORES else "%d of %d cores told" % (told, CORES)
    for _, core in cores:
        path = os.path.join(folder, "out", os.path.basename(core) + ".txt")
        with open(path, encoding="utf-8", errors="replace") as file:
            if "Thread 1 " not in file.read():
                return "no stacks of " + os.path.basename(core)
    return ""


def once(runner: Runner, cores: List[Tuple[str, str]], folder: str, limit: float) -> None:
    shutil.rmtree(triage_out(folder), ignore_errors=True)
    environment = {name: value for name, value in os.environ.items() if name != "DEBUGINFOD_URLS"}
    sample = measure.run_timed(runner.command, os.path.join(folder, "out", "said"), limit,
                               dict(environment, LC_ALL="C.UTF-8"))
    if sample.over or sample.status not in ((2,) if runner.ours else (0,)):
        runner.problem = "over %.0f s" % limit if sample.over else "failed, status %d" % sample.status
    else:
        runner.problem = said_all(runner, cores, folder)
    if not runner.problem:
        runner.samples.append(sample)


def ratio(ours: Runner, loop: Runner, of: str) -> float:
    pairs = list(zip(ours.samples, loop.samples))
    if len(ours.samples) != len(loop.samples):
        return loop.median(of) / ours.median(of)
    return statistics.median(value_of(theirs, of) / value_of(own, of) for own, theirs in pairs)


def row_of(runner: Runner, loop: Runner) -> List[str]:
    if runner.problem or not runner.samples:
        return [runner.name, runner.problem or "no gdb", "", "", "", ""]
    both = ["", ""]
    if runner is not loop and loop.samples and not loop.problem:
        both = ["%.1f" % ratio(runner, loop, of) for of in ("wall", "cpu")]
    return [runner.name, "%.1f" % (CORES / runner.median("wall")), "%.2f" % runner.median("wall"),
            "%.2f" % runner.median("cpu"), *both]


HEAD = ["triage of %d cores" % CORES, "incidents/s", "s", "CPU s", "gdb's s", "gdb's CPU"]


def run(program: str, python: str, folder: str, rounds: int, limit: float
        ) -> Tuple[List[List[str]], Dict[str, Any]]:
    """The rows of a table below HEAD, and all samples. The last two columns: so many times as much."""
    night, cores = make_cores(python, folder)
    triage = [program, "triage", night, "-o", triage_out(folder), "--jobs"]
    runners = [Runner("coldcase, %s" % name, [*triage, jobs], True)
               for name, jobs in (("1 job", "1"), ("all processors", "0"))]
    loop = Runner("gdb loop", gdb_loop(cores, folder), False)
    everyone = runners + ([loop] if shutil.which("gdb") else [])
    for runner in everyone:  # the warm-up; of a slow loop a timed run
        once(runner, cores, folder, limit * CORES)
        if not runner.problem and runner.samples[0].wall <= ONCE:
            runner.samples.clear()
    for _ in range(rounds):
        for runner in everyone:
            if not runner.problem and not (runner.samples and runner.samples[0].wall > ONCE):
                once(runner, cores, folder, limit * CORES)
    shutil.rmtree(night)
    return ([row_of(runner, loop) for runner in [*runners, loop]],
            {runner.name: {"problem": runner.problem, "samples": [asdict(s) for s in runner.samples]}
             for runner in everyone})
