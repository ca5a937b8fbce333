#!/usr/bin/env python3
"""The bench of wait kinds: what coldcase says of some hundred threads that wait in known ways.

    waits_test.py --program build/dev/coldcase --work build/dev/live/waits
    waits_test.py --program ... --work ... --only pthread --dump kernel --keep
    waits_test.py --program ... --work ... --glibc build/dev/glibc/sid  (see tools/fetch-glibc)

Programs of programs/waits/ state the truth about each of their threads. Their cores come from the
kernel, from gcore, from the kernel with the program stripped and no separate debug files (bare),
from the kernel after a stop and continue, when system calls are restarted (stopped), and from gcore
outside their PID namespace (outer-pid). One row per thread, one column per core: right, weaker,
unknown or wrong (waits_grade.py tells what these mean), with the reason where it is not right.

Exit status: 0 nothing false is called proved and all of EXPECTED_RIGHT are right; 1 otherwise; 77
nothing could be tried. What this machine cannot try is a row marked skip.
"""
from __future__ import annotations

import argparse
import glob
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

import makecore
from makecore import CannotMake, WentWrong
from waits_grade import GRADES, Grade, Report, grade_line

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "programs", "waits")
ANALYZE_TIMEOUT = 120.0
SETTLE_TIMEOUT = 30.0
COLUMNS = ("kernel", "gcore", "bare", "stopped", "outer-pid")
PLAIN = COLUMNS[:3]  # every program's; EXPECTED_RIGHT is about these
DEBUG_FILES = "/usr/lib/debug"
FLAGS = ["-O1", "-g", "-Wall", "-Wextra", "-Wno-return-type", "-Wl,--build-id"]

# arch/x86/entry/syscalls/syscall_64.tbl: an oracle besides the program's own word.
CALL_NAMES = {
    0: "read", 1: "write", 7: "poll", 23: "select", 34: "pause", 35: "nanosleep", 42: "connect",
    43: "accept", 44: "sendto", 47: "recvmsg", 61: "wait4", 65: "semop", 70: "msgrcv", 72: "fcntl",
    73: "flock", 128: "rt_sigtimedwait", 130: "rt_sigsuspend", 202: "futex", 208: "io_getevents",
    219: "restart_syscall", 220: "semtimedop", 230: "clock_nanosleep", 232: "epoll_wait",
    243: "mq_timedreceive", 247: "waitid", 270: "pselect6", 271: "ppoll", 281: "epoll_pwait",
    288: "accept4", 426: "io_uring_enter", 449: "futex_waitv"}


@dataclass(frozen=True)
class Program:
    name: str
    columns: Sequence[str] = PLAIN
    library: bool = False  # is given the library whose constructor does not come back
    exact: bool = True     # objects with a public layout: their address, not any word of theirs
    other_glibc: bool = False
    environment: Dict[str, str] = field(default_factory=dict)


PROGRAMS = [
    Program("pthread", (*PLAIN, "stopped", "outer-pid"), other_glibc=True),
    Program("libc", library=True, other_glibc=True),
    Program("exit", library=True, other_glibc=True),
    Program("spin", other_glibc=True),
    Program("call", (*PLAIN, "stopped"), other_glibc=True),
    Program("cxx", exact=False),
    Program("gomp", exact=False,
            environment={"OMP_STACKSIZE": "256k", "OMP_WAIT_POLICY": "passive"}),
    Program("tbb", exact=False),
    Program("absl", exact=False),
    Program("rust", exact=False),
    Program("musl", exact=False),
]

