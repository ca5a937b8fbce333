"""The cores that the benchmark reads: made on demand, by the kernel, from programs that hang.

A workload's name says what it is: py10 is 10 Python threads, nat500 is 500 native ones, nat500s the same
program stripped, nat500d the same with 500 different stacks, many5000 thousands of shallow ones, nat500z
nat500's core as a .zst of one frame. All threads have 256 KiB stacks, so that the cores stay small. bigdwarf is
a program with 285 MB of .debug_info; bigva two threads in a process that reserved 40 GiB, smallva the same with
1 GiB; bigheap 8 threads over 4 GiB of touched heap, bigheapz its core as a .zst with a seek table."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import List

import bigdwarf
import makecore
import seekable

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON_DEPTH = "30"
NATIVE_DEPTH = "98"  # about 105 frames a thread


@dataclass
class Workload:
    name: str
    kind: str      # python, native, stripped, different, packed, bigdwarf, bigva, bigheap or packedheap
    threads: int
    depth: str = ""  # calls; empty: NATIVE_DEPTH. Of bigva MiB, of bigheap GiB
    core: str = ""
    executable: str = ""


KNOWN = {w.name: w for w in (
    Workload("py10", "python", 10), Workload("py200", "python", 200),
    Workload("nat50", "native", 50), Workload("nat500", "native", 500),
    Workload("nat500s", "stripped", 500), Workload("nat500d", "different", 500),
    Workload("many5000", "native", 5000, "8"), Workload("nat500z", "packed", 500),
    Workload("bigdwarf", "bigdwarf", 50, "25"), Workload("bigva", "bigva", 2, "40960"),
    Workload("smallva", "bigva", 2, "1024"), Workload("bigheap", "bigheap", 8, "4"),
    Workload("bigheapz", "packedheap", 8, "4"))}


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


def build_bigdwarf(folder: str) -> None:
    program = os.path.join(folder, "bigdwarf")
    if os.path.exists(program) and os.path.getmtime(program) > os.path.getmtime(bigdwarf.__file__):
        return
    if shutil.disk_usage(folder).free < 4 << 30:
        raise makecore.CannotMake("less than 4 GiB of disk for bigdwarf")
    print("bigdwarf: compiling it, some minutes", flush=True)
    bigdwarf.build(program, ["-g", "-O1"])


def build_bigva(folder: str) -> None:
    source = os.path.join(os.path.dirname(os.path.abspath(makecore.__file__)), "programs", "sparse.c")
    makecore.run(["gcc", "-g", "-O1", "-o", os.path.join(folder, "bigva"), source, "-lpthread"])


def build_bigheap(folder: str) -> None:
    if shutil.disk_usage(folder).free < 16 << 30:
        raise makecore.CannotMake("less than 16 GiB of disk for bigheap and what unpacks it")
    makecore.run(["gcc", "-g", "-O1", "-Wl,--build-id", "-o", os.path.join(folder, "bigheap"),
                  os.path.join(HERE, "bigheap.c"), "-lpthread"])


def build(workload: Workload, folder: str) -> None:
    {"python": lambda _: None, "bigdwarf": build_bigdwarf, "bigva": build_bigva, "bigheap": build_bigheap,
     "packedheap": build_bigheap}.get(workload.kind, build_native)(folder)


def command_of(workload: Workload, python: str, folder: str) -> List[str]:
    count = str(workload.threads)
    if workload.kind == "python":
        return [python, os.path.join(HERE, "hang.py"), count, PYTHON_DEPTH]
    if workload.kind == "bigva":
        return [os.path.join(folder, "bigva"), workload.depth]
    if workload.kind in ("bigheap", "packedheap"):
        return [os.path.join(folder, "bigheap"), workload.depth]
    if workload.kind == "bigdwarf":
        return [os.path.join(folder, "bigdwarf"), count, workload.depth]
    name = "native-stripped" if workload.kind == "stripped" else "native"
    spread = ["spread"] if workload.kind == "different" else []
    return [os.path.join(folder, name), count, workload.depth or NATIVE_DEPTH, *spread]


def make(workload: Workload, python: str, folder: str) -> None:
    """Runs the program until all its threads wait, and lets the kernel dump it."""
    makecore.check_kernel_dumps()
    build(workload, folder)
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
    if workload.kind == "packed":
        makecore.run(["zstd", "-q", "--rm", workload.core])
        workload.core += ".zst"
    if workload.kind == "packedheap":
        seekable.pack(workload.core, workload.core + ".zst")
        os.unlink(workload.core)
        workload.core += ".zst"


def own_python() -> str:
    return os.path.realpath(sys.executable)
