#!/usr/bin/env python3
"""Files that are elsewhere: containers, deleted and replaced files, files that never were on a disk, and one
library mapped twice.

    places_test.py --program build/dev/coldcase --work build/dev/live/places [--only NAME] [--keep]

Each core is of a deadlock of two mutexes, taken in a program and in its library. One row per check.
Exit status: 0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import makecore
from inputs_test import SYSTEM_PYTHON, Bench, Problems, run_checks
from report_checks import Expected, check_report

RING = os.path.join(makecore.PROGRAMS, "debuginfod")  # worker.cpp, ring.cpp
PLACES = os.path.join(makecore.PROGRAMS, "places")
FLAGS = ["-O1", "-g", "-Wall", "-Wextra", "-Wl,--build-id", "-I", makecore.PROGRAMS]
DUMPS = {"gcore": makecore.dump_with_gcore, "kernel": makecore.dump_with_kernel}
EXPECTED = Expected(("lock-cycle",), ("deadlock",))
NAMELESS = Expected(("lock-cycle",), ("deadlock",), names=False)
WITHOUT_LIBC = replace(NAMELESS, confidence="very_likely")
CHECKS: List[Callable[[Bench], Problems]] = []

Json = Dict[str, Any]


def for_each_dump(function: Callable[["Yard", str], Problems]) -> Callable[["Yard", str], Problems]:
    for dump in DUMPS:
        def check(bench: Bench, dump: str = dump) -> Problems:
            assert isinstance(bench, Yard)
            return function(bench, dump)
        check.__name__ = "%s_%s" % (function.__name__, dump)
        CHECKS.append(check)
    return function


@dataclass
class Hang:
    core: str
    pid: int
    truth: Json
    tids: List[int]


class Yard(Bench):
    """A folder per check, with the built programs copied to where a process shall have them."""

    def fresh(self, name: str) -> str:
        folder = os.path.join(self.work, name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        return folder

    def build(self) -> None:
        for tool in ("g++", "gcc", "ldd"):
            if shutil.which(tool) is None:
                raise makecore.CannotMake("no " + tool)
        folder = self.fresh("made")
        gxx = ["g++", "-std=c++20", *FLAGS]
        ring = os.path.join(folder, "libring.so")
        # Another build of the same layout.
        for name, extra in (("", []), ("another-", ["-Wl,--build-id=0x" + "ab" * 20])):
            makecore.run([*gxx, *extra, "-shared", "-fPIC", "-fvisibility=hidden",
                          "-Wl,-soname,libring.so", "-o", os.path.join(folder, name + "libring.so"),
                          os.path.join(RING, "ring.cpp")])
            makecore.run([*gxx, *extra, "-o", os.path.join(folder, name + "worker"),
                          os.path.join(RING, "worker.cpp"), ring, "-pthread",
                          "-Wl,-rpath,$ORIGIN:/srv/app"])  # no /proc in a container
        makecore.run([*gxx, "-shared", "-fPIC", "-fvisibility=hidden", "-o",
                      os.path.join(folder, "libshelf.so"), os.path.join(PLACES, "shelf.cpp")])
        makecore.run([*gxx, "-o", os.path.join(folder, "copies"),
                      os.path.join(PLACES, "copies.cpp"), "-pthread", "-ldl"])
        for name in ("from_memory", "assert_apart"):
            makecore.run(["gcc", *FLAGS, "-o", os.path.join(folder, name),
                          os.path.join(PLACES, name + ".c")])

    def made(self, name: str) -> str:
        return os.path.join(self.work, "made", name)

    def settled(self, folder: str) -> str:
        """A new folder with the program and its library."""
        os.makedirs(folder)
        for name in ("worker", "libring.so"):
            shutil.copy(self.made(name), folder)
        return os.path.join(folder, "worker")

    @contextlib.contextmanager
    def hanging(self, command: Sequence[str], dump: str, folder: str,
                meanwhile: Callable[[int], None] = lambda pid: None) -> Iterator[Hang]:
        """Runs a command in a folder until it hangs, does something, and dumps it there. After
        gcore the process is there until the block ends."""
        process = makecore.start(list(command), folder)
        try:
            truth = makecore.read_truth(process)
            makecore.settle(process, truth)
            tids = sorted(int(tid) for tid in os.listdir("/proc/%d/task" % process.pid))
            meanwhile(process.pid)
            yield Hang(DUMPS[dump](process, folder), process.pid, truth, tids)
        finally:
            makecore.finish(process)

    def story(self, hang: Hang, *options: str, expected: Expected = EXPECTED,
              inside: Sequence[str] = ("ring.cpp",)) -> Tuple[Json, Problems]:
        """The report, and what it has wrong; `inside`: files of the library on each thread's stack."""
        done = self.run("analyze", hang.core, "--format", "json", *options)
        if not done.stdout:
            raise makecore.WentWrong("no report, exit %d: %s" % (done.returncode, done.stderr))
        report = json.loads(done.stdout)
        problems = check_report(report, hang.truth, expected, done.returncode, hang.tids)
        if expected.names:
            for name in ("teller", "auditor", "one", "other"):
                if name in hang.truth["threads"]:
                    problems += self.lacks(report, hang.truth["threads"][name], inside)
        return report, problems

    @staticmethod
    def lacks(report: Json, tid: int, files: Sequence[str]) -> Problems:
        found = {os.path.basename(frame.get("file", "")) for frame in frames_of(report, tid)
                 if frame.get("line")}
        return ["LWP %d has no line of %s: %r" % (tid, name, sorted(found))
                for name in files if name not in found]


