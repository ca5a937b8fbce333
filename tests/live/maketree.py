"""Runs a program that becomes several processes, and dumps them all: the cores of one incident.

The programs of programs/trees say what they know line by line (tree.h, tree.py). Dumps: `gcore` and
`capture` (coldcase capture: cores with side-cars) leave the processes as they are; `kernel` stops
all of them first, so that none goes on because another has died, and then lets them die of SIGABRT
one closely after the other, children first. Everything started here is ended here.
"""
from __future__ import annotations

import ctypes
import glob
import json
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import makecore
from makecore import CannotMake, WentWrong

TREES = os.path.join(makecore.PROGRAMS, "trees")
FLAGS = {"openmp.c": ("-fopenmp",)}
TAIL = ".side-car.json"
PR_SET_CHILD_SUBREAPER = 36


@dataclass
class Tree:
    cores: Dict[int, str]  # by pid
    truth: Dict[str, Any]

    def side_cars(self) -> List[str]:
        return [path for core in self.cores.values()
                for path in (core + TAIL, re.sub(r"\.zst$", "", core) + TAIL)
                if os.path.exists(path)]


def build_trees(folder: str) -> None:
    """programs/trees/*.c and *.cpp, with and without symbols; libplugin.so beside both."""
    for tool in ("gcc", "g++", "strip"):
        if shutil.which(tool) is None:
            raise CannotMake("no " + tool)
    sources = sorted(glob.glob(os.path.join(TREES, "*.c")) + glob.glob(os.path.join(TREES, "*.cpp")))
    for source in sources:
        for variant in makecore.VARIANTS:
            if os.path.basename(source) != "plugin.c":
                makecore.build_program(source, folder, variant,
                                       FLAGS.get(os.path.basename(source), ()))
                continue
            output = os.path.join(folder, variant, "libplugin.so")
            os.makedirs(os.path.dirname(output), exist_ok=True)
            makecore.run(["gcc", *makecore.VARIANTS[variant], "-Wall", "-Wextra", "-fPIC",
                          "-shared", "-Wl,--build-id", "-o", output, source, "-lpthread"])


def adopt_orphans() -> None:
    """Grandchildren whose parent has died become children of this process: it can reap them."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


# Truth


def take_line(truth: Dict[str, Any], line: str) -> None:
    word, _, text = line.partition(" ")
    facts = json.loads(text)
    if word == "SITE":
        name = facts["thread"]
        truth["threads"][name] = facts["tid"]
        truth["pids"][name] = facts["pid"]
        if facts["settles"]:
            truth["settles"][name] = facts["settles"]
        if "function" in facts:
            truth["sites"].append({key: facts[key]
                                   for key in ("thread", "function", "file", "line")})
    elif word == "EDGE":
        truth["edges"].append(facts)
    elif word == "SKIP":
        raise CannotMake("no " + facts["lacks"])
    elif word == "READY":
        truth.update(facts)
    else:
        raise WentWrong("said %r" % line[:200])


def read_truth(process: "subprocess.Popen[bytes]") -> Dict[str, Any]:
    assert process.stdout is not None
    truth: Dict[str, Any] = {"threads": {}, "pids": {}, "settles": {}, "sites": [], "edges": []}
    rest, end = b"", time.monotonic() + makecore.READY_TIMEOUT
    while "expects" not in truth or len(truth["threads"]) < truth["expects"]:
        left = max(0.0, end - time.monotonic())
        if not select.select([process.stdout], [], [], left)[0]:
            raise WentWrong("not ready after %d s: %s" % (makecore.READY_TIMEOUT,
                                                          sorted(truth["threads"])))
        more = os.read(process.stdout.fileno(), 1 << 16)
        if not more:
            raise WentWrong("ended before it was ready")
        *lines, rest = (rest + more).split(b"\n")
        for line in lines:
            take_line(truth, line.decode())
    return truth


def settle(truth: Dict[str, Any]) -> None:
    """Waits until every thread is where it will stay: three times in a row, 0.1 s apart."""
    seen, end = 0, time.monotonic() + makecore.SETTLE_TIMEOUT
    while seen < 3:
        if time.monotonic() > end:
            raise WentWrong("did not come to rest")
        time.sleep(0.1)
        try:
            rest = all(makecore.at_rest(truth["pids"][name], truth["threads"][name], word)
                       for name, word in truth["settles"].items())
        except FileNotFoundError:
            raise WentWrong("a thread ended instead of hanging") from None
        seen = seen + 1 if rest else 0


# Dumps


def state_of(pid: int) -> str:
    """R S D T Z; empty when it is gone."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def parent_of(pid: int) -> int:
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def children_first(pids: List[int]) -> List[int]:
    depth: Dict[int, int] = {}
    for pid in pids:
        at, steps = pid, 0
        while at > 1 and steps < 64:
            at, steps = parent_of(at), steps + 1
        depth[pid] = steps
    return sorted(pids, key=lambda pid: (-depth[pid], pid))


