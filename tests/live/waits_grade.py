"""Holds what a report says of one thread's wait against what the thread said of itself.

Four grades, from best to worst:
    right    kind, object, holder, end and state are said, and true
    weaker   nothing false, but something is not said
    unknown  the kind is not said, or only that it is some futex
    wrong    something false is said; at confidence `proved` that fails the test
Machine words alone are compared, never prose. The truth's words: programs/waits/wait_truth.h.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional

Object = Dict[str, Any]
GRADES = ("right", "weaker", "unknown", "wrong")
AWAKE = ("running", "spinning", "crashed", "ended")
# Words that are true as well, and say less: the loader's locks are mutexes.
LESS = {"loader_lock": ("mutex",), "file_lock": ("io",), "queue": ("io",)}


@dataclass
class Grade:
    word: str = "right"
    reasons: List[str] = field(default_factory=list)
    proved: bool = False  # something false at the highest confidence

    def lower(self, word: str, reason: str, confidence: str = "") -> None:
        if GRADES.index(word) > GRADES.index(self.word):
            self.word = word
        proved = word == "wrong" and confidence == "proved"
        self.reasons.append(reason + (" (proved)" if proved else ""))
        self.proved = self.proved or proved


class Report:
    """The ids of one report, resolved. `inner` maps thread numbers seen outside a container."""

    def __init__(self, report: Object, inner: Optional[Dict[int, int]] = None) -> None:
        self.resources = {one["id"]: one for one in report.get("resources", [])}
        self.processes = {one["id"]: one for one in report.get("processes", [])}
        self.evidence = {one["id"]: one for one in report.get("evidence", [])}
        self.by_id = {one["id"]: one for one in report.get("threads", [])}
        self.inner = inner or {}
        self.by_tid = {self.tid_of(one): one for one in report.get("threads", []) if "tid" in one}

    def tid_of(self, thread: Object) -> int:
        tid = thread.get("tid", 0)
        return self.inner.get(tid, tid)

    def tids(self, ids: Iterable[str]) -> List[int]:
        return [self.tid_of(self.by_id[one]) for one in ids if one in self.by_id]

    def pids(self, ids: Iterable[str]) -> List[int]:
        return [self.processes[one].get("pid", 0) for one in ids if one in self.processes]

    def resources_of(self, wait: Object) -> List[Object]:
        """What the wait names, without saying anything twice."""
        ids = [*wait.get("on", []), *([wait["at"]] if "at" in wait else [])]
        return [self.resources[one] for one in dict.fromkeys(ids) if one in self.resources]

    def near(self, wait: Object) -> List[int]:
        """All addresses that the wait, its resources and its evidence tell."""
        known = self.resources_of(wait)
        if wait.get("then") in self.resources:  # what it has to get back before it can go on
            known.append(self.resources[wait["then"]])
        ids = {one["id"] for one in known} | {one["part_of"] for one in known if "part_of" in one}
        known += [one for one in self.resources.values() if one.get("part_of") in ids or
                  one["id"] in ids]
        found = [address for one in known for address in addresses(one)]
        for name in wait.get("evidence", []):
            evidence = self.evidence.get(name, {})
            words = evidence.get("words", [])
            texts = [evidence.get("address"), *(word.get("address") for word in words),
                     *(word.get("value") for word in words)]
            found += [int(text, 16) for text in texts if text]
            if evidence.get("resource") in self.resources:
                found += addresses(self.resources[evidence["resource"]])
        return found


def addresses(resource: Object) -> List[int]:
    return [int(place["address"], 16) for place in resource.get("at", [])]


def is_object(line: Object, address: int, exact: bool) -> bool:
    """Whether the address names the object. Where its layout is not public, any word of it does."""
    if exact and address == line["object"]:
        return True
    if not exact and 0 <= address - line["object"] < line["size"]:
        return True
    return "other" in line and 0 <= address - line["other"] < line["other_size"]


def grade_kind(line: Object, wait: Object, resources: List[Object], grade: Grade) -> bool:
    """False when there is nothing more to compare."""
    kind, confidence = wait.get("kind", "unknown"), wait.get("confidence", "")
    words = line["kinds"].split()
    if kind in words:
        return True
    if kind in LESS.get(words[0], ()):
        grade.lower("weaker", "only " + kind)
        return True
    if kind == "futex":
        inside = "object" in line and any(is_object(line, address, False)
                                          for one in resources for address in addresses(one))
        grade.lower("weaker" if inside else "unknown",
                    "only a futex" + (", at the object" if inside else ""))
        return False
    if kind == "unknown":
        grade.lower("unknown", "kind unknown")
        return False
    grade.lower("wrong", "kind %s" % kind, confidence)
    return True


def grade_object(line: Object, report: Report, wait: Object, exact: bool, grade: Grade) -> None:
    same = [one for one in report.resources_of(wait) if one.get("kind") == wait.get("kind")]
    found = [address for one in same for address in addresses(one)]
    if "object" in line and not any(is_object(line, address, exact) for address in found):
        if found and not line.get("elsewhere"):
            grade.lower("wrong", "address %s" % ", ".join(map(hex, found)),
                        wait.get("confidence", ""))
        else:
            grade.lower("weaker", "address unsaid")
    if "mutex" in line and line["mutex"] not in report.near(wait):
        grade.lower("weaker", "mutex unsaid")


def grade_target(line: Object, report: Report, wait: Object, grade: Grade) -> None:
    """The thread or process whose end it waits for."""
    for key, found in (("target", report.tids(wait.get("on", []))),
                       ("target_pid", report.pids(wait.get("on", [])))):
        if key not in line:
            continue
        if not found:
            grade.lower("weaker", "target unsaid")
        elif found != [line[key]]:
            grade.lower("wrong", "target %s" % found, wait.get("confidence", ""))


def grade_holder(line: Object, report: Report, wait: Object, grade: Grade) -> None:
    told = 0
    for resource in report.resources_of(wait):
        for owner in resource.get("owners", []):
            tids = report.tids([owner["by"]])
            told += bool(tids)
            if tids and tids[0] not in line["holders"]:
                grade.lower("wrong", "holder %d" % tids[0], owner.get("confidence", ""))
    if line["holder_readable"] and not told:
        grade.lower("weaker", "holder unsaid")


def grade_words(line: Object, wait: Object, grade: Grade) -> None:
    """End, mode and system call."""
    confidence = wait.get("confidence", "")
    if "ends" not in wait:
        grade.lower("weaker", "end unsaid")
    elif wait["ends"] != line["ends"]:
        grade.lower("wrong", "ends %s" % wait["ends"], confidence)
    if "mode" in wait and "mode" in line and wait["mode"] != line["mode"]:
        grade.lower("wrong", "mode %s" % wait["mode"], confidence)
    if "mode" not in wait and "mode" in line and "rwlock" in line["kinds"]:
        grade.lower("weaker", "mode unsaid")
    call = wait.get("syscall", {}).get("name", "")
    if call in ("", "restart_syscall"):
        grade.lower("weaker", "call unsaid")
    elif call not in line["calls"].split():
        grade.lower("wrong", "call %s" % call, confidence)


def grade_spinner(line: Object, thread: Object, grade: Grade) -> None:
    state, wait = thread.get("state"), thread.get("wait")
    if state in ("blocked", "idle", "ended", "crashed"):
        grade.lower("wrong", "state %s" % state)
    elif state != "spinning":
        grade.lower("weaker", "state %s" % state)
    kind = wait.get("kind") if wait else None
    if kind and kind not in line["kinds"].split() and kind != "unknown":
        grade.lower("wrong", "kind %s" % kind, wait.get("confidence", ""))
    if not kind and line["kinds"] != "none":
        grade.lower("weaker", "kind unsaid")


def grade_line(line: Object, report: Report, exact: bool) -> Grade:
    grade = Grade()
    thread = report.by_tid.get(line["tid"])
    if thread is None:
        grade.lower("unknown", "thread not in the report")
        return grade
    if line["state"] == "spinning":
        grade_spinner(line, thread, grade)
        return grade
    if thread.get("state") in AWAKE:
        grade.lower("wrong", "state %s" % thread["state"])
    elif line["holders"] and line["holder_readable"] and thread.get("state") == "idle":
        grade.lower("weaker", "state idle")
    wait = thread.get("wait")
    if wait is None:
        grade.lower("unknown", "no wait")
        return grade
    if grade_kind(line, wait, report.resources_of(wait), grade):
        grade_object(line, report, wait, exact, grade)
        grade_target(line, report, wait, grade)
    grade_holder(line, report, wait, grade)
    grade_words(line, wait, grade)
    return grade