def frames_of(report: Json, tid: int) -> List[Json]:
    stack = next(thread["stack"] for thread in report["threads"] if thread.get("tid") == tid)
    return next(one["frames"] for one in report["stacks"] if one["id"] == stack)


def modules(report: Json, name: str) -> List[Json]:
    return [module for module in report["modules"] if module["name"] == name]


def said(report: Json, code: str) -> str:
    return "\n".join(" ".join([note["text"], note.get("advice", ""), note.get("command", "")])
                     for note in report["notes"] if note["code"] == code)


def used(report: Json, name: str, file: str) -> Problems:
    """Whether this file was used for every module of the name."""
    found = modules(report, name)
    problems = [] if found else ["no module %s" % name]
    for module in found:
        if module["found"] != "file" or module.get("file", module.get("path")) != file or \
                module["symbols"] != "dwarf":
            problems.append("%s is not from %s: %r" % (name, file, module))
    return problems


def found_as(report: Json, name: str, why: str) -> Problems:
    found = modules(report, name)
    problems = [] if found else ["no module %s" % name]
    return problems + ["%s is %s, not %s" % (name, module["found"], why)
                       for module in found if module["found"] != why]


def table_row(yard: Yard, core: str, name: str, *options: str) -> Json:
    rows = json.loads(yard.run("show", "modules", core, "-f", "json", *options).stdout)
    return next(row for row in rows if row["module"] == name)


# Containers


def tree(yard: Yard, root: str) -> str:
    """A file tree that the program can run in: it, its library, and what the system has of them."""
    yard.settled(root + "/srv/app")
    listed = subprocess.run(["ldd", yard.made("worker")], stdout=subprocess.PIPE, text=True,
                            check=True).stdout
    for path in re.findall(r"(/\S+) \(0x", listed):
        if path.startswith(yard.work):
            continue
        os.makedirs(root + os.path.dirname(path), exist_ok=True)
        shutil.copy(path, root + path)
    for name in ("dumps", "proc"):
        os.makedirs(os.path.join(root, name))
    return root


