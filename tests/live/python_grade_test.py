#!/usr/bin/env python3
"""Whether the matrix of Python notices what is missing or false: hand-written truths and reports."""
from __future__ import annotations

import copy
import sys
import unittest
from typing import Any, Callable, Dict, Optional

from python_grade import Grade, Report, Truth, grade_all

Object = Dict[str, Any]
Change = Callable[[Object], Any]

LINES = [
    ("THREAD", {"name": "left", "tid": 11, "settles": "futex"}),
    ("THREAD", {"name": "right", "tid": 12, "settles": "futex"}),
    ("WAIT", {"thread": "left", "kind": "python_lock", "address": 0x1000, "label": "Account.lock",
              "end_of": "", "timeout": False}),
    ("WAIT", {"thread": "right", "kind": "thread_exit", "address": 0, "label": "",
              "end_of": "left", "timeout": False}),
    ("HOLD", {"thread": "right", "address": 0x1000, "kind": "", "sure": "very_likely"}),
    ("SITE", {"thread": "left", "function": "transfer", "file": "bank.py", "line": 7,
              "native": False}),
    ("TASK", {"name": "fetch", "kind": "asyncio_lock", "address": 0x2000, "label": "",
              "holder": "store"}),
    ("READY", {"pattern": "join-cycle", "kind": "deadlock", "expects": 2, "least": "right",
               "dies": False})]
SAID: Object = {
    "verdict": {"kind": "deadlock", "findings": ["f1"]},
    "findings": [{"id": "f1", "pattern": "join-cycle", "kind": "deadlock",
                  "confidence": "very_likely"}],
    "processes": [{"id": "p1", "runtimes": [{"id": "rt1", "kind": "cpython"}]}],
    "threads": [
        {"id": "t1", "tid": 11, "name": "left", "stack": "s1", "site": 1,
         "wait": {"kind": "python_lock", "on": ["r1"], "at": "r9", "ends": "never",
                  "confidence": "proved"}},
        {"id": "t2", "tid": 12, "name": "right", "stack": "s1",
         "wait": {"kind": "thread_exit", "on": ["t1"], "ends": "never", "confidence": "proved"},
         "holds": [{"resource": "r1", "confidence": "very_likely", "basis": "value_stack"}]},
        {"id": "t3", "tid": 13, "name": "other"}],
    "tasks": [{"id": "k1", "name": "fetch",
               "wait": {"kind": "asyncio_lock", "on": ["r2"], "ends": "never",
                        "confidence": "very_likely"}},
              {"id": "k2", "name": "store"}],
    "stacks": [{"id": "s1", "frames": [
        {"kind": "native", "function": "futex_wait"},
        {"kind": "python", "function": "Bank.transfer", "file": "/srv/bank.py", "line": 7}]}],
    "resources": [
        {"id": "r1", "kind": "python_lock", "label": "threading.Lock Account.lock",
         "at": [{"process": "p1", "address": "0x1000"}],
         "owners": [{"by": "t2", "confidence": "very_likely", "basis": "value_stack"}]},
        {"id": "r2", "kind": "asyncio_lock", "label": "asyncio.Lock",
         "at": [{"process": "p1", "address": "0x2000"}],
         "owners": [{"by": "k2", "confidence": "likely", "basis": "value_stack"}]},
        {"id": "r9", "kind": "semaphore", "label": "semaphore at 0x900", "part_of": "r1",
         "at": [{"process": "p1", "address": "0x900"}], "owners": []}],
    "notes": []}
HEALTHY = {"pattern": "none", "kind": "none", "expects": 2, "least": "right", "dies": False}


def truth_of(ready: Optional[Object] = None) -> Truth:
    truth = Truth()
    for word, facts in copy.deepcopy(LINES):
        truth.take(word, facts)
    if ready:
        truth.take("READY", ready)
    return truth


def graded(change: Change, ready: Optional[Object] = None) -> Dict[str, Grade]:
    """By their names, after the change to the report."""
    report = copy.deepcopy(SAID)
    change(report)
    return {grade.what: grade for grade in grade_all(report, truth_of(ready))}


def nothing(report: Object) -> None:
    pass


