#!/usr/bin/env python3
"""coldcase inspect: what an address or a thread's number is, on real cores.

    inspect_test.py --program build/dev/coldcase --work build/dev/live/inspect

One row per check. Exit status: 0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import json
import sys
from typing import Any, Dict, List

import makecore
from inputs_test import Bench, Check, Problems, run_all, unclear

CHECKS: List[Check] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def asked(bench: Bench, core: makecore.Core, number: Any) -> Dict[str, Any]:
    """The sections; those of two columns as what: is."""
    done = bench.run("inspect", core.path, str(number), "-f", "json")
    if done.returncode != 0:
        raise ValueError("exit %d: %s" % (done.returncode, done.stderr.strip()[:200]))
    sections = json.loads(done.stdout)
    return {name: {row["what"]: row["is"] for row in rows} if rows and "what" in rows[0] else rows
            for name, rows in sections.items()}


def address_of(resource: Dict[str, Any]) -> str:
    return resource["at"][0]["address"]


@check
def a_lock(bench: Bench) -> Problems:
    core, problems = bench.core("abba_mutex", "kernel"), []
    for resource in bench.report(core.path)["resources"]:
        if resource["kind"] != "mutex":
            continue
        found = asked(bench, core, address_of(resource))
        holder = str(found["object"].get("held by", ""))
        if found["object"].get("lock") != resource["label"] or "LWP" not in holder:
            problems.append("%s: %r" % (resource["label"], found))
        if "ledger" in resource["label"] and "ledger" not in found["address"].get("variable", ""):
            problems.append("its symbol: %r" % found["address"])
    return problems


@check
def a_python_object(bench: Bench) -> Problems:
    core = bench.core("abba_lock", "gcore")
    locks = [r for r in bench.report(core.path)["resources"] if r["kind"].startswith("python_")]
    if not locks:
        return ["no Python lock in the report"]
    found = asked(bench, core, address_of(locks[0]))
    said = found["address"].get("Python object", "")
    return [] if "lock" in said.lower() and "object" in found else ["%r" % found]


@check
def a_thread(bench: Bench) -> Problems:
    core, problems = bench.core("abba_mutex", "kernel"), []
    for tid in core.tids:
        found = asked(bench, core, tid)
        if found["thread"].get("thread") != str(tid) or not found["stack"]:
            problems.append("%d: %r" % (tid, found))
    return problems


@check
def code_and_stack(bench: Bench) -> Problems:
    """The pc of a frame is its function; a stack pointer lies in that thread's frame."""
    core, problems = bench.core("abba_mutex", "kernel"), []
    report = bench.report(core.path)
    for thread in report["threads"]:
        stack = next(s for s in report["stacks"] if s["id"] == thread["stack"])
        frame = next((f for f in stack["frames"] if f.get("pc") and f.get("symbol")), None)
        if frame is None:
            continue
        said = asked(bench, core, frame["pc"])["address"]
        if not said.get("function", "").startswith(frame["function"]):
            problems.append("%s: %r" % (frame["function"], said))
        if "x" not in said["mapping"].split(",")[1]:
            problems.append("not executable: %r" % said)
    return problems


@check
def nothing_there(bench: Bench) -> Problems:
    core = bench.core("abba_mutex", "kernel")
    problems = []
    for number in ("0x0", "0x10", "0xffffffffffffffff", "18446744073709551615"):
        found = asked(bench, core, number)
        if list(found) != ["address"] or "none" not in found["address"]["mapping"]:
            problems.append("%s: %r" % (number, found))
    for number, said in (("99999999", "No thread of this core has the number 99999999."),
                         ("0x10", "ADDRESS")):
        text = bench.run("inspect", core.path, number).stdout
        if not text.startswith(said):
            problems.append("%s: %r" % (number, text))
    text = bench.run("show", "tasks", core.path).stdout
    if text != "No tasks were seen in this core.\n":
        problems.append("show tasks: %r" % text)
    for wrong in ("zzz", "0x", "-1", "1e3", "0x123456789012345678901"):
        problems += unclear(bench.run("inspect", core.path, "--", wrong), 64, wrong)
    return problems


if __name__ == "__main__":
    sys.exit(run_all(__doc__ or "", CHECKS))
