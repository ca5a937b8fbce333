#!/usr/bin/env python3
"""`coldcase capture` on a real tree of processes: cores, side-cars, and that all of them go on.

    capture_test.py --program build/dev/coldcase --work build/dev/live/capture

One row per check. Exit status: 0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import inputs_test
import makecore
from inputs_test import SHARE, SYSTEM_PYTHON, Bench, Problems, run_all, unclear, wrong_code

try:
    from jsonschema import Draft202012Validator as Validator
except ImportError:
    Validator = None  # type: ignore

Json = Dict[str, Any]
SECRET = "xyzzy-plugh"
NOBODY = inputs_test.NOBODY
CHECKS: List[inputs_test.Check] = []
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")


def check(function: inputs_test.Check) -> inputs_test.Check:
    CHECKS.append(function)
    return function


# Processes


def program(name: str) -> str:
    return os.path.join(makecore.PROGRAMS, name + ".py")


@contextlib.contextmanager
def running(command: List[str], folder: str) -> Iterator[Json]:
    """What the program says of itself; it and its children are ended."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    os.environ["COLDCASE_TEST_SECRET"] = SECRET
    process = makecore.start(command, folder)
    del os.environ["COLDCASE_TEST_SECRET"]
    try:
        yield makecore.read_truth(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session, see makecore.start
        makecore.finish(process)


@contextlib.contextmanager
def tree(bench: Bench) -> Iterator[Json]:
    folder = os.path.join(bench.work, "tree")
    command = [SYSTEM_PYTHON, program("worker_tree"), "--argument=" + SECRET, folder]
    with running(command, folder) as truth:
        truth["folder"] = folder
        truth["pids"] = [truth["pid"]] + [worker["pid"] for worker in truth["workers"]]
        yield truth


def state_of(pid: int) -> str:
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0]


def tracer_of(pid: int) -> int:
    with open("/proc/%d/status" % pid, encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("TracerPid"))


