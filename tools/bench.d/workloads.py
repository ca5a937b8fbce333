"""The cores that the benchmark reads: made on demand, by the kernel, from programs that hang.

A workload's name says what it is: py10 is 10 Python threads, nat500 is 500 native ones, nat500s the same
program stripped, nat500d the same with 500 different stacks, many5000 thousands of shallow ones. All threads have 256 KiB stacks, so that the
cores stay small."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import List

import makecore

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON_DEPTH = "30"
NATIVE_DEPTH = "98"  # about 105 frames a thread


@dataclass
class Workload:
    name: str
    kind: str      # python, native, stripped or different
    threads: int
    depth: str = ""  # calls; empty: NATIVE_DEPTH
    core: str = ""
    executable: str = ""


KNOWN = {w.name: w for w in (
    Workload("py10", "python", 10), Workload("py200", "python", 200),
    Workload("nat50", "native", 50), Workload("nat500", "native", 500),
    Workload("nat500s", "stripped", 500), Workload("nat500d", "different", 500),
    Workload("many5000", "native", 5000, "8"))}


def build_native(folder: str) -> None:
    source = os.path.join(HERE, "native.cpp")
    program, stripped = (os.path.join(folder, name) for name in ("native", "native-stripped"))
    if os.path.exists(stripped) and os.path.getmtime(stripped) > os.path.getmtime(source):
        return
    for tool in ("g++", "strip"):
        if shutil.which(tool) is None:
            raise makecore.CannotMake("no " + tool)
    makecore.run(["g++", "-std=c++20", "-g", "-O2", "-Wl,--build-id", "-o", program, source, "-lpthread"])
    makecore.run(["strip", "--strip-all", "-o", stripped, program])


def command_of(workload: Workload, python: str, folder: str) -> List[str]:
    count = str(workload.threads)
    if workload.kind == "python":
        return [python, os.path.join(HERE, "hang.py"), count, PYTHON_DEPTH]
    name = "native-stripped" if workload.kind == "stripped" else "native"
    spread = ["spread"] if workload.kind == "different" else []
    return [os.path.join(folder, name), count, workload.depth or NATIVE_DEPTH, *spread]


def make(workload: Workload, python: str, folder: str) -> None:
    """Runs the program until all its threads wait, and lets the kernel dump it."""
    makecore.check_kernel_dumps()
    if workload.kind != "python":
        build_native(folder)
    command = command_of(workload, python, folder)
    place = os.path.join(folder, "cores", workload.name)
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    process = subprocess.Popen(command, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"),
                               start_new_session=True, preexec_fn=makecore.allow_core)
    try:
        makecore.settle(process, makecore.read_truth(process))
        process.send_signal(signal.SIGABRT)
        workload.core = makecore.await_kernel_core(process, place)
        workload.executable = command[0]
    finally:
        makecore.finish(process)


def own_python() -> str:
    return os.path.realpath(sys.executable)
