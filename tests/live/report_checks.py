"""Holds a JSON report of coldcase against what the test program said about itself.

Every check returns the problems it sees as sentences; no sentence, no problem. Prose in the report
is never matched, except for the line of a callback, which some claim must name.
"""
from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Sequence

Json = Dict[str, Any]

EXIT_CODES = {"none": 0, "deadlock": 2, "hang": 2, "crash": 2, "inconclusive": 4}
CONFIDENCES = ["hypothesis", "likely", "very_likely", "proved"]
SIGNALS = {"crash-segv": 11, "crash-assert": 6, "crash-uncaught-exception": 6}


@dataclass
class Expected:
    patterns: Sequence[str]
    kinds: Sequence[str]
    names: bool = True  # whether the program has symbols and lines
    confidence: str = "proved"  # at least
    truth_is_holder_only: bool = False  # the verdict is another test's matter
    merged: bool = True  # whether the interpreter's native frames can be walked


class Report:
    """Looks things up by id; a dangling id gives an empty object."""

    def __init__(self, value: Json) -> None:
        self.value = value
        self._by_id: Dict[str, Json] = {}
        for array in value.values():
            if isinstance(array, list):
                self._by_id.update((x["id"], x) for x in array if isinstance(x, dict) and "id" in x)

    def at(self, identity: str) -> Json:
        return self._by_id.get(identity, {})

    def thread(self, tid: int) -> Json:
        return next((t for t in self.value.get("threads", []) if t.get("tid") == tid), {})

    def findings(self) -> List[Json]:
        return [self.at(identity) for identity in self.value["verdict"].get("findings", [])]

    def main_finding(self) -> Json:
        return next(iter(self.findings()), {})

    def frames(self, tid: int) -> List[Json]:
        return self.at(self.thread(tid).get("stack", "")).get("frames", [])


def last_name(function: str) -> str:
    """`Context.run` and `run`, `f.<locals>.<lambda>` and `<lambda>`, `a::f(int)` and `f` agree."""
    bare = function.split("(anonymous namespace)::")[-1].split("(")[0]
    return bare.split("::")[-1].split(".")[-1]


def check_verdict(report: Report, expected: Expected, exit_code: int) -> List[str]:
    problems = []
    kind = report.value["verdict"].get("kind")
    if exit_code != EXIT_CODES.get(str(kind)):
        problems.append("exit code %d for verdict %s" % (exit_code, kind))
    if expected.truth_is_holder_only:
        return problems
    if kind not in expected.kinds:
        problems.append("verdict %s, not %s" % (kind, " or ".join(expected.kinds)))
    pattern = report.main_finding().get("pattern", "none")
    if pattern not in expected.patterns:
        problems.append("pattern %s, not %s" % (pattern, " or ".join(expected.patterns)))
    return problems


def check_confidence(report: Report, expected: Expected) -> List[str]:
    found = report.main_finding().get("confidence", "hypothesis")
    if CONFIDENCES.index(found) < CONFIDENCES.index(expected.confidence):
        return ["confidence %s, not %s" % (found, expected.confidence)]
    return []


def check_health(report: Report) -> List[str]:
    problems = ["finding %s in a healthy process" % finding.get("pattern")
                for finding in report.value.get("findings", []) if finding.get("kind") != "info"]
    tags = {"deadlocked", "root_blocker", "behind", "crashed"}
    problems += ["thread %s is tagged %s" % (thread.get("tid"), thread["tag"])
                 for thread in report.value.get("threads", []) if thread.get("tag") in tags]
    return problems


def involved(truth: Json) -> List[int]:
    names = {edge[end] for edge in truth["edges"] for end in ("from", "to")}
    if not names and truth["kind"] == "crash":
        names = {site["thread"] for site in truth["sites"]}
    return sorted(truth["threads"][name] for name in names)


def check_threads(report: Report, truth: Json) -> List[str]:
    found = sorted(report.at(t).get("tid", -1) for t in report.main_finding().get("threads", []))
    wanted = involved(truth)
    return [] if found == wanted else ["involved %s, not %s" % (found, wanted)]


def resources_between(report: Report, path: Iterable[Json], waiter: str, holder: str) -> List[str]:
    """The resources that `waiter` waits for and `holder` holds, by a finding's path."""
    edges = list(path)
    wanted = {e["to"] for e in edges if e["relation"] == "waits_for" and e["from"] == waiter}
    held = {e["from"] for e in edges if e["relation"] == "held_by" and e["to"] == holder}
    return sorted(wanted & held)


def check_owner(report: Report, edge: Json, truth: Json) -> List[str]:
    """The graph as threads and resources tell it."""
    waiter = report.thread(truth["threads"][edge["from"]])
    holder = report.thread(truth["threads"][edge["to"]])
    text = "%s -> %s -> %s" % (edge["from"], edge["resource"], edge["to"])
    problems = []
    for identity in waiter.get("wait", {}).get("on", []):
        resource = report.at(identity)
        if resource.get("kind") != edge["resource"]:
            continue
        if holder.get("id") not in [owner.get("by") for owner in resource.get("owners", [])]:
            problems.append("%s: the resource has another owner" % text)
        if identity not in [hold.get("resource") for hold in holder.get("holds", [])]:
            problems.append("%s: the holder's list lacks it" % text)
        return problems
    return ["%s: the waiter does not wait for one" % text]


