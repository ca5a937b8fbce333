"""Holds the report on a whole incident against what its processes said about themselves.

An edge of the truth: `from` waits for something of `kind` that `to` holds, would feed, or is. Where
`to` is empty nobody alive holds it. Processes whose core was not given are left out of the checks.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Sequence

from report_checks import (CONFIDENCES, Expected, Report, check_confidence, check_health, check_sites,
                           check_verdict)

Json = Dict[str, Any]


@dataclass(frozen=True)
class View:
    """What is expected of one selection of an incident's cores."""
    patterns: Sequence[str]
    kind: str
    confidence: str = "hypothesis"  # at least
    most: str = "proved"  # at most: what the cores cannot tell may not be claimed
    only: Sequence[str] = ()  # threads whose processes' cores are given; all without
    edges: bool = True  # whether the report can know the edges of the truth
    named: bool = False  # told only of a program with names; else nothing is wrong
    more: bool = False  # whether the finding may name threads that the edges do not


def check_modesty(report: Report, most: str) -> List[str]:
    found = report.main_finding().get("confidence", "hypothesis")
    if CONFIDENCES.index(found) > CONFIDENCES.index(most):
        return ["confidence %s, more than %s" % (found, most)]
    return []


def seen_part(truth: Json, pids: Sequence[int]) -> Json:
    """The truth as far as the given cores can tell."""
    names = {name for name, pid in truth["pids"].items() if pid in pids}
    edges = [edge for edge in truth["edges"] if edge["from"] in names]
    return {**truth, "threads": {name: truth["threads"][name] for name in sorted(names)},
            "sites": [site for site in truth["sites"] if site["thread"] in names], "edges": edges}


def check_involved(report: Report, truth: Json, more: bool) -> List[str]:
    found = {report.at(t).get("tid", -1) for t in report.main_finding().get("threads", [])}
    names = {edge[end] for edge in truth["edges"] for end in ("from", "to")}
    wanted = {truth["threads"][name] for name in names if name in truth["threads"]}
    wrong = wanted - found if more else wanted ^ found
    return ["involved %s, not %s" % (sorted(found), sorted(wanted))] if wrong else []


def reached(report: Report, waiter: Json) -> List[str]:
    """Threads and processes that the wait is for, that hold its resource, or would feed it."""
    found = []
    for identity in waiter.get("wait", {}).get("on", []):
        found.append(identity)
        resource = report.at(identity)
        for owner in resource.get("owners", []) + resource.get("feeders", []):
            found.append(owner.get("by"))
    return found


def check_edge(report: Report, edge: Json, truth: Json, pids: Json) -> List[str]:
    text = "%s -> %s -> %s" % (edge["from"], edge["kind"], edge["to"] or "nobody")
    waiter = report.thread(truth["threads"][edge["from"]])
    wait = waiter.get("wait", {})
    problems = []
    if wait.get("kind") != edge["kind"]:
        problems.append("%s: it waits for %s" % (text, wait.get("kind", "nothing")))
    if not any(step["from"] == waiter.get("id") and step["relation"] == "waits_for"
               for step in report.main_finding().get("path", [])):
        problems.append("%s: not in the path" % text)
    targets = reached(report, waiter)
    if edge["to"] in truth["threads"]:
        holder = report.thread(truth["threads"][edge["to"]])
        if not {holder.get("id"), holder.get("process")} & set(targets):
            problems.append("%s: leads to %s" % (text, targets))
    elif edge["to"]:
        processes = [report.at(identity).get("pid") for identity in targets]
        if pids[edge["to"]] not in processes:
            problems.append("%s: leads to %s" % (text, targets))
    return problems


def check_tree(value: Json, truth: Json, view: View, pids: Sequence[int], exit_code: int,
               names: bool) -> List[str]:
    """All that the report has wrong."""
    report = Report(value)
    part = seen_part(truth, pids)
    expected = Expected(view.patterns, (view.kind,), names, view.confidence)
    problems = check_verdict(report, expected, exit_code)
    captured = [p.get("pid") for p in value.get("processes", []) if p.get("captured")]
    if sorted(captured) != sorted(pids):
        problems.append("processes %s, not %s" % (sorted(captured), sorted(pids)))
    if view.kind == "none":
        problems += check_health(report)
    elif view.kind != "inconclusive":
        problems += check_confidence(report, expected) + check_modesty(report, view.most)
        if view.edges:
            problems += check_involved(report, part, view.more)
            for edge in part["edges"]:
                problems += check_edge(report, edge, part, truth["pids"])
    if names:
        ends = [dict(edge, to=edge["from"]) for edge in part["edges"]]
        problems += check_sites(report, {**part, "edges": ends})
    return problems
