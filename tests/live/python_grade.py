"""Holds a report against what a Python scenario said of itself (programs/python/says.py).

Every WAIT, HOLD, TASK and SITE of the truth, and its pattern, gets one of four words:
    right    said, and true
    weaker   nothing false, but object, label, holder or end is unsaid, or said with less confidence
             than a core allows; what is false and called no more than `likely` is weaker, too
    silent   not said at all
    wrong    false, and called very_likely or proved: another object, another thread as the holder,
             another end; or any finding above `info` in a healthy process
Machine words alone are compared, never prose; labels only have to contain what the program calls
the thing. A report that says that it cannot read this interpreter is not graded line by line.
"""
from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional

Object = Dict[str, Any]
GRADES = ("right", "weaker", "silent", "wrong")
CONFIDENCES = ("hypothesis", "likely", "very_likely", "proved")
SURE = CONFIDENCES[2:]
# Words that are true as well, and say less: what Python's objects are made of.
LESS = {
    "python_lock": ("semaphore", "futex", "mutex", "condition"),
    "python_rlock": ("python_lock", "semaphore", "futex", "mutex", "condition"),
    "python_condition": ("python_lock", "semaphore", "futex"),
    "queue": ("python_condition", "python_lock", "semaphore", "futex", "io", "pipe"),
    "future": ("python_condition", "python_lock", "semaphore", "futex"),
    "import_lock": ("python_lock", "python_rlock", "semaphore", "futex"),
    "thread_exit": ("python_lock", "python_condition", "semaphore", "futex"),
    "event_loop": ("io",), "socket": ("io",), "pipe": ("io",), "process_exit": ("io",),
    "semlock": ("semaphore", "futex"), "static_guard": ("futex", "once"), "gil": ("futex",),
    "file_lock": ("io",), "stdio_lock": ("mutex", "futex"), "loader_lock": ("mutex", "futex")}


@dataclass
class Grade:
    what: str
    word: str = "right"
    reasons: List[str] = field(default_factory=list)

    def lower(self, word: str, reason: str) -> None:
        if GRADES.index(word) > GRADES.index(self.word):
            self.word = word
        self.reasons.append(reason)

    def false(self, reason: str, confidence: str) -> None:
        """Something that is not so, as sure as the report calls it."""
        self.lower("wrong" if confidence in SURE else "weaker",
                   "%s (%s)" % (reason, confidence or "no confidence"))


class Report:
    """The ids of one report, resolved."""

    def __init__(self, value: Object) -> None:
        self.value = value
        self.by_id: Dict[str, Object] = {}
        for array in value.values():
            if isinstance(array, list):
                self.by_id.update((one["id"], one) for one in array
                                  if isinstance(one, dict) and "id" in one)
        self.by_tid = {one["tid"]: one for one in value.get("threads", []) if "tid" in one}

    def resources(self, ids: Iterable[str]) -> List[Object]:
        kept = [self.by_id[one] for one in dict.fromkeys(ids) if one in self.by_id]
        return [one for one in kept if "kind" in one and "owners" in one]

    def things_of(self, wait: Object) -> List[Object]:
        """What it waits for, and what that is part of or made of."""
        ids = [*wait.get("on", []), *(wait[key] for key in ("at", "then") if key in wait)]
        ids += [one["part_of"] for one in self.resources(ids) if "part_of" in one]
        return self.resources(ids)

    def at_address(self, address: int) -> List[Object]:
        return [one for one in self.value.get("resources", []) if address in addresses(one)]

    def python_frames(self) -> int:
        return sum(frame.get("kind") == "python" for stack in self.value.get("stacks", [])
                   for frame in stack.get("frames", []))

    def is_unread(self) -> bool:
        """The program says that it cannot read this interpreter, or has not seen one at all, and
        keeps to that."""
        said = any(note.get("code") == "python-unread" for note in self.value.get("notes", []))
        seen = any(runtime.get("kind") == "cpython" for process in self.value.get("processes", [])
                   for runtime in process.get("runtimes", []))
        return (said or not seen) and self.python_frames() == 0


class Truth:
    """The lines of one scenario; threads by name."""

    def __init__(self) -> None:
        self.threads: Dict[str, int] = {}
        self.settles: Dict[str, str] = {}
        self.waits: List[Object] = []
        self.holds: List[Object] = []
        self.tasks: List[Object] = []
        self.sites: List[Object] = []
        self.ready: Optional[Object] = None

    def take(self, word: str, facts: Object) -> None:
        if word == "THREAD":
            self.threads[facts["name"]] = facts["tid"]
            self.settles[facts["name"]] = facts["settles"]
        elif word == "READY":
            self.ready = facts
        elif word in ("WAIT", "HOLD", "TASK", "SITE"):
            {"WAIT": self.waits, "HOLD": self.holds, "TASK": self.tasks,
             "SITE": self.sites}[word].append(facts)
        else:
            raise ValueError("a line that begins with %r" % word)

    def holders_of(self, line: Object, kind: str) -> List[Object]:
        """The HOLD lines about what a WAIT line waits for; `kind` is what the report calls it."""
        return [hold for hold in self.holds
                if (line["address"] and hold["address"] == line["address"])
                or (not hold["address"] and hold["kind"] and hold["kind"] == kind)]