def wait_until(what: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def standing_still(truth: Json) -> Problems:
    """Which of the tree's processes do not go on: stopped, traced, or not counting."""
    problems = []
    for pid in truth["pids"]:
        path = os.path.join(truth["folder"], "count.%d" % pid)
        before = os.path.getsize(path)
        if not wait_until(lambda: os.path.getsize(path) > before + 2, 5):
            problems.append("process %d counts no further, state %s" % (pid, state_of(pid)))
        if state_of(pid) in "Tt" or tracer_of(pid) != 0:
            problems.append("process %d is stopped or traced" % pid)
    return problems


def capture(bench: Bench, *arguments: Any, **options: Any) -> "inputs_test.Done[str]":
    return bench.run("capture", *map(str, arguments), **options)


def output(bench: Bench) -> str:
    folder = os.path.join(bench.work, "out")
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def side_car(folder: str, pid: int) -> Json:
    with open(os.path.join(folder, "core.%d.side-car.json" % pid), encoding="utf-8") as file:
        return json.load(file)


# What is in a side-car


def needs_gdb() -> None:
    if shutil.which("gcore") is None:
        raise makecore.CannotMake("no gcore")


def differing(name: str, found: Any, wanted: Any) -> Problems:
    return [] if found == wanted else ["%s: %r, not %r" % (name, found, wanted)]


def row(rows: Sequence[Json], **wanted: Any) -> Json:
    for one in rows:
        if all(one.get(key) == value for key, value in wanted.items()):
            return one
    return {}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def same_as_proc(car: Json, pid: int) -> Problems:
    """What /proc says of a living process that does not change."""
    problems: Problems = []
    with open("/proc/%d/maps" % pid, encoding="utf-8") as file:
        words = [line.split(None, 5) for line in file]
    maps = [w for w in words if w[4] != "0" or w[1][3] == "s"]
    found = [(m["begin"], m["end"], m.get("shared", False), m.get("inode", "0x0"))
             for m in car["mappings"]]
    problems += differing("mappings", found, [
        ("0x" + w[0].split("-")[0].lstrip("0"), "0x" + w[0].split("-")[1].lstrip("0"),
         w[1][3] == "s", hex(int(w[4]))) for w in maps])
    fds = sorted(map(int, os.listdir("/proc/%d/fd" % pid)))
    problems += differing("descriptors", [f["fd"] for f in car["files"]], fds)
    for file in car["files"]:
        link = "/proc/%d/fd/%d" % (pid, file["fd"])
        about = os.stat(link)
        problems += differing("target of %d" % file["fd"], file["target"], os.readlink(link))
        problems += differing("inode of %d" % file["fd"], file["inode"], hex(about.st_ino))
        problems += differing("device of %d" % file["fd"], file["device"], hex(about.st_dev))
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot_id:
        boot = boot_id.read()
    problems += differing("boot", car["boot"], digest(boot))
    problems += differing("namespaces", car["namespaces"], {
        name: digest(boot + os.readlink("/proc/%d/ns/%s" % (pid, name)))
        for name in ("mnt", "pid", "ipc", "net")})
    problems += ["it tells the boot id"] if boot.strip() in json.dumps(car) else []
    tids = sorted(map(int, os.listdir("/proc/%d/task" % pid)))
    problems += differing("threads", [t["tid"] for t in car["threads"]], tids)
    for task in car["threads"]:
        with open("/proc/%d/task/%d/comm" % (pid, task["tid"]), encoding="utf-8") as comm:
            problems += differing("name", task["name"], comm.read().rstrip("\n"))
    return problems


def same_as_truth(cars: Dict[int, Json], truth: Json) -> Problems:
    car = cars[truth["pid"]]
    first, second = (worker["pid"] for worker in truth["workers"])
    problems = differing("children", car["process"]["children"], sorted((first, second)))
    problems += differing("zombies", car["zombies"], [{"pid": truth["zombie"], "status": 3 * 256}])
    problems += differing("parent", cars[first]["process"]["ppid"], truth["pid"])
    files = {file["fd"]: file for file in car["files"]}
    inode = {fd: hex(int(file["target"][8:-1])) for fd, file in files.items()
             if file["target"].startswith("socket:[")}
    left, right = truth["pair"]
    problems += differing("polls", sorted(files[truth["poll"]]["polls"]),
                          sorted((left, truth["server"])))
    if truth["counter"] >= 0:
        problems += differing("eventfd", files[truth["counter"]]["eventfd"], "0x1f")
    pair = row(car["sockets"], inode=inode[left])
    problems += differing("peer", pair.get("peer"), inode[right])
    server = row(car["sockets"], inode=inode[truth["server"]])
    problems += differing("server", (server.get("local"), server.get("state")),
                          (truth["address"], "LISTEN"))
    client = row(car["sockets"], inode=inode[truth["client"]])
    problems += differing("client", (client.get("remote"), client.get("state")),
                          (truth["address"], "ESTABLISHED"))
    lock = hex(os.stat(os.path.join(truth["folder"], "lock")).st_ino)
    for pid in (first, second):
        held = row(cars[pid]["locks"], inode=lock, pid=first)
        waits = row(cars[pid]["locks"], inode=lock, pid=second)
        problems += differing("lock", (held.get("kind"), held.get("write"), held.get("waiting")),
                              ("flock", True, None))
        problems += differing("waiter", (waits.get("waiting"), waits.get("id")),
                              (True, held.get("id")))
    names = {**truth["tids"], **truth["workers"][1]["tids"]}
    tasks = {task["tid"]: task["name"] for one in cars.values() for task in one["threads"]}
    for name, tid in names.items():
        problems += differing("thread", tasks.get(tid), name)
    if not any("sem." in m.get("path", "") and m.get("shared") for m in car["mappings"]):
        problems.append("the semaphore's mapping is missing")
    return problems


@check
def a_whole_tree(bench: Bench) -> Problems:
    needs_gdb()
    folder = output(bench)
    with tree(bench) as truth:
        done = capture(bench, truth["pid"], "--tree", "-o", folder)
        problems = wrong_code(done, 0) + standing_still(truth)
        if problems:
            return problems
        names = sorted(name % pid for pid in truth["pids"]
                       for name in ("core.%d.zst", "core.%d.side-car.json"))
        problems += differing("files", sorted(os.listdir(folder)), names)
        modes = {stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) for name in names}
        problems += differing("modes", modes, {0o600})
        problems += differing("folder", stat.S_IMODE(os.stat(folder).st_mode), 0o700)
        cars = {pid: side_car(folder, pid) for pid in truth["pids"]}
        for pid, car in cars.items():
            problems += same_as_proc(car, pid)
        problems += same_as_truth(cars, truth)
    for car in cars.values():
        text = json.dumps(car)
        problems += ["it holds an argument or the environment"] if SECRET in text else []
        if Validator is not None:
            with open(os.path.join(SHARE, "coldcase-side-car-1.schema.json"),
                      encoding="utf-8") as file:
                schema = json.load(file)
            Validator.check_schema(schema)
            problems += [error.message for error in Validator(schema).iter_errors(car)]
    return problems + reports_of(bench, folder, truth)