def must(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise makecore.CannotMake("%s: %s" % (" ".join(command[:3]), done.stdout.strip()[-200:]))


def unshare() -> List[str]:
    command = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if shutil.which("unshare") is None:
        raise makecore.CannotMake("no unshare")
    must([*command, "true"])
    return command


def seen_from_outside(yard: Yard, hang: Hang, root: str, libc: str = "file") -> Problems:
    """The core of a process whose root was `root`, with and without being told so."""
    expected = NAMELESS if libc == "file" else WITHOUT_LIBC
    report, problems = yard.story(hang, expected=expected)
    for name in ("worker", "libring.so"):
        problems += found_as(report, name, "missing")
        note = said(report, "module-missing")
        for word in (name + " is not on this machine", "--sysroot DIR", "debuginfod-find executable"):
            if word not in note:
                problems.append("not said: %s: %r" % (word, note))
    problems += found_as(report, "libc.so.6", libc)  # the same build is here, too
    report, more = yard.story(hang, "--sysroot", root)
    problems += more + used(report, "worker", root + "/srv/app/worker")
    return problems + used(report, "libring.so", root + "/srv/app/libring.so")


def in_a_namespace(yard: Yard, dump: str, place: str, libc: str) -> Problems:
    """An overlay of two layers that only the process's own mount namespace has."""
    folder = yard.fresh("namespace")
    lower = tree(yard, folder + "/lower")
    os.makedirs(folder + "/upper/srv")  # the application is in a layer of its own, as in images
    os.rename(lower + "/srv/app", folder + "/upper/srv/app")
    merged, dumps = folder + place, folder + "/dumps"
    os.makedirs(merged)
    os.makedirs(dumps)
    enter = ("set -e; mount -t overlay overlay -o 'lowerdir=%s/upper:%s' '%s'; "
             "mount --bind '%s' '%s/dumps'; " % (folder, lower, merged, dumps, merged))
    must([*unshare(), "sh", "-c", enter])
    start = enter + "exec unshare --root='%s' --wd=/dumps /srv/app/worker" % merged
    with yard.hanging([*unshare(), "sh", "-c", start], dump, dumps) as hang:
        problems = []
        if dump == "gcore":  # the process goes on
            report, _ = yard.story(hang)
            if "(/proc/%d/root while" % hang.pid not in said(report, "module-missing"):
                problems.append("not advised: %r" % said(report, "module-missing"))
            report, more = yard.story(hang, "--sysroot", "/proc/%d/root" % hang.pid)
            problems += more + used(report, "worker", "/proc/%d/root/srv/app/worker" % hang.pid)
    return problems + seen_from_outside(yard, hang, tree(yard, folder + "/whole"), libc)


@for_each_dump
def a_mount_namespace(yard: Yard, dump: str) -> Problems:
    """gcore tells the folders with the process's root in front, and none of them is here."""
    return in_a_namespace(yard, dump, "/root", "missing" if dump == "gcore" else "file")


@for_each_dump
def an_overlay_of_a_container(yard: Yard, dump: str) -> Problems:
    """A root where Docker puts it: what of the rest of the path is here, too, is found."""
    return in_a_namespace(yard, dump, "/overlay2/0a1b2c/merged", "file")


@for_each_dump
def a_chroot(yard: Yard, dump: str) -> Problems:
    folder = yard.fresh("chroot")
    root = tree(yard, folder + "/root")
    unshare()
    command = ["unshare", "--root=" + root, "--wd=/dumps", "/srv/app/worker"]
    if os.geteuid() != 0:
        command.insert(1, "-r")
    with yard.hanging(command, dump, root + "/dumps") as hang:
        pass
    if dump == "kernel":  # it records what the process itself calls its files
        return seen_from_outside(yard, hang, root)
    report, problems = yard.story(hang)
    return problems + used(report, "worker", root + "/srv/app/worker")


# Deleted and replaced


def everywhere(yard: Yard, hang: Hang, home: str) -> Problems:
    """The files that ran are given in each of the ways there are."""
    made, beside = yard.made(""), os.path.dirname(hang.core)
    given = ["--executable", made + "worker", "--executable", made + "libring.so"]
    report, problems = yard.story(hang, *given)
    problems += used(report, "worker", made + "worker") + used(report, "libring.so",
                                                               made + "libring.so")
    root = yard.fresh("sysroot")
    yard.settled(root + home)
    report, more = yard.story(hang, "--sysroot", root)
    problems += more + used(report, "libring.so", root + home + "/libring.so")
    for name in ("worker", "libring.so"):
        shutil.copy(yard.made(name), beside)
    report, more = yard.story(hang)
    problems += more + used(report, "worker", beside + "/worker")
    return problems + used(report, "libring.so", beside + "/libring.so")


@for_each_dump
def deleted_while_it_ran(yard: Yard, dump: str) -> Problems:
    folder = yard.fresh("deleted")
    home = folder + "/home"
    os.makedirs(folder + "/dumps")
    with yard.hanging([yard.settled(home)], dump, folder + "/dumps",
                      lambda pid: shutil.rmtree(home)) as hang:
        pass
    report, problems = yard.story(hang, expected=NAMELESS)
    for name in ("worker", "libring.so"):
        problems += found_as(report, name, "missing")
        if name + " was deleted or replaced while the process ran" not in said(report,
                                                                             "module-missing"):
            problems.append("not said of %s: %r" % (name, said(report, "module-missing")))
        if "--executable %s=FILE" % name not in said(report, "module-missing"):
            problems.append("no advice for %s" % name)
    return problems + everywhere(yard, hang, home)


def copied_from_the_process(bench: Bench) -> Problems:
    """After gcore the process goes on: the commands of the notes copy what it runs."""
    assert isinstance(bench, Yard)
    if os.geteuid() != 0:
        raise makecore.CannotMake("map_files needs root")
    problems: Problems = []
    for kind in ("deleted", "memory"):
        folder = bench.fresh("copied-" + kind)
        home, dumps = folder + "/home", folder + "/dumps"
        os.makedirs(dumps)
        command = [bench.settled(home)] if kind == "deleted" else [
            bench.made("copies"), "memory", bench.made("libshelf.so")]
        with bench.hanging(command, "gcore", dumps,
                           lambda pid: shutil.rmtree(home, ignore_errors=True)) as hang:
            report, more = bench.story(hang, expected=NAMELESS)
            notes = [note for note in report["notes"] if note["code"] == "module-missing"]
            for note in notes:
                if not note["command"].startswith("cp /proc/%d/" % hang.pid):
                    return ["%s: another command: %r" % (kind, note)]
                subprocess.run(note["command"], shell=True, cwd=dumps, check=False)
            if len(notes) != (2 if kind == "deleted" else 1):
                more.append("%d notes" % len(notes))
        files = ("ring.cpp",) if kind == "deleted" else ("shelf.cpp",)
        problems += more + bench.story(hang, inside=files)[1]
    return problems


CHECKS.append(copied_from_the_process)


@for_each_dump
def replaced_while_it_ran(yard: Yard, dump: str) -> Problems:
    """By another build of the same size and layout: only the build-ids differ."""
    folder = yard.fresh("replaced")
    home = folder + "/home"
    os.makedirs(folder + "/dumps")

    def replace(pid: int) -> None:
        for name in ("worker", "libring.so"):
            shutil.copy(yard.made("another-" + name), home + "/new")
            os.replace(home + "/new", os.path.join(home, name))

    with yard.hanging([yard.settled(home)], dump, folder + "/dumps", replace) as hang:
        pass
    report, problems = yard.story(hang, expected=NAMELESS)
    for name in ("worker", "libring.so"):
        path = os.path.join(home, name)
        problems += found_as(report, name, "mismatch")
        note = said(report, "module-mismatch")
        for word in (name + ": " + path + " is another build than the one that ran, and is not used",
                     "was deleted or replaced while the process ran",
                     "--executable %s=FILE" % name):
            if word not in note:
                problems.append("not said: %s: %r" % (word, note))
        row = table_row(yard, hang.core, name)
        if (row.get("identity"), row.get("file")) != ("another build, not used", path) or \
                not row.get("to get what is missing"):
            problems.append("the table does not tell: %r" % row)
    names = [frame.get("function", "") for tid in hang.tids for frame in frames_of(report, tid)]
    if any("move_money" in name or "change_balance" in name for name in names):
        problems.append("names from another build: %r" % names)
    return problems + everywhere(yard, hang, home)


# Memory that never was a file


@for_each_dump
def a_program_from_memory(yard: Yard, dump: str) -> Problems:
    folder = yard.fresh("memory")
    home = folder + "/home"
    worker = yard.settled(home)
    os.makedirs(folder + "/dumps")
    command = ["env", "LD_LIBRARY_PATH=" + home, yard.made("from_memory"), worker]
    with yard.hanging(command, dump, folder + "/dumps") as hang:
        pass
    report, problems = yard.story(hang, expected=NAMELESS)
    problems += found_as(report, "memfd:worker", "missing")
    note = said(report, "module-missing")
    if "memfd:worker ran from memory" not in note or "--sysroot" in note:
        problems.append("not said: %r" % note)
    for given in (worker, "memfd:worker=" + worker):
        report, more = yard.story(hang, "--executable", given)
        problems += more + used(report, "memfd:worker", worker)
    return problems


@for_each_dump
def libraries_from_memory(yard: Yard, dump: str) -> Problems:
    """Two copies of one library, each with a lock of its own."""
    folder = yard.fresh("libraries")
    library = yard.made("libshelf.so")
    with yard.hanging([yard.made("copies"), "memory", library], dump, folder) as hang:
        pass
    report, problems = yard.story(hang, expected=NAMELESS)
    problems += found_as(report, "memfd:shelf", "missing")
    report, more = yard.story(hang, "--executable", "memfd:shelf=" + library, inside=("shelf.cpp",))
    problems += more + used(report, "memfd:shelf", library)
    return problems + two_copies(report, hang, "memfd:shelf")


# One library twice


def two_copies(report: Json, hang: Hang, name: str) -> Problems:
    """Each thread is in both copies, in opposite order, and waits for the lock of the inner one,
    which is told apart from the other's."""
    found = {module["id"]: int(module["mapped"][0]["base"], 16) for module in modules(report, name)}
    problems = [] if len(found) == 2 else ["%d modules %s" % (len(found), name)]
    orders, offsets = [], []
    for thread in ("one", "other"):
        tid = hang.truth["threads"][thread]
        frames = frames_of(report, tid)
        order = [f["module"] for f in frames if f.get("function", "").startswith("at_shelf")]
        orders.append(order)
        wait = next(t["wait"] for t in report["threads"] if t.get("tid") == tid)
        lock = next(r for r in report["resources"] if r["id"] == wait["on"][0])
        if order[:1] and order[0] in found:
            base = "of the %s at 0x%x" % (name, found[order[0]])
            if not lock["label"].endswith("::shelf " + base):
                problems.append("the lock is called %s, not %s" % (lock["label"], base))
            offsets.append(int(lock["at"][0]["address"], 16) - found[order[0]])
    if sorted(map(sorted, orders)) != [sorted(found)] * 2 or orders[0] != orders[1][::-1]:
        problems.append("not in both copies: %r of %r" % (orders, found))
    if len(offsets) != 2 or len(set(offsets)) != 1 or not 0 < offsets[0] < 1 << 20:
        problems.append("the locks are not those of the copies: %r" % offsets)
    return problems


@for_each_dump
def a_namespace_of_its_own(yard: Yard, dump: str) -> Problems:
    folder = yard.fresh("apart")
    library = yard.made("libshelf.so")
    with yard.hanging([yard.made("copies"), "apart", library], dump, folder) as hang:
        pass
    report, problems = yard.story(hang, inside=("shelf.cpp",))
    problems += used(report, "libshelf.so", library) + two_copies(report, hang, "libshelf.so")
    copies = {module["id"] for module in modules(report, "libc.so.6")}
    waits_in = {next(f["module"] for f in frames_of(report, hang.truth["threads"][name])
                     if f.get("module")) for name in ("one", "other")}
    if len(copies) != 2 or waits_in != copies:
        problems.append("waits in %r, the C libraries are %r" % (waits_in, copies))
    return problems


def an_assertion_beside_another_c_library(bench: Bench) -> Problems:
    """The message is in the C library of the program, not in the copy's."""
    assert isinstance(bench, Yard)
    makecore.check_kernel_dumps()
    folder = bench.fresh("assertion")
    process = makecore.start([bench.made("assert_apart")], folder)
    try:
        truth = makecore.read_truth(process)
        core = makecore.dump_own_crash(process, folder)
    finally:
        makecore.finish(process)
    done = bench.run("analyze", core, "--format", "json")
    report = json.loads(done.stdout)
    problems = check_report(report, truth, Expected(("crash-assert",), ("crash",)), done.returncode)
    return problems if len(modules(report, "libc.so.6")) > 1 else ["not two C libraries"]


CHECKS.append(an_assertion_beside_another_c_library)


def an_interpreter_above_another_one(bench: Bench) -> Problems:
    """Python's locks are those of the program's own libpython; the copy below has no threads."""
    assert isinstance(bench, Yard)
    if not os.path.exists(SYSTEM_PYTHON):
        raise makecore.CannotMake("no " + SYSTEM_PYTHON)
    folder = bench.fresh("pythons")
    program, ask = os.path.join(folder, "two_pythons"), "import sys; print('%d.%d' % sys.version_info[:2])"
    library = "-lpython" + subprocess.run([SYSTEM_PYTHON, "-c", ask], stdout=subprocess.PIPE,
                                          text=True, check=True).stdout.strip()
    built = subprocess.run(["gcc", *FLAGS, "-o", program, os.path.join(PLACES, "two_pythons.c"),
                            library, "-ldl"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if built.returncode != 0:
        raise makecore.CannotMake("no " + library)
    core = makecore.make_core("abba_lock", "kernel", folder + "/run", bench.work, program)
    done = bench.run("analyze", core.path, "--format", "json")
    report = json.loads(done.stdout)
    expected = replace(EXPECTED, confidence="very_likely")
    problems = check_report(report, core.truth, expected, done.returncode, core.tids)
    copies = [module for module in report["modules"] if module["name"].startswith("libpython3")]
    return problems if len(copies) > 1 else problems + ["one libpython: %r" % copies]


CHECKS.append(an_interpreter_above_another_one)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--only", help="the checks whose name contains this")
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    options = parser.parse_args()
    yard = Yard(os.path.abspath(options.program), os.path.abspath(options.work))
    os.makedirs(yard.work, exist_ok=True)
    yard.clean()
    try:
        yard.build()
        return run_checks(yard, [c for c in CHECKS if (options.only or "") in c.__name__])
    except makecore.CannotMake as reason:
        print("skip: %s" % reason)
        return 77
    finally:
        if not options.keep:
            yard.clean()


if __name__ == "__main__":
    sys.exit(main())