class Grading(unittest.TestCase):
    def check(self, change: Change, what: str, word: str, ready: Optional[Object] = None) -> None:
        grade = graded(change, ready)[what]
        self.assertEqual(grade.word, word, grade.reasons)

    def test_truth_is_right(self) -> None:
        grades = graded(nothing)
        self.assertEqual(len(grades), 6)
        for grade in grades.values():
            self.assertEqual(grade.word, "right", (grade.what, grade.reasons))

    def test_pattern(self) -> None:
        def finding(**words: str) -> Change:
            return lambda report: report["findings"][0].update(words)

        def other_first(report: Object) -> None:
            report["findings"].append({"id": "f2", "pattern": "lock-cycle", "kind": "deadlock",
                                       "confidence": "proved"})
            report["verdict"]["findings"] = ["f2", "f1"]

        self.check(finding(pattern="lock-cycle"), "pattern", "weaker")
        self.check(finding(pattern="lost-wakeup", kind="hang"), "pattern", "wrong")
        self.check(finding(pattern="lost-wakeup", kind="hang", confidence="likely"), "pattern",
                   "weaker")
        self.check(other_first, "pattern", "weaker")
        self.check(lambda report: report["verdict"].update(kind="inconclusive"), "pattern",
                   "weaker")
        self.check(lambda report: (report["verdict"].update(findings=[], kind="none"),
                                   report.update(findings=[])), "pattern", "silent")

    def test_health(self) -> None:
        def calm(report: Object) -> None:
            report["verdict"] = {"kind": "none", "findings": []}
            report["findings"] = [{"id": "f1", "pattern": "lock-convoy", "kind": "info",
                                   "confidence": "proved"}]

        def doubtful(report: Object) -> None:
            calm(report)
            report["verdict"]["kind"] = "inconclusive"

        convoy = dict(HEALTHY, pattern="lock-convoy")
        self.check(calm, "pattern", "right", HEALTHY)
        self.check(calm, "pattern", "right", convoy)
        self.check(doubtful, "pattern", "weaker", HEALTHY)
        self.check(nothing, "pattern", "wrong", HEALTHY)
        self.check(lambda report: report["findings"][0].update(confidence="hypothesis"), "pattern",
                   "wrong", HEALTHY)
        self.check(lambda report: (calm(report), report.update(findings=[])), "pattern", "silent",
                   convoy)

    def test_wait(self) -> None:
        def wait(**words: Any) -> Change:
            return lambda report: report["threads"][0]["wait"].update(words)

        self.check(lambda report: report["threads"][0].pop("wait"), "left waits", "silent")
        self.check(wait(kind="unknown"), "left waits", "silent")
        self.check(wait(kind="semaphore", on=["r9"]), "left waits", "weaker")
        self.check(wait(kind="file_lock"), "left waits", "wrong")
        self.check(wait(kind="file_lock", confidence="likely"), "left waits", "weaker")
        self.check(wait(ends="timeout"), "left waits", "wrong")
        self.check(wait(ends="poll_retry"), "left waits", "right")
        self.check(lambda report: report["threads"][0]["wait"].pop("ends"), "left waits", "weaker")

    def test_object(self) -> None:
        def lock(**words: Any) -> Change:
            return lambda report: report["resources"][0].update(words)

        elsewhere = [{"process": "p1", "address": "0x3000"}]
        self.check(lock(at=elsewhere), "left waits", "wrong")
        self.check(lock(at=[]), "left waits", "weaker")
        self.check(lock(label="threading.Lock"), "left waits", "weaker")
        self.check(lock(label="threading.Lock", aliases=["self.Account.lock"]), "left waits",
                   "right")

    def test_end_of_another(self) -> None:
        def on(*ids: str) -> Change:
            return lambda report: report["threads"][1]["wait"].update(on=list(ids))

        self.check(on("t3"), "right waits", "wrong")
        self.check(on(), "right waits", "weaker")
        self.check(on("t3", "t1"), "right waits", "right")

    def test_holder(self) -> None:
        def owner(**words: Any) -> Change:
            return lambda report: report["resources"][0]["owners"][0].update(words)

        def unsaid(report: Object) -> None:
            report["resources"][0]["owners"] = []

        for what, silent in (("left waits", "weaker"), ("right holds", "silent")):
            self.check(owner(by="t3"), what, "wrong")
            self.check(owner(by="t3", confidence="likely"), what,
                       "weaker" if what == "left waits" else "silent")
            self.check(owner(confidence="likely"), what, "weaker")
            self.check(unsaid, what, silent)
        self.check(lambda report: report["threads"][1].pop("holds"), "right holds", "weaker")

    def test_site(self) -> None:
        def frame(**words: Any) -> Change:
            return lambda report: report["stacks"][0]["frames"][1].update(words)

        what = "left is in transfer"
        self.check(frame(line=8), what, "wrong")
        self.check(frame(function="Bank.pay"), what, "silent")
        self.check(lambda report: report["threads"][0].update(site=0), what, "weaker")
        self.check(lambda report: report["threads"][0].pop("site"), what, "weaker")

    def test_task(self) -> None:
        self.check(lambda report: report.pop("tasks"), "task fetch", "silent")
        self.check(lambda report: report["resources"][1].update(owners=[]), "task fetch", "weaker")
        self.check(lambda report: report["resources"][1]["owners"][0].update(
            by="k1", confidence="very_likely"), "task fetch", "wrong")

    def test_unread(self) -> None:
        report = copy.deepcopy(SAID)
        report["notes"] = [{"code": "python-unread"}]
        self.assertFalse(Report(report).is_unread())  # it read some frames all the same
        report["stacks"] = []
        self.assertTrue(Report(report).is_unread())
        report["notes"] = []
        self.assertFalse(Report(report).is_unread())
        report["processes"][0]["runtimes"] = []
        self.assertTrue(Report(report).is_unread())

    def test_unknown_line(self) -> None:
        self.assertRaises(ValueError, Truth().take, "WAITS", {})


if __name__ == "__main__":
    sys.exit(unittest.main())