def reports_of(bench: Bench, folder: str, truth: Json) -> Problems:
    """The report of the tree has the side-cars among its inputs, and names from them."""
    names = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    report = bench.report(*names)
    kinds = [one["kind"] for one in report["inputs"]]
    problems = differing("inputs", kinds, ["core"] * 3 + ["sidecar"] * 3)
    for one in report["inputs"]:
        problems += differing("taken", one.get("taken", {}).get("source"), "side-car")
    tids = {thread["tid"] for thread in report["threads"]}
    return problems + ([] if truth["pid"] in tids else ["the main thread is missing"])


@check
def one_process_of_a_tree(bench: Bench) -> Problems:
    needs_gdb()
    folder = output(bench)
    with tree(bench) as truth:
        pid = truth["pids"][2]
        done = capture(bench, pid, "-q", "-o", folder)
        problems = wrong_code(done, 0) + standing_still(truth)
        problems += differing("files", sorted(os.listdir(folder)),
                              ["core.%d.side-car.json" % pid, "core.%d.zst" % pid])
    return problems + (["-q prints"] if done.stdout else [])


@check
def as_a_plain_gcore(bench: Bench) -> Problems:
    """The same report, apart from what the side-car adds."""
    needs_gdb()
    problems: Problems = []
    for name in ("abba_lock", "rlock_abba"):
        folder, out = os.path.join(bench.work, name), output(bench)
        with running([SYSTEM_PYTHON, program(name), bench.built], folder) as truth:
            time.sleep(0.5)
            makecore.run_gcore(truth["pid"], folder)
            done = capture(bench, truth["pid"], "--analyze", "-o", out)
        problems += wrong_code(done, 2)
        if "DEADLOCK" not in done.stdout:
            problems.append("--analyze tells no story: %r" % done.stdout[:200])
        packed = bench.report(os.path.join(out, "core.%d.zst" % truth["pid"]))
        plain = bench.report(os.path.join(folder, "core.%d" % truth["pid"]))
        for report in (packed, plain):
            report.pop("inputs")
            for thread in report["threads"]:
                for key in ("cpu_ms", "cpu_system_ms", "cpu_from", "age_ms"):
                    thread.pop(key, None)
        problems += inputs_test.differs(plain, packed, name)
    return problems


@check
def a_stopped_process_stays_stopped(bench: Bench) -> Problems:
    needs_gdb()
    folder = output(bench)
    with tree(bench) as truth:
        pid = truth["pids"][1]
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: state_of(pid) == "T")
        problems = wrong_code(capture(bench, truth["pid"], "--tree", "-o", folder), 0)
        problems += differing("state", state_of(pid), "T")
        report = bench.report(*(os.path.join(folder, name) for name in sorted(os.listdir(folder))))
        stopped = [thread["tid"] for thread in report["threads"] if thread.get("stopped")]
        problems += differing("stopped threads", pid in stopped, True)
        problems += differing("others stopped", truth["pid"] in stopped, False)
        problems += differing("notes", [note["text"].split(" (")[0] for note in report["notes"]
                                        if note["code"] == "process-stopped"],
                              ["a signal has stopped process %d" % pid])
        os.kill(pid, signal.SIGCONT)
        return problems + standing_still(truth)


