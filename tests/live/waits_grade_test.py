#!/usr/bin/env python3
"""Whether the bench of waits notices what is missing or false: hand-written truths and reports."""
from __future__ import annotations

import copy
import sys
import unittest
from typing import Any, Callable, Dict

from waits_grade import Grade, Report, grade_line

MUTEX = {"tid": 11, "name": "mutex", "kinds": "mutex", "ends": "never", "state": "blocked",
         "calls": "futex", "mode": "exclusive", "object": 0x1000, "size": 40,
         "holder_readable": True, "holders": [12]}
SAID: Dict[str, Any] = {
    "threads": [
        {"id": "t1", "tid": 11, "state": "blocked",
         "wait": {"kind": "mutex", "on": ["r1"], "at": "r1", "ends": "never",
                  "confidence": "proved", "syscall": {"number": 202, "name": "futex"}}},
        {"id": "t2", "tid": 12, "state": "idle"}],
    "resources": [
        {"id": "r1", "kind": "mutex", "at": [{"process": "p1", "address": "0x1000"}],
         "owners": [{"by": "t2", "confidence": "proved"}]},
        {"id": "r2", "kind": "mutex", "at": [{"process": "p1", "address": "0x2000"}],
         "owners": []}]}


def graded(change: Callable[[Dict[str, Any], Dict[str, Any], Dict[str, Any]], None],
           line: Dict[str, Any] = MUTEX) -> Grade:
    """The grade after `change(thread, wait, resource)`."""
    report, own = copy.deepcopy(SAID), copy.deepcopy(line)
    thread = report["threads"][0]
    change(thread, thread["wait"], report["resources"][0])
    return grade_line(own, Report(report), True)


class Grading(unittest.TestCase):
    def check(self, grade: Grade, word: str, proved: bool = False) -> None:
        self.assertEqual((grade.word, grade.proved), (word, proved), grade.reasons)

    def test_truth_is_right(self) -> None:
        self.check(graded(lambda thread, wait, resource: None), "right")

    def test_silence_is_weaker(self) -> None:
        self.check(graded(lambda thread, wait, resource: resource.update(owners=[])), "weaker")
        self.check(graded(lambda thread, wait, resource: resource.update(at=[])), "weaker")
        self.check(graded(lambda thread, wait, resource: wait.pop("ends")), "weaker")
        self.check(graded(lambda thread, wait, resource: wait.pop("syscall")), "weaker")
        self.check(graded(lambda thread, wait, resource: thread.update(state="idle")), "weaker")

    def test_only_a_futex(self) -> None:
        def at_object(thread: Any, wait: Any, resource: Any) -> None:
            wait["kind"] = resource["kind"] = "futex"

        def elsewhere(thread: Any, wait: Any, resource: Any) -> None:
            at_object(thread, wait, resource)
            resource["at"][0]["address"] = "0x3000"

        self.check(graded(at_object), "weaker")
        self.check(graded(elsewhere), "unknown")
        self.check(graded(lambda thread, wait, resource: thread.pop("wait")), "unknown")
        self.check(graded(lambda thread, wait, resource: wait.update(kind="unknown")), "unknown")

    def test_falsehood_is_wrong(self) -> None:
        self.check(graded(lambda thread, wait, resource: wait.update(kind="rwlock")), "wrong", True)
        self.check(graded(lambda thread, wait, resource: wait.update(on=["r2"], at="r2")), "wrong",
                   True)
        self.check(graded(lambda thread, wait, resource: wait.update(ends="timeout")), "wrong",
                   True)
        self.check(graded(lambda thread, wait, resource: wait.update(mode="read")), "wrong", True)
        self.check(graded(lambda thread, wait, resource:
                          resource["at"][0].update(address="0x1004")), "wrong", True)
        self.check(graded(lambda thread, wait, resource:
                          resource["owners"][0].update(by="t1")), "wrong", True)
        self.check(graded(lambda thread, wait, resource:
                          resource["owners"][0].update(by="t1", confidence="likely")), "wrong")
        self.check(graded(lambda thread, wait, resource: thread.update(state="running")), "wrong")

    def test_condition_needs_its_mutex(self) -> None:
        line = dict(MUTEX, kinds="condition", mutex=0x2000, holders=[], holder_readable=False)

        def condition(thread: Any, wait: Any, resource: Any) -> None:
            wait["kind"] = resource["kind"] = "condition"
            resource["owners"] = []

        def with_mutex(thread: Any, wait: Any, resource: Any) -> None:
            condition(thread, wait, resource)
            wait["then"] = "r2"

        self.check(graded(condition, line), "weaker")
        self.check(graded(with_mutex, line), "right")

    def test_a_thread_to_end(self) -> None:
        line = dict(MUTEX, kinds="thread_exit", target=12, holders=[], holder_readable=False)
        del line["object"]

        def joins(one: str) -> Callable[[Any, Any, Any], None]:
            return lambda thread, wait, resource: (wait.update(kind="thread_exit", on=[one]),
                                                   wait.pop("at"), None)[-1]

        self.check(graded(joins("t2"), line), "right")
        self.check(graded(joins("t1"), line), "wrong", True)

    def test_spinners(self) -> None:
        line = dict(MUTEX, kinds="none", state="spinning", holders=[], holder_readable=False)

        def state(word: str) -> Callable[[Any, Any, Any], None]:
            return lambda thread, wait, resource: (thread.update(state=word), thread.pop("wait"),
                                                   None)[-1]

        self.check(graded(state("spinning"), line), "right")
        self.check(graded(state("running"), line), "weaker")
        self.check(graded(state("idle"), line), "wrong")

    def test_numbers_from_outside_a_container(self) -> None:
        report = copy.deepcopy(SAID)
        report["threads"][0]["tid"], report["threads"][1]["tid"] = 911, 912
        grade = grade_line(copy.deepcopy(MUTEX), Report(report, {911: 11, 912: 12}), True)
        self.check(grade, "right")


if __name__ == "__main__":
    sys.exit(unittest.main())