def check_edges(report: Report, truth: Json, in_path: bool) -> List[str]:
    problems = []
    path = report.main_finding().get("path", [])
    for edge in truth["edges"]:
        waiter = report.thread(truth["threads"][edge["from"]]).get("id", "")
        holder = report.thread(truth["threads"][edge["to"]]).get("id", "")
        between = resources_between(report, path, waiter, holder)
        kinds = [report.at(identity).get("kind") for identity in between]
        if in_path and edge["resource"] not in kinds:
            problems.append("path lacks %s -> %s -> %s" % (edge["from"], edge["resource"],
                                                           edge["to"]))
        problems += check_owner(report, edge, truth)
    return problems


def frame_is(frame: Json, site: Json) -> bool:
    return (last_name(frame.get("function", "")) == last_name(site["function"])
            and os.path.basename(frame.get("file", "")) == site["file"]
            and frame.get("line") == site["line"])


def check_sites(report: Report, truth: Json) -> List[str]:
    """Each thread's stack has its function, file and line; a Python thread's `site` is there."""
    problems = []
    for site in truth["sites"]:
        tid = truth["threads"][site["thread"]]
        frames = report.frames(tid)
        places = [i for i, frame in enumerate(frames) if frame_is(frame, site)]
        text = "%s: %s at %s:%d" % (site["thread"], site["function"], site["file"], site["line"])
        if not places:
            problems.append(text + " is not on its stack")
        elif "python" in truth and not any(frames[i].get("kind") == "python" for i in places):
            problems.append(text + " is no Python frame")
        elif tid in involved(truth) and report.thread(tid).get("site") is None:
            problems.append(text + ": the thread has no site")
    return problems


def check_merge(report: Report, truth: Json) -> List[str]:
    """Every Python thread's frames stand at the native calls that run them."""
    if "python" not in truth:
        return []
    merges = {name: report.at(report.thread(tid).get("stack", "")).get("merge")
              for name, tid in truth["threads"].items()}
    return ["the stack of %s is merged: %s" % pair for pair in merges.items() if pair[1] != "exact"]


def check_python_names(report: Report, truth: Json) -> List[str]:
    if "python" not in truth:
        return []
    found = {name: report.thread(tid).get("name") for name, tid in truth["threads"].items()}
    return ["thread %s is called %s" % pair for pair in found.items() if pair[0] != pair[1]]


def check_apis(report: Report, truth: Json) -> List[str]:
    problems = []
    for name, api in truth.get("apis", {}).items():
        found = report.thread(truth["threads"][name]).get("api", {}).get("name")
        if found != api:
            problems.append("%s is in %s, not %s" % (name, found, api))
    return problems


def check_callback(report: Report, truth: Json) -> List[str]:
    callback = truth.get("callback")
    finding = report.main_finding()
    if callback is None or frame_is(finding.get("location", {}), callback):
        return []
    prose = json.dumps([finding, report.value.get("evidence", [])])
    name, place = last_name(callback["function"]), "%s:%d" % (callback["file"], callback["line"])
    if name.strip("<>") in prose and place in prose:
        return []
    return ["nothing names the callback %s at %s" % (name, place)]


def check_crash(report: Report, truth: Json) -> List[str]:
    if truth["kind"] != "crash":
        return []
    problems = []
    crash = report.main_finding().get("crash", {})
    crashed = report.at(crash.get("thread", "")).get("tid")
    if crashed not in involved(truth):
        problems.append("thread %s crashed" % crashed)
    numbers = [p.get("signal", {}).get("number") for p in report.value.get("processes", [])]
    if numbers != [SIGNALS[truth["pattern"]]]:
        problems.append("signal %s" % numbers)
    message = truth.get("message", "")
    said = [crash.get("message", ""), crash.get("exception", {}).get("what", "")]
    if message and not any(message in text for text in said):
        problems.append("the message is missing: %s" % message)
    return problems


def check_count(report: Report, tids: Sequence[int]) -> List[str]:
    counted = report.value.get("totals", {}).get("thread_count")
    if tids and counted != len(tids):
        return ["%s threads, not %d" % (counted, len(tids))]
    return []


def check_report(value: Json, truth: Json, expected: Expected, exit_code: int,
                 tids: Sequence[int] = ()) -> List[str]:
    """All that the report has wrong."""
    report = Report(value)
    problems = check_verdict(report, expected, exit_code) + check_count(report, tids)
    problems += check_python_names(report, truth)
    if expected.merged:
        problems += check_merge(report, truth)
    if truth["kind"] == "none":
        return problems + check_health(report)
    in_path = not expected.truth_is_holder_only
    if in_path:
        problems += check_threads(report, truth) + check_confidence(report, expected)
    problems += check_edges(report, truth, in_path)
    if expected.names:
        problems += check_sites(report, truth)
    problems += check_apis(report, truth) + check_callback(report, truth)
    return problems + check_crash(report, truth)