def addresses(resource: Object) -> List[int]:
    return [int(place["address"], 16) for place in resource.get("at", [])]


def last_name(function: str) -> str:
    """`Context.run` and `run`, `f.<locals>.<lambda>` and `<lambda>`, `a::f(int)` and `f` agree."""
    return function.split("(")[0].split("::")[-1].split(".")[-1]


# One line each


def grade_kind(line: Object, wait: Object, grade: Grade) -> bool:
    """False when there is nothing more to compare."""
    kind, words = wait.get("kind", "unknown"), line["kind"].split("|")
    if kind in words:
        return True
    if kind == "unknown":
        grade.lower("silent", "kind unknown")
        return False
    if any(kind in LESS.get(word, ()) for word in words):
        grade.lower("weaker", "only " + kind)
    else:
        grade.false("kind " + kind, wait.get("confidence", ""))
    return True


def grade_object(line: Object, report: Report, wait: Object, grade: Grade) -> None:
    things = report.things_of(wait)
    found = [address for one in things for address in addresses(one)]
    if line["address"] and line["address"] not in found:
        same = [one for one in things if one["kind"] in line["kind"].split("|")]
        others = [address for one in same for address in addresses(one)]
        if others:
            grade.false("object %s" % ", ".join(map(hex, others)), wait.get("confidence", ""))
        else:
            grade.lower("weaker", "object unsaid")
    names = [name for one in things for name in (one.get("label", ""), *one.get("aliases", []))]
    names += [report.by_id[one].get("name", "") for one in wait.get("on", [])
              if one in report.by_id and "loop" in report.by_id[one]]  # tasks
    if line["label"] and not any(line["label"] in name for name in names):
        grade.lower("weaker", "label unsaid: " + "; ".join(filter(None, names)))


def grade_end(line: Object, report: Report, truth: Truth, wait: Object, grade: Grade) -> None:
    confidence = wait.get("confidence", "")
    if line["end_of"]:
        found = [report.by_id[one].get("tid", 0) for one in wait.get("on", [])
                 if one in report.by_id and one in
                 {thread["id"] for thread in report.value.get("threads", [])}]
        if not found:
            grade.lower("weaker", "whose end is unsaid")
        elif truth.threads.get(line["end_of"], -1) not in found:
            grade.false("end of %s" % found, confidence)
    ends = wait.get("ends")
    if ends is None:
        grade.lower("weaker", "unsaid whether it ends by itself")
    elif line["timeout"] != (ends == "timeout"):
        grade.false("ends " + ends, confidence)


def grade_owners(resources: Iterable[Object], holds: List[Object], report: Report, truth: Truth,
                 grade: Grade) -> bool:
    """Owners that are none are wrong; whether any was said that is one."""
    said = False
    for resource in resources:
        for owner in resource["owners"]:
            by = report.by_id.get(owner.get("by", ""), {})
            if "tid" not in by:
                continue
            mine = [hold for hold in holds if truth.threads.get(hold["thread"]) == by["tid"]]
            confidence = owner.get("confidence", "")
            if not mine:
                grade.false("holder %s" % by.get("name", by["tid"]), confidence)
                continue
            said = True
            if confidence not in CONFIDENCES[CONFIDENCES.index(mine[0]["sure"]):]:
                grade.lower("weaker", "holder only " + (confidence or "without confidence"))
    return said


def grade_wait(line: Object, report: Report, truth: Truth) -> Grade:
    grade = Grade("%s waits" % line["thread"])
    thread = report.by_tid.get(truth.threads.get(line["thread"], -1))
    wait = thread.get("wait") if thread else None
    if wait is None:
        grade.lower("silent", "no wait" if thread else "no thread")
        return grade
    if not grade_kind(line, wait, grade):
        return grade
    grade_object(line, report, wait, grade)
    grade_end(line, report, truth, wait, grade)
    holds = truth.holders_of(line, wait["kind"])
    things = report.at_address(line["address"]) if line["address"] else report.things_of(wait)
    said = grade_owners(things, holds, report, truth, grade)
    if holds and not said and "wrong" != grade.word:
        grade.lower("weaker", "holder unsaid")
    return grade


def grade_hold(line: Object, report: Report, truth: Truth) -> Grade:
    grade = Grade("%s holds" % line["thread"])
    holds = [hold for hold in truth.holds if hold["address"] == line["address"]
             and (line["address"] or hold["kind"] == line["kind"])]
    resources = (report.at_address(line["address"]) if line["address"] else
                 [one for one in report.value.get("resources", [])
                  if one["kind"] == line["kind"]])
    said = grade_owners(resources, holds, report, truth, grade)
    if not said and grade.word != "wrong":
        grade.lower("silent", "")
        return grade
    thread = report.by_tid.get(truth.threads.get(line["thread"], -1), {})
    ids = {one["id"] for one in resources}
    if grade.word != "wrong" and not any(hold.get("resource") in ids
                                         for hold in thread.get("holds", [])):
        grade.lower("weaker", "not in its list")
    return grade