# Must be right in the columns of PLAIN: --print-right writes the list.
EXPECTED_RIGHT: Sequence[str] = (
    "Rust mpsc recv",
    "Rust park",
    "Rust thread::sleep",
    "TBB idle worker",
    "accept",
    "barrier",
    "busy spinner",
    "call_once runner",
    "clock_nanosleep abstime",
    "cond destroy",
    "cond signal",
    "cond timedwait",
    "cond wait",
    "cond wait again",
    "cond wait shared",
    "cond wait, being destroyed",
    "cond woken, mutex held",
    "connect, backlog full",
    "dl_iterate_phdr behind",
    "dl_iterate_phdr callback",
    "dlopen behind constructor",
    "dlopen constructor",
    "dlsym behind constructor",
    "epoll_wait",
    "epoll_wait timed",
    "eventfd read",
    "exit behind constructor",
    "exit handler",
    "exit: constructor",
    "fcntl F_OFD_SETLKW",
    "fcntl F_SETLKW",
    "flock",
    "futex private",
    "futex shared",
    "futex timed",
    "futex_waitv",
    "gomp nest lock",
    "holder of all",
    "inotify read",
    "malloc arena",
    "malloc handler",
    "mq_receive",
    "msgrcv",
    "musl holder of all",
    "musl once runner",
    "mutex PI",
    "mutex PI timed",
    "mutex adaptive",
    "mutex errorcheck",
    "mutex normal",
    "mutex own",
    "mutex recursive",
    "mutex recursive timed",
    "mutex robust",
    "mutex robust PI",
    "mutex shared",
    "mutex timed",
    "nanosleep",
    "once runner",
    "pause",
    "poll",
    "poll timed",
    "ppoll",
    "ppoll timed",
    "pselect",
    "read pipe",
    "read socket",
    "recvmsg",
    "rwlock queued writer",
    "rwlock reader timed",
    "rwlock reader, writer holds",
    "rwlock reader, writer queued",
    "rwlock second writer",
    "rwlock writer timed",
    "rwlock writer, reader holds",
    "rwlock writer, writer holds",
    "select",
    "select timed",
    "semop",
    "sendto, full",
    "signalfd read",
    "sigsuspend",
    "sigtimedwait",
    "sigwaitinfo",
    "static guard runner",
    "static guard waiter",
    "std::atomic<int>::wait",
    "std::condition_variable",
    "std::condition_variable timed",
    "std::condition_variable_any",
    "std::future",
    "std::mutex",
    "std::recursive_mutex",
    "std::shared_mutex reader",
    "std::shared_mutex writer",
    "std::timed_mutex",
    "stdio fflush all",
    "stdio fopen, list locked",
    "stdio putc",
    "stream owner",
    "timerfd read",
    "write pipe, full",
    "write pipe, partial",
)


# Building


def compile_program(command: List[str], missing: str) -> None:
    """A library or compiler that is not here is a reason to skip; own sources must compile."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode == 0:
        return
    if missing and re.search(missing, done.stdout):
        raise CannotMake("not installed (%s)" % re.search(missing, done.stdout).group(0))
    raise WentWrong("%s\n%s" % (" ".join(command), done.stdout[-2000:]))


def need(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        raise CannotMake("no " + tool)
    return path


def pkg_config(package: str) -> List[str]:
    done = subprocess.run([need("pkg-config"), "--libs", package], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    if done.returncode != 0:
        raise CannotMake("no " + package)
    return done.stdout.split()


def build_command(name: str, output: str) -> List[str]:
    if name == "rust":
        return [need("rustc"), "--edition", "2021", "-O", "-g", "-o", output,
                os.path.join(SOURCES, "rust_waits.rs")]
    source = os.path.join(SOURCES, ("pthread" if name == "musl" else name) + "_waits")
    if name in ("cxx", "tbb", "absl"):
        libraries = pkg_config("absl_synchronization") if name == "absl" else []
        libraries += ["-ltbb"] if name == "tbb" else []
        return [need("g++"), "-std=c++20", *FLAGS, "-o", output, source + ".cpp", *libraries,
                "-lpthread"]
    compiler = need("musl-gcc" if name == "musl" else "gcc")
    extra = ["-fopenmp"] if name == "gomp" else []
    libraries = [] if name == "musl" else ["-lpthread", "-ldl", "-lrt"]
    return [compiler, *FLAGS, *extra, "-o", output, source + ".c", *libraries]


def build(program: Program, folder: str, glibc: str) -> str:
    output = os.path.join(folder, program.name + "_waits")
    if glibc:  # the machine's headers, the other library's start files and symbols
        part = output + ".o"
        compile_program([need("gcc"), *FLAGS, "-c", "-o", part,
                         os.path.join(SOURCES, program.name + "_waits.c")], "")
        # -B and -L as well: gcc looks beside itself before it looks below a sysroot.
        folders = [path + "/" for top in ("usr/lib", "lib")
                   for path in sorted(glob.glob(os.path.join(glibc, top, "*-linux-gnu")))]
        compile_program(["gcc", "--sysroot=" + glibc, "-Wl,--build-id",
                         *("-B" + path for path in folders), *("-L" + path for path in folders),
                         "-o", output, part, "-lpthread", "-ldl", "-lrt"], "")
    else:
        optional = {"tbb": "tbb/[a-z_]+.h: No such file", "absl": "absl/.*: No such file",
                    "rust": "no default (toolchain|is configured)"}
        compile_program(build_command(program.name, output), optional.get(program.name, ""))
    if program.library:
        compile_program([need("gcc"), "-O1", "-g", "-fPIC", "-shared", "-o",
                         os.path.join(folder, "libwaits.so"),
                         os.path.join(SOURCES, "waits_library.c")], "")
    return output


def through_loader(glibc: str, command: List[str]) -> List[str]:
    """The same program with another C library: its loader is started, not the machine's."""
    loaders = glob.glob(os.path.join(glibc, "lib64", "ld-linux-*.so.*"))
    paths = [path for path in sorted(glob.glob(os.path.join(glibc, "lib", "*-linux-gnu")) +
                                     glob.glob(os.path.join(glibc, "usr/lib", "*-linux-gnu")))
             if os.path.exists(os.path.join(path, "libc.so.6"))]
    if not loaders or not paths:
        raise CannotMake("no C library in " + glibc)
    return [loaders[0], "--library-path", ":".join(paths), *command]


