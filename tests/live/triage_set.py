"""The folder of cores that triage_test.py sorts: made once, with the truth about each.

Several programs, builds and interpreters, both dumpers; some packed, one cut, one twice, and files
that are no cores. Every core has a name of its own, so that a test can point at it.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from typing import Dict, List, Sequence, Tuple

import makecore

# Beside makecore's debug and release (stripped): the same programs built in other ways.
MORE_VARIANTS = {"fast": ["-O2", "-g"], "plain": ["-O0"]}
SYSTEM_PYTHON = "/usr/bin/python3"
CUT_PERCENT = 40


@dataclass
class Member:
    """One core of the set."""
    name: str       # of the file, before packing
    path: str       # under the set's folder
    program: str    # the bug; "" when nothing is expected of it
    kind: str       # of its row: problem, none, any
    label: str      # variant or interpreter
    dump: str
    symbols: bool   # a stripped native program has none
    executable: str
    python: bool = False


@dataclass
class Plan:
    program: str
    label: str
    dump: str
    python: str = ""
    kind: str = "problem"

    def name(self) -> str:
        return "core.%s-%s-%s" % (self.program, self.label.replace(" ", "-"), self.dump)


PYTHON_DUMPS: Sequence[Tuple[str, str, int]] = (  # program, dump, so many interpreters
    ("abba_lock", "kernel", 99), ("abba_lock", "gcore", 3), ("lambda_lock", "kernel", 99), ("founding_case", "kernel", 3),
    ("founding_case", "gcore", 1), ("gil_mutex", "kernel", 3), ("rlock_abba", "kernel", 2),
    ("self_lock", "kernel", 2), ("crash_python", "crash", 2))
NATIVE = ("abba_mutex", "self_mutex", "rwlock_cycle")
CRASHES = ("crash_segv", "crash_abort", "crash_assert")


def spread(pythons: Sequence[makecore.Python], count: int) -> List[makecore.Python]:
    """Some of them, from the oldest to the newest."""
    if count >= len(pythons):
        return list(pythons)
    return [pythons[i * (len(pythons) - 1) // max(count - 1, 1)] for i in range(count)]


def plans(pythons: Sequence[makecore.Python]) -> List[Plan]:
    found = [Plan(program, python.label, dump, python.path)
             for program, dump, count in PYTHON_DUMPS for python in spread(pythons, count)]
    found += [Plan("idle_workers", python.label, "kernel", python.path, "none")
              for python in spread(pythons, 2)]
    for program in NATIVE:
        found += [Plan(program, "debug", "kernel"), Plan(program, "debug", "gcore"),
                  Plan(program, "fast", "kernel"), Plan(program, "plain", "kernel"),
                  Plan(program, "release", "kernel"), Plan(program, "release", "gcore")]
    found += [Plan("idle_pool", variant, "kernel", kind="none") for variant in ("debug", "release")]
    found += [Plan(program, variant, "crash") for program in CRASHES
              for variant in ("debug", "fast", "release")]
    return found


class Set:
    """All members, where they lie, and what could not be made."""

    def __init__(self, work: str) -> None:
        self.work, self.root = work, os.path.join(work, "set")
        self.built = os.path.join(work, "built")
        self.members: List[Member] = []
        self.skipped: Dict[str, str] = {}
        self.cut = self.duplicate = self.original = ""  # paths under the root
        self.garbage: List[str] = []

    def full(self, path: str) -> str:
        return os.path.join(self.root, path)

    def named(self, name: str) -> Member:
        return next(member for member in self.members if member.name == name)

    def make(self) -> None:
        makecore.VARIANTS.update(MORE_VARIANTS)
        makecore.build_all(self.built)
        shutil.rmtree(self.root, ignore_errors=True)
        os.makedirs(self.root)
        pythons = [python for python in makecore.find_pythons() if not python.skipped]
        for plan in plans(pythons):
            try:
                self.add(plan)
            except makecore.CannotMake as why:
                self.skipped[plan.name()] = str(why)
        self.pack()
        self.cut_one()
        self.copy_one()
        self.add_garbage()
        with open(os.path.join(self.work, "set.json"), "w", encoding="utf-8") as file:
            json.dump({"members": [asdict(member) for member in self.members], "cut": self.cut,
                       "duplicate": self.duplicate, "original": self.original,
                       "garbage": self.garbage}, file, indent=1)

    def load(self) -> bool:
        """The set that --keep has left."""
        try:
            with open(os.path.join(self.work, "set.json"), encoding="utf-8") as file:
                saved = json.load(file)
        except OSError:
            return False
        self.members = [Member(**member) for member in saved["members"]]
        self.cut, self.duplicate = saved["cut"], saved["duplicate"]
        self.original, self.garbage = saved["original"], saved["garbage"]
        return all(os.path.exists(self.full(member.path)) for member in self.members)

    def add(self, plan: Plan) -> None:
        core = makecore.make_core(plan.program, plan.dump, os.path.join(self.work, "making"),
                                  self.built, plan.python, plan.label)
        folder = "python" if plan.python else "native/" + plan.label
        os.makedirs(self.full(folder), exist_ok=True)
        path = os.path.join(folder, plan.name())
        shutil.move(core.path, self.full(path))
        shutil.rmtree(os.path.join(self.work, "making"))
        self.members.append(Member(plan.name(), path, plan.program, plan.kind, plan.label,
                                   plan.dump, plan.label != "release", core.executable,
                                   bool(plan.python)))

    def pack(self) -> None:
        """Every sixth one, with zstd where there is such a program."""
        if shutil.which("zstd") is None:
            self.skipped["packed cores"] = "no zstd"
            return
        for member in self.members[::6]:
            makecore.run(["zstd", "-q", "--rm", self.full(member.path)])
            member.path += ".zst"

    def first_plain(self, program: str, label: str, dump: str) -> Member:
        return next(member for member in self.members if member.program == program
                    and member.label == label and member.dump == dump
                    and not member.path.endswith(".zst"))

    def cut_one(self) -> None:
        whole = self.first_plain("rwlock_cycle", "plain", "kernel")
        self.cut = "cut/core.cut"
        os.makedirs(self.full("cut"))
        size = os.path.getsize(self.full(whole.path)) * CUT_PERCENT // 100
        with open(self.full(whole.path), "rb") as source, open(self.full(self.cut), "wb") as target:
            target.write(source.read(size))

    def copy_one(self) -> None:
        self.original = self.first_plain("self_mutex", "plain", "kernel").path
        self.duplicate = "zz/again/core.copy"
        os.makedirs(os.path.dirname(self.full(self.duplicate)))
        shutil.copyfile(self.full(self.original), self.full(self.duplicate))

    def add_garbage(self) -> None:
        os.makedirs(self.full("garbage"))
        self.garbage = ["garbage/core.1", "garbage/core.empty", "garbage/core.program"]
        with open(self.full(self.garbage[0]), "w", encoding="utf-8") as file:
            file.write("core dumped, they said\n" * 100)
        with open(self.full(self.garbage[1]), "wb"):
            pass
        shutil.copyfile(os.path.join(self.built, "debug", "abba_mutex"),
                        self.full(self.garbage[2]))
        if shutil.which("zstd"):
            subprocess.run(["zstd", "-q", "-o", self.full("garbage/core.text.zst"),
                            self.full(self.garbage[0])], check=True)
            self.garbage.append("garbage/core.text.zst")