def grade_site(line: Object, report: Report, truth: Truth) -> Grade:
    grade = Grade("%s is in %s" % (line["thread"], line["function"]))
    thread = report.by_tid.get(truth.threads.get(line["thread"], -1), {})
    frames = report.by_id.get(thread.get("stack", ""), {}).get("frames", [])
    wanted = (last_name(line["function"]), line["file"], line["line"])
    found = [(last_name(frame.get("function", "")), os.path.basename(frame.get("file", "")),
              frame.get("line")) for frame in frames]
    place = thread.get("site")
    if place is not None and place < len(found) and found[place] == wanted:
        return grade
    if line["native"] and wanted in found and place is not None and place < found.index(wanted):
        return grade
    if wanted in found:
        grade.lower("weaker", "on its stack; the site is %s" %
                    ("unsaid" if place is None else "%s (%s:%s)" % found[place]))
        return grade
    near = [one for one in found if one[:2] == wanted[:2]]
    if near:
        grade.false("line %s, not %d" % (near[0][2], line["line"]), "proved")
    else:
        grade.lower("silent", "not on its stack")
    return grade


def grade_task(line: Object, report: Report) -> Grade:
    """tasks[] of the report: {id, name, wait like a thread's}; owners of a lock may be tasks."""
    grade = Grade("task %s" % line["name"])
    task = next((one for one in report.value.get("tasks", []) if one.get("name") == line["name"]),
                None)
    wait = task.get("wait") if task else None
    if wait is None:
        grade.lower("silent", "no wait" if task else "no task")
        return grade
    if not grade_kind(line, wait, grade):
        return grade
    grade_object(line, report, wait, grade)
    owners = [(report.by_id.get(owner.get("by", ""), {}), owner)
              for resource in report.things_of(wait)
              for owner in resource["owners"] or resource.get("feeders", [])]
    for by, owner in owners:
        if by.get("name") != line["holder"]:
            grade.false("holder %s" % by.get("name"), owner.get("confidence", ""))
    if line["holder"] and not owners:
        grade.lower("weaker", "holder unsaid")
    return grade


# The pattern


def grade_health(report: Report, grade: Grade, patterns: List[str]) -> None:
    verdict, findings = report.value["verdict"], report.value.get("findings", [])
    for finding in findings:
        if finding.get("kind") != "info":
            grade.lower("wrong", "%s (%s) in a healthy process" %
                        (finding.get("pattern"), finding.get("confidence")))
    if verdict.get("kind") != "none":
        grade.lower("weaker", "verdict " + str(verdict.get("kind")))
    if patterns != ["none"] and not any(one.get("pattern") in patterns for one in findings):
        grade.lower("silent", "only " + ", ".join(str(one.get("pattern")) for one in findings)
                    if findings else "no finding")


def grade_pattern(ready: Object, report: Report) -> Grade:
    grade = Grade("pattern")
    patterns, kinds = ready["pattern"].split("|"), ready["kind"].split("|")
    verdict = report.value["verdict"]
    if kinds == ["inconclusive"]:  # what decides is not in a core's threads
        if verdict.get("kind") != "inconclusive" or verdict.get("findings"):
            grade.lower("wrong", "verdict " + str(verdict.get("kind")))
        return grade
    if kinds == ["none"]:
        grade_health(report, grade, patterns)
        return grade
    told = [report.by_id.get(one, {}) for one in verdict.get("findings", [])]
    main = told[0] if told else {}
    if main.get("pattern") in patterns:
        if verdict.get("kind") not in kinds:
            grade.lower("weaker", "verdict " + str(verdict.get("kind")))
        return grade
    everything = report.value.get("findings", [])
    if any(one.get("pattern") in patterns for one in everything):
        grade.lower("weaker", "behind " + str(main.get("pattern")))
    elif not main or main.get("kind") == "info":
        grade.lower("silent", "no finding")
    elif main.get("kind") in kinds:
        grade.lower("weaker", "told as " + main["pattern"])
    else:
        grade.false("told as " + str(main.get("pattern")), main.get("confidence", ""))
    return grade


def grade_all(value: Object, truth: Truth) -> List[Grade]:
    """The pattern's grade is the first."""
    report = Report(value)
    assert truth.ready is not None
    grades = [grade_pattern(truth.ready, report)]
    grades += [grade_wait(line, report, truth) for line in truth.waits]
    grades += [grade_hold(line, report, truth) for line in truth.holds]
    grades += [grade_site(line, report, truth) for line in truth.sites]
    return grades + [grade_task(line, report) for line in truth.tasks]