# Running


def read_first(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def at_rest(pid: int, tid: int, line: Dict[str, Any]) -> bool:
    folder = "/proc/%d/task/%d/" % (pid, tid)
    state = read_first(folder + "stat").rpartition(")")[2].split()[0]
    if line["state"] == "spinning":
        return state == "R"
    if state != "S":
        return False
    if platform.machine() != "x86_64":
        return True
    try:
        word = read_first(folder + "syscall").split()[0]
    except PermissionError:
        return True
    name = CALL_NAMES.get(int(word), word) if word.lstrip("-").isdigit() else word
    return name == "restart_syscall" or name in line["calls"].split()


def settle(process: "subprocess.Popen[bytes]", pid: int, truth: Dict[str, Any],
           outer: Dict[int, int]) -> None:
    """Waits until every thread is where it said it would be: three times in a row, 0.1 s apart."""
    seen, end, awake = 0, time.monotonic() + SETTLE_TIMEOUT, []
    while seen < 3:
        if process.poll() is not None:
            raise WentWrong("ended instead of waiting")
        if time.monotonic() > end:
            raise WentWrong("did not come to rest: " + ", ".join(awake))
        time.sleep(0.1)
        awake = [line["name"] for line in truth["threads"]
                 if not at_rest(pid, outer.get(line["tid"], line["tid"]), line)]
        seen = 0 if awake else seen + 1


def stop_and_continue(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + 10
    while read_first("/proc/%d/stat" % pid).rpartition(")")[2].split()[0] != "T":
        if time.monotonic() > end:
            raise WentWrong("does not stop")
        time.sleep(0.05)
    os.kill(pid, signal.SIGCONT)


def first_child(pid: int) -> int:
    children = read_first("/proc/%d/task/%d/children" % (pid, pid)).split()
    if not children:
        raise WentWrong("unshare started nothing")
    return int(children[0])


def outer_tids(pid: int) -> Dict[int, int]:
    """From a thread's number inside the container to the one outside."""
    found = {}
    for tid in os.listdir("/proc/%d/task" % pid):
        match = re.search(r"^NSpid:\s*(.*)$", read_first("/proc/%d/task/%s/status" % (pid, tid)),
                          re.MULTILINE)
        if match:
            found[int(match.group(1).split()[-1])] = int(tid)
    return found


@dataclass
class Dumped:
    core: str
    truth: Dict[str, Any]
    inner: Dict[int, int]


def unshare() -> List[str]:
    command = [need("unshare"), "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        raise CannotMake("unshare is not permitted")
    return command


def stripped(binary: str) -> str:
    """A copy without symbols, under the same name."""
    folder = os.path.join(os.path.dirname(binary), "bare")
    os.makedirs(folder, exist_ok=True)
    output = os.path.join(folder, os.path.basename(binary))
    makecore.run([need("strip"), "--strip-all", "-o", output, binary])
    return output


def dump(process: "subprocess.Popen[bytes]", column: str, folder: str) -> Dumped:
    truth = makecore.read_truth(process)
    pid, outer = process.pid, {}
    if column == "outer-pid":
        pid = first_child(process.pid)
        outer = outer_tids(pid)
    settle(process, pid, truth, outer)
    if column == "stopped":
        stop_and_continue(pid)
        settle(process, pid, truth, outer)
    if column != "outer-pid":
        return Dumped(makecore.DUMPS["gcore" if column == "gcore" else "kernel"](process, folder),
                      truth, {})
    need("gcore")
    said = makecore.run_gcore(pid, folder)
    core = os.path.join(folder, "core.%d" % pid)
    if not os.path.exists(core):
        raise WentWrong("gcore: " + said[-300:])
    return Dumped(core, truth, {one: two for two, one in outer.items()})


def make_core(program: Program, binary: str, column: str, folder: str, glibc: str) -> Dumped:
    if column in ("kernel", "stopped", "bare"):
        makecore.check_kernel_dumps()
    command = [stripped(binary) if column == "bare" else binary]
    if program.library:
        command.append(os.path.join(os.path.dirname(binary), "libwaits.so"))
    if glibc:
        command = through_loader(glibc, command)
    if column == "outer-pid":
        command = [*unshare(), *command]
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    command = ["env", *("%s=%s" % pair for pair in program.environment.items()), *command]
    process = makecore.start(command, folder)
    try:
        return dump(process, column, folder)
    finally:
        makecore.finish(process)


# Grading


@dataclass
class Bench:
    """Grades by row (program, name) and column; skips and problems beside them."""
    grades: Dict[Tuple[str, str], Dict[str, Grade]] = field(default_factory=dict)
    skipped: List[str] = field(default_factory=list)
    problems: List[str] = field(default_factory=list)

    def add(self, program: str, column: str, dumped: Dumped, report: Dict[str, Any],
            exact: bool) -> None:
        resolved = Report(report, dumped.inner)
        for line in dumped.truth["threads"]:
            name = line["name"] if program != "musl" else "musl " + line["name"]
            self.grades.setdefault((program, name), {})[column] = grade_line(line, resolved, exact)
        for one in dumped.truth["skipped"]:
            text = "%s: %s" % (one["name"], one["why"])
            if text not in self.skipped:
                self.skipped.append(text)

    def rows(self) -> List[Tuple[Tuple[str, str], Dict[str, Grade]]]:
        """In the order of PROGRAMS, then by name: threads start in any order."""
        order = [program.name for program in PROGRAMS]
        return sorted(self.grades.items(), key=lambda row: (order.index(row[0][0]), row[0][1]))


def without_debug_files() -> List[str]:
    """What to start a command with so that it finds an empty folder of separate debug files."""
    if not os.path.isdir(DEBUG_FILES):
        return []
    mount = [need("unshare"), "--mount", "sh", "-c",
             'mount -t tmpfs none %s && exec "$@"' % DEBUG_FILES, "sh"]
    if subprocess.run([*mount, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        raise CannotMake("debug files cannot be hidden: mounting is not permitted")
    return mount


def analyze(program: str, core: str, bare: bool) -> Dict[str, Any]:
    command = [program, "analyze", core, "--format", "json"]
    done = subprocess.run([*without_debug_files(), *command] if bare else command, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=ANALYZE_TIMEOUT)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise WentWrong("exit code %d and no JSON: %s" %
                        (done.returncode, done.stderr.strip()[-300:])) from None


def run_program(program: Program, columns: Sequence[str], options: argparse.Namespace,
                bench: Bench) -> None:
    work = os.path.join(os.path.abspath(options.work),
                        os.path.basename(options.glibc) if options.glibc else "own")
    built = os.path.join(work, "built")
    os.makedirs(built, exist_ok=True)
    try:
        binary = build(program, built, options.glibc)
    except CannotMake as reason:
        bench.skipped.append("%s: %s" % (program.name, reason))
        return
    except WentWrong as problem:
        bench.problems.append("%s: %s" % (program.name, problem))
        return
    for column in columns:
        folder = os.path.join(work, "%s-%s" % (program.name, column))
        try:
            dumped = make_core(program, binary, column, folder, options.glibc)
            report = analyze(options.program, dumped.core, column == "bare")
            bench.add(program.name, column, dumped, report, program.exact)
        except CannotMake as reason:
            bench.skipped.append("%s, %s: %s" % (program.name, column, reason))
        except (WentWrong, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as problem:
            bench.problems.append("%s, %s: %s: %s" % (program.name, column,
                                                      type(problem).__name__, problem))
        finally:
            if not options.keep:
                shutil.rmtree(folder, ignore_errors=True)


# Saying it


def reasons_of(cells: Dict[str, Grade]) -> str:
    """The reasons of all columns, once each, with their columns where these differ."""
    by_reason: Dict[str, List[str]] = {}
    for column, grade in cells.items():
        for reason in grade.reasons:
            # Numbers differ from run to run.
            text = re.sub(r"0x[0-9a-f]+", "0x…", re.sub(r"\b\d{3,}\b", "…", reason))
            by_reason.setdefault(text, []).append(column)
    return "; ".join(reason if len(set(columns)) == len(cells) else
                     "%s [%s]" % (reason, ", ".join(dict.fromkeys(columns)))
                     for reason, columns in by_reason.items())


def print_table(bench: Bench) -> None:
    columns = [column for column in COLUMNS
               if any(column in cells for cells in bench.grades.values())]
    print("%-8s %-34s %s why" % ("program", "wait", "".join("%-10s" % one for one in columns)))
    for (program, name), cells in bench.rows():
        words = "".join("%-10s" % (cells[one].word if one in cells else "") for one in columns)
        print(("%-8s %-34s %s %s" % (program, name, words, reasons_of(cells))).rstrip())
    print()
    for column in columns:
        grades = [cells[column] for cells in bench.grades.values() if column in cells]
        counts = ", ".join("%d %s" % (sum(grade.word == word for grade in grades), word)
                           for word in GRADES)
        print("%-10s %3d threads: %s" % (column, len(grades), counts))
    for text in bench.skipped:
        print("skip: " + text)


def right_everywhere(bench: Bench) -> List[str]:
    return sorted(name for (_, name), cells in bench.grades.items()
                  if all(cells[one].word == "right" for one in PLAIN if one in cells)
                  and any(one in cells for one in PLAIN))


def failures(bench: Bench, expected: Sequence[str]) -> List[str]:
    found = list(bench.problems)
    for (program, name), cells in bench.rows():
        for column, grade in cells.items():
            if grade.proved:
                found.append("%s, %s, %s: false, and called proved: %s" %
                             (program, name, column, "; ".join(grade.reasons)))
            if name in expected and column in PLAIN and grade.word != "right":
                found.append("%s, %s, %s: %s, was right: %s" %
                             (program, name, column, grade.word, "; ".join(grade.reasons)))
    return found


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--only", choices=[program.name for program in PROGRAMS])
    parser.add_argument("--dump", choices=COLUMNS)
    parser.add_argument("--glibc", default="", help="folder of another C library")
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    parser.add_argument("--print-right", action="store_true", help="the names for EXPECTED_RIGHT")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    options.program = os.path.abspath(options.program)
    options.glibc = os.path.abspath(options.glibc) if options.glibc else ""
    if options.glibc and not os.path.isdir(options.glibc):
        print("skip: no folder " + options.glibc)
        return 77
    bench = Bench()
    for program in PROGRAMS:
        if options.only not in (None, program.name) or (options.glibc and not program.other_glibc):
            continue
        columns = [one for one in program.columns if options.dump in (None, one)]
        if options.glibc:
            columns = [one for one in columns if one not in ("bare", "outer-pid")]
        run_program(program, columns, options, bench)
    print_table(bench)
    if options.print_right:
        print("\n".join('    "%s",' % name for name in right_everywhere(bench)))
    found = failures(bench, () if options.glibc else EXPECTED_RIGHT)
    for text in found:
        print("FAIL: " + text)
    return 1 if found else 0 if bench.grades else 77


if __name__ == "__main__":
    sys.exit(main())