LOSES_A_CHILD = """
import os, time
child = os.fork()
if child == 0:
    os.kill(os.getpid(), 9)
print(child, flush=True)
time.sleep(600)
"""


@check
def a_child_that_a_signal_ended(bench: Bench) -> Problems:
    needs_gdb()
    folder = output(bench)
    with subprocess.Popen([SYSTEM_PYTHON, "-c", LOSES_A_CHILD], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        wait_until(lambda: state_of(child) == "Z")
        problems = wrong_code(capture(bench, process.pid, "-o", folder), 0)
        process.kill()
    report = bench.report(os.path.join(folder, "core.%d.zst" % process.pid))
    told = [note["text"] for note in report["notes"] if note["code"] == "child-ended"]
    if len(told) != 1 or "child %d of process %d was ended by SIGKILL" % (child, process.pid) not in told[0]:
        problems.append("told of the child: %r" % told)
    return problems


@check
def a_tree_that_does_not_keep_still(bench: Bench) -> Problems:
    """Children come and go while it is looked at: no failure, and nobody is left stopped."""
    needs_gdb()
    problems: Problems = []
    storm = subprocess.Popen(["sh", "-c", "while :; do sleep 0.003 & sleep 0.003; done"],
                             start_new_session=True)
    try:
        for _ in range(3):
            out = output(bench)
            problems += wrong_code(capture(bench, storm.pid, "--tree", "-o", out), 0)
            found = side_car(out, storm.pid)["process"].get("children", [])
            problems += ["%d is stopped" % pid for pid in [storm.pid] + found
                         if os.path.exists("/proc/%d/stat" % pid) and state_of(pid) in "Tt"]
    finally:
        os.killpg(storm.pid, signal.SIGKILL)
        storm.wait()
    return problems


@check
def from_outside_a_container(bench: Bench) -> Problems:
    """In a PID namespace of its own a process has other numbers; both are told."""
    needs_gdb()
    out = output(bench)
    made = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "sleep", "600"],
                            stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        path = "/proc/%d/task/%d/children" % (made.pid, made.pid)
        inner: List[int] = []

        def started() -> bool:
            if made.poll() is not None:
                raise makecore.CannotMake("no PID namespaces here")
            with open(path, encoding="ascii") as file:
                inner[:] = map(int, file.read().split())
            return bool(inner) and os.readlink("/proc/%d/exe" % inner[0]).endswith("sleep")
        if not wait_until(started):
            raise makecore.CannotMake("no process in the namespace")
        problems = wrong_code(capture(bench, inner[0], "-o", out), 0)
        car = side_car(out, inner[0])
        problems += differing("inner pid", car["process"].get("inner_pid"), 1)
        problems += differing("inner tid", car["threads"][0].get("inner_tid"), 1)
        problems += same_as_proc(car, inner[0])
        kinds = [one["kind"] for one in
                 bench.report(os.path.join(out, "core.%d.zst" % inner[0]))["inputs"]]
        return problems + differing("inputs", kinds, ["core", "sidecar"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(made.pid, signal.SIGKILL)
        made.wait()


OVERLAY = """cd "$0" && mount -t tmpfs none . && mkdir l u w m &&
mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m || exit 77
exec 9>m/lock; flock -x 9; flock -x m/lock true & echo ready; wait"""


@check
def a_lock_on_overlayfs(bench: Bench) -> Problems:
    """There stat(2) tells another device than /proc/locks: the side-car uses one name for both."""
    needs_gdb()
    folder, out = os.path.join(bench.work, "overlay"), output(bench)
    os.makedirs(folder, exist_ok=True)
    shell = subprocess.Popen(["unshare", "--mount", "sh", "-c", OVERLAY, folder],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             start_new_session=True)
    try:
        assert shell.stdout is not None
        if shell.stdout.readline() != b"ready\n":
            raise makecore.CannotMake("no overlayfs here")

        def waits() -> bool:
            with open("/proc/locks", encoding="ascii") as file:
                return any("->" in line for line in file)
        if not wait_until(waits):
            return ["nobody waits for the lock"]
        problems = wrong_code(capture(bench, shell.pid, "--tree", "-o", out), 0)
        for name in os.listdir(out):
            if not name.endswith(".json"):
                continue
            car = side_car(out, int(name.split(".")[1]))
            file = row(car["files"], target=os.path.join(folder, "m", "lock"))
            for lock in car.get("locks", []):
                problems += differing("file of the lock", (lock["device"], lock["inode"]),
                                      (file["device"], file["inode"]))
            problems += differing("locks", len(car.get("locks", [])), 2)
        return problems
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        shell.stdout.close()


@check
def memory_that_gdb_could_not_read(bench: Bench) -> Problems:
    """gdb 13 warns and writes zeros; the vsyscall page alone is no loss."""
    out, problems = output(bench), []
    line = "warning: Memory read failed for corefile section, %s bytes at %s.\n"
    said = (line % (4096, "0xffffffffff600000"), line % (1048576, "0x7f12a8000000"))
    with tree(bench) as truth:
        for text, lost in ((said[0], False), (said[0] + said[1], True)):
            out = output(bench)
            gcore = fake_gcore(bench, "warning", "printf '\\177ELF' > core.$3\ncat <<'EOF'\n%sEOF\n"
                               % text)
            done = capture(bench, truth["pid"], "-o", out, "--gcore", gcore)
            problems += wrong_code(done, 0)
            problems += differing("warned", "could not read 1 range" in done.stderr, lost)
            problems += differing("told", bool(side_car(out, truth["pid"]).get("incomplete")), lost)
    return problems


# Interrupted


def fake_gcore(bench: Bench, name: str, body: str) -> str:
    """A gcore of our own: "$3" is the process, "core.$3" in the working folder the file."""
    return bench.path(name, ("#!/bin/sh\n" + body).encode(), 0o755)


def hear_signals() -> None:
    """What is ignored from the start, as under nohup, stays so."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)


def interrupt(bench: Bench, truth: Json, gcore: str, how: str, out: str) -> Problems:
    """Stops the whole tree, and ends coldcase while gcore holds the last of it."""
    mark = os.path.join(truth["folder"], "started")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(mark)
    command = [bench.program, "capture", str(truth["pid"]), "--tree", "-o", out, "--gcore", gcore]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               start_new_session=True, preexec_fn=hear_signals)
    problems: Problems = []
    if not wait_until(lambda: os.path.exists(mark)):
        problems.append("gcore was not started")
    for pid in truth["pids"]:
        if state_of(pid) not in "Tt":
            problems.append("process %d was not stopped" % pid)
    if how == "guardian":
        with open("/proc/%d/task/%d/children" % (process.pid, process.pid),
                  encoding="ascii") as file:
            os.kill(int(file.read().split()[0]), signal.SIGKILL)
    elif how == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    else:
        process.send_signal(getattr(signal, how))
    try:
        errors = process.communicate(timeout=30)[1].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        process.kill()
        return problems + ["%s does not end it" % how]
    wanted = {"SIGKILL": -9, "guardian": 74}.get(how, 75)
    problems += differing("exit", process.returncode, wanted)
    if how.startswith("SIG") and how != "SIGKILL" and "go on" not in errors:
        problems.append("says %r" % errors)
    wait_until(lambda: all(state_of(pid) not in "Tt" for pid in truth["pids"]), 15)
    problems += ["%s: %s" % (how, problem) for problem in standing_still(truth)]
    left = [name for name in os.listdir(out) if name.startswith("core")]
    return problems + differing("left over", left, [])


@check
def interrupted_while_it_dumps(bench: Bench) -> Problems:
    problems: Problems = []
    with tree(bench) as truth:
        mark = os.path.join(truth["folder"], "started")
        slow = fake_gcore(bench, "slow", "echo half > core.$3\ntouch '%s'\nexec sleep 60\n" % mark)
        for how in SIGNALS:
            problems += interrupt(bench, truth, slow, how, output(bench))
    return problems


@check
def interrupted_while_gdb_is_attached(bench: Bench) -> Problems:
    needs_gdb()
    problems: Problems = []
    with tree(bench) as truth:
        mark = os.path.join(truth["folder"], "started")
        attached = fake_gcore(bench, "attached", "gdb -nx -batch -p $3 --readnever -iex 'set "
                              "debuginfod enabled off' -ex \"shell touch '%s'; sleep 60\"\n" % mark)
        for how in SIGNALS:
            problems += interrupt(bench, truth, attached, how, output(bench))
    return problems


@check
def the_guardian_is_killed(bench: Bench) -> Problems:
    with tree(bench) as truth:
        mark = os.path.join(truth["folder"], "started")
        slow = fake_gcore(bench, "slow", "touch '%s'\nexec sleep 20\n" % mark)
        return interrupt(bench, truth, slow, "guardian", output(bench))


@check
def gcore_fails(bench: Bench) -> Problems:
    problems: Problems = []
    bodies = {"says why": "echo 'cannot do that'; exit 1", "is killed": "kill -9 $$",
              "leaves a piece": "head -c 4096 /dev/zero > core.$3", "removes it": "rm core.$3"}
    with tree(bench) as truth:
        for name, body in bodies.items():
            gcore = fake_gcore(bench, "failing", body + "\n")
            out = output(bench)
            done = capture(bench, truth["pid"], "-o", out, "--gcore", gcore)
            problems += ["%s: %s" % (name, p) for p in wrong_code(done, 74)]
            problems += differing(name + ": left over", os.listdir(out), [])
            if name == "says why" and "cannot do that" not in done.stderr:
                problems.append("does not pass on what gcore said: %r" % done.stderr)
        refused = fake_gcore(bench, "failing", "echo 'ptrace: Operation not permitted.'; exit 1\n")
        done = capture(bench, truth["pid"], "-o", output(bench), "--gcore", refused)
        problems += unclear(done, 77, "SYS_PTRACE")
        return problems + standing_still(truth)


# Wrong inputs


@check
def no_such_process(bench: Bench) -> Problems:
    process = subprocess.Popen(["true"])
    process.wait()
    out = output(bench)
    problems = unclear(capture(bench, process.pid, "-o", out), 66, str(process.pid))
    for words in (["-o", out], ["abc", "-o", out], ["0", "-o", out], [str(os.getpid())],
                  ["99999999999999999999", "-o", out]):
        problems += wrong_code(bench.run("capture", *words), 64)
    return problems + (["makes a folder for nothing"] if os.path.exists(out) else [])


@check
def what_is_no_process(bench: Bench) -> Problems:
    out, problems = output(bench), []
    kernel = subprocess.run(["sh", "-c", 'exec "$0" capture $$ -o "$1"', bench.program, out],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    problems += unclear(kernel, 64, "this program itself")
    with tree(bench) as truth:
        tid = truth["tids"]["collector"]
        problems += unclear(capture(bench, tid, "-o", out), 64, "thread of process %d" %
                            truth["pid"])
        problems += unclear(capture(bench, truth["zombie"], "-o", out), 66, "zombie")
    if os.path.exists("/proc/2/stat") and os.path.exists("/proc/2/exe") is False:
        with open("/proc/2/comm", encoding="ascii") as comm:
            if comm.read() == "kthreadd\n":
                problems += unclear(capture(bench, 2, "-o", out), 64, "kthreadd")
    return problems


@check
def what_is_there_stays(bench: Bench) -> Problems:
    needs_gdb()
    problems: Problems = []
    with tree(bench) as truth:
        for suffix in ("", ".zst", ".side-car.json"):
            out = output(bench)
            os.makedirs(out)
            path = os.path.join(out, "core.%d%s" % (truth["pid"], suffix))
            os.symlink("/nonexistent/target", path)
            problems += unclear(capture(bench, truth["pid"], "-o", out), 73, path)
            problems += differing("files", os.listdir(out), [os.path.basename(path)])
        problems += unclear(capture(bench, truth["pid"], "-o", bench.program), 73, bench.program)
        return problems + standing_still(truth)


@check
def a_folder_that_others_may_change(bench: Bench) -> Problems:
    """gdb opens core.PID by name: nobody else may put a link of theirs there meanwhile."""
    needs_gdb()
    problems: Problems = []
    with tree(bench) as truth:
        for mode, code in ((0o777, 73), (0o770, 73), (0o1777, 0), (0o755, 0)):
            out = output(bench)
            os.makedirs(out)
            os.chmod(out, mode)
            done = capture(bench, truth["pid"], "-o", out)
            problems += unclear(done, 73, out) if code else wrong_code(done, 0)
        if os.getuid() == 0:
            out = output(bench)
            os.makedirs(out)
            os.chown(out, NOBODY, -1)
            problems += unclear(capture(bench, truth["pid"], "-o", out), 73, str(NOBODY))
        return problems + standing_still(truth)


@check
def started_without_standard_descriptors(bench: Bench) -> Problems:
    """What is opened next must not become descriptor 0, 1 or 2."""
    needs_gdb()
    out = output(bench)
    with tree(bench) as truth:
        line = 'exec "$0" capture "$1" -o "$2" <&- >&- 2>&-'
        subprocess.run(["sh", "-c", line, bench.program, str(truth["pid"]), out], timeout=120)
        problems = differing("files", sorted(os.listdir(out)), [
            "core.%d%s" % (truth["pid"], suffix) for suffix in (".side-car.json", ".zst")])
        return problems + standing_still(truth)


@check
def no_gcore(bench: Bench) -> Problems:
    environment = dict(os.environ, PATH=bench.work)
    done = capture(bench, os.getppid(), "-o", output(bench), env=environment)
    missing = capture(bench, os.getppid(), "-o", output(bench), "--gcore", bench.work + "/none")
    return unclear(done, 66, "gcore") + unclear(missing, 66, bench.work + "/none")


def as_user(uid: int, *command: str) -> "inputs_test.Done[str]":
    def become() -> None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    return subprocess.run(command, preexec_fn=become, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)


@check
def not_permitted(bench: Bench) -> Problems:
    if os.getuid() != 0:
        raise makecore.CannotMake("only root can become another user")
    with tempfile.TemporaryDirectory() as folder, tree(bench) as truth:
        os.chmod(folder, 0o777)
        copy = shutil.copy(bench.program, folder)
        out = os.path.join(folder, "out")
        done = as_user(NOBODY, copy, "capture", str(truth["pid"]), "-o", out)
        problems = unclear(done, 77, str(truth["pid"]))
        if "sudo coldcase capture" not in done.stderr:
            problems.append("does not say how: %r" % done.stderr)
        if os.path.exists(out):
            problems.append("makes a folder for nothing")
        if shutil.which("setpriv"):
            drop = ["setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"]
            done = subprocess.run([*drop, bench.program, "capture", str(truth["pid"]), "-o", out],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            problems += unclear(done, 77, "--cap-add=SYS_PTRACE")
        return problems + standing_still(truth)


@check
def traced_by_another(bench: Bench) -> Problems:
    needs_gdb()
    with tree(bench) as truth:
        pid = truth["pid"]
        gdb: Optional["subprocess.Popen[bytes]"] = subprocess.Popen(
            ["gdb", "-nx", "-batch", "--readnever", "-p", str(pid), "-ex", "shell sleep 60"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            start_new_session=True)
        assert gdb is not None
        try:
            if not wait_until(lambda: tracer_of(pid) != 0):
                raise makecore.CannotMake("gdb does not attach")
            done = capture(bench, pid, "-o", output(bench))
        finally:
            os.killpg(gdb.pid, signal.SIGTERM)
            gdb.wait()
        return unclear(done, 77, str(gdb.pid))


@check
def its_schema(bench: Bench) -> Problems:
    with open(os.path.join(SHARE, "coldcase-side-car-1.schema.json"), encoding="utf-8") as file:
        return differing("schema", bench.run("schema", "side-car").stdout, file.read())


if __name__ == "__main__":
    sys.exit(run_all(__doc__ or "", CHECKS))
