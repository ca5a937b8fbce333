#!/usr/bin/env python3
"""Builds the live test programs, runs one until it hangs or crashes, and dumps its core.

    makecore.py --program founding_case --dump gcore --work DIR [--python PATH] [--variant release]

prints {"core": ..., "executable": ..., "truth": {...}}. As a library: build_all, find_pythons,
make_core. A program says READY when its threads are on their way; that the hang is reached is read
from /proc. Only processes started here are ever signalled, and none is left behind.
"""
from __future__ import annotations

import argparse
import glob
import json
import os
import platform
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Sequence, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(HERE, "programs")
FAKECUDA = os.path.join(HERE, "fakecuda")
VARIANTS = {"debug": ["-O1", "-g"], "release": ["-O2"]}  # release is stripped, too
READY_TIMEOUT = 30.0
SETTLE_TIMEOUT = 30.0
DUMP_TIMEOUT = 120.0

# System call numbers of the words in a truth's "settles"; other machines look at the state only.
SYSCALLS = {"x86_64": {"futex": 202, "read": 0, "poll": 7, "epoll_wait": 232, "pause": 34,
                       "rt_sigtimedwait": 128, "restart_syscall": 219, "write": 1, "wait4": 61,
                       "recvfrom": 45, "accept": 43, "accept4": 288, "flock": 73, "fcntl": 72,
                       "nanosleep": 35, "clock_nanosleep": 230, "select": 23, "pselect6": 270,
                       "ppoll": 271, "epoll_pwait": 281, "connect": 42, "sendto": 44,
                       "recvmsg": 47, "waitid": 247}}


class CannotMake(Exception):
    """This machine cannot make the core: a reason to skip, not a failure."""


class WentWrong(Exception):
    """The program did not do what it should."""


# Building


def run(command: List[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise WentWrong("%s\n%s" % (" ".join(command), done.stdout))


def in_folder(folder: str, *names: str) -> List[str]:
    return [os.path.join(folder, name) for name in names]


def build_driver(folder: str) -> None:
    """libcuda.so.1 in the real one's shape, and the library that calls it."""
    library = os.path.join(folder, "libcuda.so.550.00.00")
    run(["gcc", "-O2", "-fPIC", "-fvisibility=hidden", "-fno-optimize-sibling-calls",
         "-fasynchronous-unwind-tables", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-shared",
         "-Wl,-soname,libcuda.so.1", "-Wl,--build-id",
         "-Wl,--version-script=" + os.path.join(FAKECUDA, "libcuda.map"), "-o", library,
         *in_folder(FAKECUDA, "fakecuda.c", "trampolines.S"), "-lpthread"])
    run(["strip", "--strip-all", library])
    for name in ("libcuda.so.1", "libcuda.so"):
        link = os.path.join(folder, name)
        if not os.path.islink(link):
            os.symlink(os.path.basename(library), link)
    run(["gcc", "-O1", "-g", "-fPIC", "-fno-optimize-sibling-calls", "-Wall", "-Wextra", "-shared",
         "-Wl,--build-id", "-Wl,-rpath,$ORIGIN", "-o", os.path.join(folder, "libuct_fake.so"),
         os.path.join(FAKECUDA, "uct_fake.c"), "-L" + folder, "-lcuda"])


def build_program(source: str, folder: str, variant: str, flags: Sequence[str] = ()) -> None:
    name, extension = os.path.splitext(os.path.basename(source))
    compiler = ["g++", "-std=c++20"] if extension == ".cpp" else ["gcc"]
    output = os.path.join(folder, variant, name)
    os.makedirs(os.path.dirname(output), exist_ok=True)
    run([*compiler, *VARIANTS[variant], *flags, "-Wall", "-Wextra", "-Wl,--build-id", "-o", output,
         source, "-lpthread"])
    if variant == "release":
        run(["strip", "--strip-all", output])


def build_all(folder: str) -> None:
    """All libraries and programs; `folder` is created."""
    for tool in ("gcc", "g++", "strip"):
        if shutil.which(tool) is None:
            raise CannotMake("no " + tool)
    os.makedirs(folder, exist_ok=True)
    if platform.machine() == "x86_64":  # the trampolines are assembler
        build_driver(folder)
    run(["gcc", "-O1", "-g", "-fPIC", "-Wall", "-Wextra", "-shared", "-Wl,--build-id", "-o",
         os.path.join(folder, "libtable_lock.so"), os.path.join(PROGRAMS, "table_lock.c"),
         "-lpthread"])
    sources = sorted(glob.glob(os.path.join(PROGRAMS, "*.c")) +
                     glob.glob(os.path.join(PROGRAMS, "*.cpp")))
    for source in sources:
        if os.path.basename(source) in ("table_lock.c", "mpi_mismatch.c"):  # not with gcc alone
            continue
        for variant in VARIANTS:
            build_program(source, folder, variant)


# Interpreters

ASK = ("import json, platform, sys, sysconfig; print(json.dumps([platform.python_implementation(), "
       "sys.version_info[0], sys.version_info[1], sys.version_info[2], "
       "bool(sysconfig.get_config_var('Py_GIL_DISABLED'))]))")


@dataclass
class Python:
    path: str
    label: str
    skipped: str = ""  # why it is not used


def ask_python(path: str) -> Python:
    try:
        text = subprocess.run([path, "-c", ASK], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, timeout=30).stdout
        implementation, major, minor, patch, free = json.loads(text)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return Python(path, os.path.basename(path), "does not run")
    origin = re.search(r"/pythons/([^/]+)/", path)
    label = "%d.%d.%d %s" % (major, minor, patch, origin.group(1) if origin
                             else "system" if path.startswith("/usr/") else "own")
    if implementation != "CPython" or not (3, 6) <= (major, minor) <= (3, 15):
        return Python(path, label, "not CPython 3.6 to 3.15")
    try:
        subprocess.run([path, "-c", "import ctypes, asyncio"], check=True, timeout=30,
                       stderr=subprocess.DEVNULL)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return Python(path, label, "built without ctypes")
    return Python(path, label, "free-threaded" if free else "")


def find_pythons(fetched: bool = False) -> List[Python]:
    """COLDCASE_PYTHONS (colons between), or those in the usual places and, where asked for, those
    that tools/fetch-pythons unpacked into a build folder; also those not used."""
    paths = [path for path in os.environ.get("COLDCASE_PYTHONS", "").split(":") if path]
    if not paths:
        own = glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python3"))
        paths = [*sorted(own), "/usr/local/bin/python3", "/usr/bin/python3"]
        if fetched:
            starters = os.path.join(HERE, "../../build/*/pythons/*/bin/python3.*")
            paths += sorted(os.path.realpath(path) for path in glob.glob(starters))
    found: Dict[str, Python] = {}
    for path in paths:
        if os.path.exists(path) and os.path.realpath(path) not in found:
            found[os.path.realpath(path)] = ask_python(path)
    order = {path: [int(n) for n in python.label.split()[0].split(".") if n.isdigit()]
             for path, python in found.items()}
    return [found[path] for path in sorted(found, key=lambda path: (order[path], path))]


# Running


@dataclass
class Core:
    path: str
    executable: str
    truth: Dict[str, Any]
    tids: List[int] = field(default_factory=list)  # all threads at the dump; empty for a crash


def allow_core() -> None:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def start(command: List[str], folder: str) -> "subprocess.Popen[bytes]":
    # One malloc arena: gcore writes the 64 MiB reservation of every further one in full.
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", LC_ALL="C.UTF-8",
                       MALLOC_ARENA_MAX="1")
    for name in ("LD_PRELOAD", "PYTHONFAULTHANDLER", "PYTHONDEVMODE"):
        environment.pop(name, None)
    with open(os.path.join(folder, "stderr.txt"), "wb") as errors:
        return subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
                                preexec_fn=allow_core)