def await_state(pid: int, wanted: Sequence[str]) -> None:
    end = time.monotonic() + makecore.DUMP_TIMEOUT
    while state_of(pid) not in wanted:
        if time.monotonic() > end:
            raise WentWrong("process %d is not in state %s" % (pid, " or ".join(wanted)))
        time.sleep(0.02)


def cores_in(folder: str) -> Dict[int, str]:
    """Every process dumps into a folder of its own, named by its number."""
    return {int(os.path.basename(place)): os.path.join(place, name)
            for place, _folders, names in os.walk(folder) for name in names
            if name.startswith("core") and os.path.basename(place).isdigit()}


def await_core(pid: int, folder: str) -> None:
    """The kernel has gathered what it says of the process, or has dumped all of it."""
    end = time.monotonic() + makecore.DUMP_TIMEOUT
    while state_of(pid) not in ("Z", ""):
        path = cores_in(folder).get(pid)
        if path is not None and os.path.getsize(path) > 0:
            return
        if time.monotonic() > end:
            raise WentWrong("process %d leaves no core" % pid)


def system_calls(path: str) -> Dict[int, Tuple[int, int]]:
    """Of each thread of a kernel core: system call and result (x86_64; struct elf_prstatus)."""
    with open(path, "rb") as file:
        head = file.read(64)
        at, size, count = (struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54))
        file.seek(at)
        table = file.read(size * count)
        notes = [struct.unpack_from("<IIQQQQ", table, k * size) for k in range(count)]
        place = next((one for one in notes if one[0] == 4), None)
        if place is None:
            return {}
        file.seek(place[2])
        data = file.read(place[5])
    found: Dict[int, Tuple[int, int]] = {}
    at = 0
    while at + 12 <= len(data):
        names, length, kind = struct.unpack_from("<III", data, at)
        body = at + 12 + (names + 3) // 4 * 4
        if kind == 1 and length >= 240:
            rax, call = (struct.unpack_from("<q", data, body + k)[0] for k in (192, 232))
            found[struct.unpack_from("<i", data, body + 32)[0]] = (call, rax)
        at = body + (length + 3) // 4 * 4
    return found


def read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (PermissionError, FileNotFoundError, ProcessLookupError):
        return ""


def resting(pids: List[int]) -> Dict[int, int]:
    """The system calls of the threads that did not move for a while, by thread."""
    def look() -> Dict[int, Tuple[int, str]]:
        found = {}
        for pid in pids:
            for tid in map(int, os.listdir("/proc/%d/task" % pid)):
                call = read_text("/proc/%d/task/%d/syscall" % (pid, tid)).split()
                status = read_text("/proc/%d/task/%d/status" % (pid, tid))
                if len(call) > 1 and int(call[0]) >= 0:
                    found[tid] = (int(call[0]), status.rpartition("\nvoluntary")[2])
        return found
    before = look()
    time.sleep(0.15)
    after = look()
    return {tid: call for tid, (call, switches) in after.items()
            if before.get(tid) == (call, switches)}


def moved(cores: Dict[int, str], rest: Dict[int, int]) -> List[int]:
    """Threads that were at rest before the dumps and are not so in their cores: a wait4 that has
    returned a child, and what a stop had interrupted and the start before the end let go on."""
    wait4, restarted = 61, 219
    return [tid for path in cores.values() for tid, (call, result) in system_calls(path).items()
            if (call == wait4 and result > 0) or
            (tid in rest and call not in (rest[tid], restarted))]


