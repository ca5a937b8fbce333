"""Runs a command once: for its time, undisturbed, or for its memory, under ptrace.

Time and resource usage come from wait4. Its maxrss counts the clean pages of mapped files too, and is never
below what this driver holds itself, for a child starts as its copy; so peaks come from a second kind of run,
stopped when the child exits (VmHWM, exact, of any tool) or also at every system call (the peak of RssAnon,
exact too: anonymous memory shrinks in system calls only)."""
from __future__ import annotations

import ctypes
import os
import platform
import select
import signal
import threading
import time
from dataclasses import dataclass
from typing import Dict, List, Optional

TRACEME, CONT, SYSCALL, SETOPTIONS = 0, 7, 24, 0x4200
TRACESYSGOOD, TRACEEXIT, EXITKILL = 0x1, 0x40, 0x100000
EVENT_EXIT = 6

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


@dataclass
class Sample:
    wall: float      # seconds
    user: float
    system: float
    maxrss: int      # KiB, see above
    status: int
    over: bool       # killed at its time limit


@dataclass
class Peaks:         # KiB; None where it could not be read
    hwm: Optional[int] = None
    anon: Optional[int] = None
    over: bool = False


def put_away(memory: int, path: str) -> None:
    with open(path, "wb") as file:
        file.write(os.pread(memory, os.fstat(memory).st_size, 0))
    os.close(memory)


def run_timed(command: List[str], output: str, limit: float, environment: Dict[str, str]) -> Sample:
    """What it writes goes to memory first: emptying a file of the last run is no tool's work."""
    out, err = os.memfd_create("out"), os.memfd_create("err")
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
               (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)]
    begin = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, environment, file_actions=actions)
    handle = os.pidfd_open(pid)
    try:
        over = not select.select([handle], [], [], limit)[0]
        end = time.perf_counter()
        if over:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(handle)
        _, status, usage = os.wait4(pid, 0)
        put_away(out, output)
        put_away(err, output + ".err")
    return Sample(end - begin, usage.ru_utime, usage.ru_stime, usage.ru_maxrss,
                  os.waitstatus_to_exitcode(status), over)


def drop_pages(path: str) -> None:
    """From the page cache; pages that some running process maps stay."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def exec_traced(command: List[str], output: str, environment: Dict[str, str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        for number, name in ((1, output), (2, output + ".err")):
            os.dup2(os.open(name, flags, 0o644), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        libc.ptrace(TRACEME, 0, None, None)
        os.execvpe(command[0], command, environment)
    finally:
        os._exit(127)


def read_status(pid: int) -> Dict[str, int]:
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
        lines = [line.split() for line in file if line.endswith("kB\n")]
    return {words[0].rstrip(":"): int(words[1]) for words in lines}


def follow(pid: int, every_call: bool, peaks: Peaks) -> None:
    """Lets the child run to its end. It is killed with us, and a signal that is its own is passed on."""
    status = os.waitpid(pid, 0)[1]
    if not os.WIFSTOPPED(status):
        return
    libc.ptrace(SETOPTIONS, pid, None, TRACESYSGOOD | TRACEEXIT | EXITKILL)
    passed = 0
    while True:
        libc.ptrace(SYSCALL if every_call else CONT, pid, None, passed)
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSTOPPED(status):
            return
        passed, stopped = 0, os.WSTOPSIG(status)
        exits = status >> 16 == EVENT_EXIT
        if exits or stopped == signal.SIGTRAP | 0x80:
            now = read_status(pid)
            peaks.hwm = max(peaks.hwm or 0, now.get("VmHWM", 0)) or None
            if every_call:
                peaks.anon = max(peaks.anon or 0, now.get("RssAnon", 0)) or None
        elif stopped != signal.SIGTRAP:
            passed = stopped


def run_for_peaks(command: List[str], output: str, limit: float, environment: Dict[str, str],
                  every_call: bool = False) -> Peaks:
    peaks = Peaks()
    if platform.system() != "Linux":
        return peaks
    pid = exec_traced(command, output, environment)

    def stop() -> None:
        peaks.over = True
        os.kill(pid, signal.SIGKILL)

    timer = threading.Timer(limit, stop)
    timer.start()
    try:
        follow(pid, every_call, peaks)
    finally:
        timer.cancel()
    return peaks