def read_truth(process: "subprocess.Popen[bytes]") -> Dict[str, Any]:
    assert process.stdout is not None
    text, end = b"", time.monotonic() + READY_TIMEOUT
    while not text.endswith(b"\n"):
        left = max(0.0, end - time.monotonic())
        if not select.select([process.stdout], [], [], left)[0]:
            raise WentWrong("not ready after %d s" % READY_TIMEOUT)
        more = os.read(process.stdout.fileno(), 1 << 16)
        if not more:
            raise WentWrong("ended before it was ready")
        text += more
    if not text.startswith(b"READY "):
        raise WentWrong("said %r" % text[:200])
    return json.loads(text[len(b"READY "):])


def at_rest(pid: int, tid: int, syscall: str) -> bool:
    """Whether a thread sleeps in the system call that its program named."""
    numbers = SYSCALLS.get(platform.machine())
    folder = "/proc/%d/task/%d/" % (pid, tid)
    try:
        if numbers:
            with open(folder + "syscall", encoding="ascii") as file:
                word = file.read().split()[0]
            return word in (str(numbers[syscall]), str(numbers["restart_syscall"]))
    except PermissionError:
        pass
    with open(folder + "stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def settle(process: "subprocess.Popen[bytes]", truth: Dict[str, Any]) -> None:
    """Waits until every thread is where it will stay: three times in a row, 0.1 s apart."""
    pid, tids, seen = truth["pid"], truth["threads"], 0
    end = time.monotonic() + SETTLE_TIMEOUT
    while seen < 3:
        if process.poll() is not None:
            raise WentWrong("ended instead of hanging")
        if time.monotonic() > end:
            raise WentWrong("did not come to rest")
        time.sleep(0.1)
        rest = all(at_rest(pid, tids[name], word) for name, word in truth["settles"].items())
        seen = seen + 1 if rest else 0


def run_gcore(pid: int, folder: str) -> str:
    """What gcore said. It is a script that starts gdb: both end together when it takes too long."""
    environment = {name: value for name, value in os.environ.items() if name != "DEBUGINFOD_URLS"}
    gcore = subprocess.Popen(["gcore", "-o", "core", str(pid)], cwd=folder, env=environment,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        return gcore.communicate(timeout=DUMP_TIMEOUT)[0]
    except subprocess.TimeoutExpired:
        os.killpg(gcore.pid, signal.SIGKILL)
        gcore.communicate()
        raise WentWrong("gcore took more than %d s" % DUMP_TIMEOUT) from None


def dump_with_gcore(process: "subprocess.Popen[bytes]", folder: str) -> str:
    if shutil.which("gcore") is None:
        raise CannotMake("no gcore")
    said = run_gcore(process.pid, folder)
    core = os.path.join(folder, "core.%d" % process.pid)
    if not os.path.exists(core):
        denied = "ptrace" in said or "not permitted" in said
        raise (CannotMake if denied else WentWrong)("gcore: " + said[-300:])
    if re.search(r"Memory read failed for corefile section, \d+ bytes at 0x[0-9a-f]{1,15}\.", said):
        # gdb up to 13 with glibc from 2.42 on, whose guard pages are inside the stacks' mappings:
        # such a core has zeros where the stacks were. (The vsyscall page, at 0xffffffffff600000,
        # cannot be read anywhere.)
        raise CannotMake("gcore cannot read this C library's stacks")
    return core


def check_kernel_dumps() -> None:
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        pattern = file.read().strip()
    if pattern.startswith("|") or "/" in pattern or not pattern:
        raise CannotMake("core_pattern is %r" % pattern)
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        raise CannotMake("the hard limit forbids cores")


def await_kernel_core(process: "subprocess.Popen[bytes]", folder: str) -> str:
    code = process.wait(timeout=DUMP_TIMEOUT)
    if code >= 0:
        raise WentWrong("exit status %d instead of a signal" % code)
    cores = [path for path in sorted(glob.glob(os.path.join(folder, "*"))) if is_elf(path)]
    if not cores:
        raise WentWrong("no core file")
    return cores[0]


def is_elf(path: str) -> bool:
    """The program itself may have left other files beside its core."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def dump_with_kernel(process: "subprocess.Popen[bytes]", folder: str) -> str:
    check_kernel_dumps()
    process.send_signal(signal.SIGABRT)
    return await_kernel_core(process, folder)


def dump_own_crash(process: "subprocess.Popen[bytes]", folder: str) -> str:
    check_kernel_dumps()
    return await_kernel_core(process, folder)


Dump = Callable[["subprocess.Popen[bytes]", str], str]
DUMPS: Dict[str, Dump] = {"gcore": dump_with_gcore, "kernel": dump_with_kernel,
                          "crash": dump_own_crash}


def command_of(program: str, built: str, python: str, variant: str) -> Tuple[List[str], str]:
    """The command and its executable."""
    script = os.path.join(PROGRAMS, program + ".py")
    if os.path.exists(script):
        return [python or sys.executable, script, built], python or sys.executable
    binary = os.path.join(built, variant, program)
    if not os.path.exists(binary):
        raise WentWrong("no program " + program)
    return [binary], binary


def finish(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)  # children that it left, too: start() made a session
    except ProcessLookupError:
        pass
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def make_core(program: str, dump: str, folder: str, built: str, python: str = "",
              variant: str = "debug", traced: str = "") -> Core:
    """Runs `program` in `folder` (emptied first) and dumps it: gcore, kernel, or its own crash.
    `traced`: how a Python program watches itself (trace in programs/truth.py)."""
    if dump != "gcore":
        check_kernel_dumps()
    command, executable = command_of(program, built, python, variant)
    if traced:
        command.append(traced)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    process = start(command, folder)
    try:
        truth = read_truth(process)
        tids: List[int] = []
        if dump != "crash":
            settle(process, truth)
            tids = sorted(int(tid) for tid in os.listdir("/proc/%d/task" % process.pid))
        return Core(DUMPS[dump](process, folder), executable, truth, tids)
    finally:
        finish(process)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="a file of programs/, without its suffix")
    parser.add_argument("--dump", choices=sorted(DUMPS), default="gcore")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--python", default="", help="interpreter for a Python program")
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="debug")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    work = os.path.abspath(options.work)
    folder = os.path.join(work, "%s-%s" % (options.program, options.dump))
    built = os.path.join(work, "built")
    try:
        build_all(built)
        core = make_core(options.program, options.dump, folder, built, options.python,
                         options.variant)
    except (CannotMake, WentWrong) as problem:
        print("makecore: %s" % problem, file=sys.stderr)
        return 77 if isinstance(problem, CannotMake) else 1
    print(json.dumps({"core": core.path, "executable": core.executable, "truth": core.truth,
                      "tids": core.tids}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