def dump_by_kernel(pids: List[int], folder: str) -> Dict[int, str]:
    makecore.check_kernel_dumps()
    order = children_first(pids)
    rest = resting(order)
    for pid in order if len(order) > 1 else []:
        os.kill(pid, signal.SIGSTOP)
    for pid in order if len(order) > 1 else []:
        await_state(pid, ("T",))
    for pid in order:
        os.kill(pid, signal.SIGABRT)
    # A child that outlives its parent would have another one in its core, and a parent whose child
    # has died could return from its wait: each follows as soon as the core before it has begun.
    for pid in order:
        os.kill(pid, signal.SIGCONT)
        await_core(pid, folder)
    for pid in order:
        await_state(pid, ("Z", ""))
    cores = cores_in(folder)
    if set(cores) != set(pids):
        raise WentWrong("cores of %s, not of %s" % (sorted(cores), sorted(pids)))
    late = moved(cores, rest)
    if late:
        raise WentWrong("threads %s moved between two dumps" % late)
    return cores


def dump_by_gcore(pids: List[int], folder: str) -> Dict[int, str]:
    if shutil.which("gcore") is None:
        raise CannotMake("no gcore")
    cores = {}
    for pid in pids:
        said = makecore.run_gcore(pid, folder)
        cores[pid] = os.path.join(folder, "core.%d" % pid)
        if not os.path.exists(cores[pid]):
            if state_of(pid) in ("Z", ""):
                raise WentWrong("process %d ended while the others were dumped" % pid)
            denied = "ptrace" in said or "not permitted" in said
            raise (CannotMake if denied else WentWrong)("gcore: " + said[-300:])
    return cores


def dump_by_capture(pids: List[int], folder: str, program: str) -> Dict[int, str]:
    helped = subprocess.run([program, "capture", "--help"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, check=False).returncode == 0
    if not helped:
        raise CannotMake("this coldcase has no capture")
    output = os.path.join(folder, "captured")
    done = subprocess.run([program, "capture", *map(str, pids), "-o", output], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=makecore.DUMP_TIMEOUT, check=False)
    cores = {pid: path for pid in pids
             for path in glob.glob(os.path.join(output, "core.%d*" % pid))
             if not path.endswith(TAIL)}
    if set(cores) != set(pids):
        denied = "ptrace" in done.stdout or "not permitted" in done.stdout
        raise (CannotMake if denied else WentWrong)("capture: " + done.stdout[-300:])
    return cores


# Running


def session_of(pid: int) -> int:
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[3])


def members(session: int) -> List[int]:
    """Processes of the session that the program was started in."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and session_of(int(name)) == session:
                found.append(int(name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def finish(process: "subprocess.Popen[bytes]") -> None:
    session = process.pid
    for pid in members(session):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
    while True:  # adopted orphans
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0 and not members(session):
                return
        except ChildProcessError:
            return


def command_of(program: str, scenario: str, built: str, python: str, variant: str) -> List[str]:
    script = os.path.join(TREES, program + ".py")
    if os.path.exists(script):
        return [python, script, scenario]
    return [os.path.join(built, variant, program), scenario]


def make_tree(command: List[str], dump: str, folder: str, coldcase: str) -> Tree:
    """Runs the command in `folder` (emptied first) and dumps every process that has a site. What a
    loaded machine spoils (a program or a dump that was not as meant) is made again, twice at most."""
    for _ in range(2):
        try:
            return make_tree_once(command, dump, folder, coldcase)
        except WentWrong as reason:
            print("    made again: %s" % reason, flush=True)
    return make_tree_once(command, dump, folder, coldcase)


def make_tree_once(command: List[str], dump: str, folder: str, coldcase: str) -> Tree:
    if dump == "kernel":
        makecore.check_kernel_dumps()
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    process = makecore.start(command, folder)
    try:
        truth = read_truth(process)
        settle(truth)
        pids = sorted(set(truth["pids"].values()))
        if dump == "capture":
            return Tree(dump_by_capture(pids, folder, coldcase), truth)
        return Tree((dump_by_kernel if dump == "kernel" else dump_by_gcore)(pids, folder), truth)
    finally:
        finish(process)
