#!/usr/bin/env python3
"""`coldcase triage` with files from debuginfod: two cores of "another machine", a real server on
loopback, and servers that fail.

    triage_fetch_test.py --program build/dev/coldcase --work build/dev/live/triage_fetch

One row per check. Exit status: 0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import Any, Dict, List

import makecore
from debuginfod_test import Town, run_town
from file_servers import Debuginfod, Misbehaving
from inputs_test import SHARE, Bench, Check, Problems, wrong_code
from triage_test import Validator, files_of

CHECKS: List[Check] = []
# Of a row: what another machine must find too.
SAME = ("inputs", "kind", "headline", "pattern", "confidence", "where", "signature", "group",
        "thread_count")


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


class Night(Town):
    """A folder with the cores of two runs of one program."""

    def night(self) -> str:
        folder = os.path.join(self.work, "night")
        if not os.path.isdir(folder):
            os.makedirs(folder)
            self.at_home()
            for name in ("core.1", "core.2"):
                os.rename(self.dump_again(), os.path.join(folder, name))
        return folder

    def triage(self, out: str, *options: str, cache: str = "cache-none", fresh: bool = True,
               **more: str) -> Dict[str, Any]:
        """triage.json; what it printed is in `said`."""
        out = os.path.join(self.work, "out", out)
        if fresh:
            shutil.rmtree(out, ignore_errors=True)
        os.makedirs(os.path.dirname(out), exist_ok=True)
        done = self.run("triage", self.night(), "-o", out, *options,
                        env=self.environment(cache, **more))
        self.said = done.stdout
        if not os.path.exists(os.path.join(out, "triage.json")):
            raise ValueError("exit %d: %s" % (done.returncode, done.stderr[-300:]))
        with open(os.path.join(out, "triage.json"), encoding="utf-8") as file:
            return json.load(file)

    def files(self, out: str) -> Dict[str, bytes]:
        return files_of(os.path.join(self.work, "out", out))


def night(bench: Bench) -> Night:
    assert isinstance(bench, Night)
    return bench


def rows(result: Dict[str, Any]) -> List[Dict[str, Any]]:
    return [{key: row[key] for key in SAME if key in row} for row in result["rows"]]


def same_rows(one: Dict[str, Any], other: Dict[str, Any], what: str) -> Problems:
    if rows(one) == rows(other):
        return []
    return ["%s: other rows: %r, not %r" % (what, rows(other), rows(one))]


def off_schema(result: Dict[str, Any]) -> Problems:
    if Validator is None:
        return []
    with open(os.path.join(SHARE, "coldcase-triage-1.schema.json"), encoding="utf-8") as file:
        schema = json.load(file)
    return ["%s: %s" % (list(error.path), error.message[:200])
            for error in Validator(schema).iter_errors(result)]


def twice(asked: List[str]) -> Problems:
    return ["asked for twice: %r" % sorted(asked)] if len(asked) != len(set(asked)) else []


@check
def another_machine(bench: Bench) -> Problems:
    """The rows of home; each file is asked for once for both cores, and never again."""
    here = night(bench)
    here.night()
    here.at_home()
    home = here.triage("home")
    here.away()
    lost, problems = here.triage("lost"), []
    if rows(lost) == rows(home) or len(home["groups"]) != 1 or home["groups"][0]["count"] != 2:
        problems.append("nothing to gain: %r" % home["groups"])
    with Debuginfod([here.served], here.path("server.log")) as server:
        first = here.triage("first", "--debuginfod", server.url, "-j", "2", cache="cache-one")
        asked = server.asked()
        before = here.files("first")
        again = here.triage("first", "--debuginfod", "env", cache="cache-one", fresh=False,
                            DEBUGINFOD_URLS=server.url)
        here.triage("second", "--debuginfod", server.url, "-j", "1", cache="cache-one")
        if len(server.asked()) != len(asked):
            problems.append("asked again: %r" % server.asked()[len(asked):])
    problems += same_rows(home, first, "fetched") + same_rows(home, again, "again")
    problems += twice([line.split("GET ")[1] for line in asked])
    if not any("/debuginfo" in line for line in asked):
        problems.append("the server's log: %r" % asked)
    if here.files("first") != before or here.files("second") != before:
        problems.append("other bytes the second time, or with other jobs")
    here.triage("cached", "--debuginfod", "cache", cache="cache-one")
    if here.files("cached") != before:
        problems.append("other bytes from the cache alone")
    if "notes" in first:
        problems.append("notes: %r" % first["notes"])
    return problems


@check
def nobody_is_asked(bench: Bench) -> Problems:
    """Not without the option, nor with off or cache; the workers never."""
    here = night(bench)
    here.night()
    here.away()
    with Misbehaving("error") as server:
        plain = here.triage("plain", cache="cache-off", DEBUGINFOD_URLS=server.url)
        off = here.triage("off", "--debuginfod", "off", cache="cache-off",
                          DEBUGINFOD_URLS=server.url)
        here.triage("cache", "--debuginfod", "cache", cache="cache-off",
                    DEBUGINFOD_URLS=server.url)
        problems = ["asked: %r" % server.asked] if server.asked else []
    if here.files("plain") != here.files("off") or plain["generator"] != off["generator"]:
        problems.append("off is not the same as without servers")
    done = here.run("triage", here.night(), "-o", here.work + "/out/bad", "--debuginfod", "some",
                    env=here.environment())
    return problems + wrong_code(done, 64)


@check
def a_server_that_fails_and_comes_back(bench: Bench) -> Problems:
    """Its trouble is told once; when it answers later, the same folder has the rows of home."""
    here = night(bench)
    here.night()
    here.at_home()
    home = here.triage("home")
    here.away()
    with Misbehaving("stall") as server:
        result = here.triage("back", "--debuginfod", server.url, "--time-budget", "3",
                             cache="cache-back")
        asked = list(server.asked)
    problems = twice(asked) + ([] if asked else ["nobody was asked"])
    notes = [note["text"] for note in result.get("notes", [])]
    if len(notes) != 1 or "did not answer in time" not in notes[0]:
        problems.append("notes: %r" % notes)
    for text in (here.said, here.files("back")["triage.md"].decode()):
        if text.count("did not answer in time") != 1:
            problems.append("not told once: %r" % text)
    problems += off_schema(result)
    for name, content in here.files("back").items():
        if name.startswith("reports/") and b"did not answer in time" in content:
            problems.append("told in %s too" % name)
    if rows(result) == rows(home) or len(result["rows"]) != 2:
        problems.append("rows: %r" % rows(result))
    with Debuginfod([here.served], here.path("back.log")) as good:
        later = here.triage("back", "--debuginfod", good.url, cache="cache-back", fresh=False)
    return problems + same_rows(home, later, "later")


@check
def a_wrong_file(bench: Bench) -> Problems:
    """Refused by its build-id; the rows are those without servers."""
    here = night(bench)
    here.night()
    here.away()
    lost = here.triage("lost")
    with Misbehaving("wrong") as server:
        result = here.triage("wrong", "--debuginfod", server.url, cache="cache-wrong")
        asked = list(server.asked)
    reports = b"".join(here.files("wrong").values())
    problems = twice(asked) + ([] if asked else ["nobody was asked"])
    if b"another file than was asked for" not in reports:
        problems.append("not told in the reports")
    return problems + same_rows(lost, result, "with wrong files")


@check
def debug_files_too_large(bench: Bench) -> Problems:
    """Sections come in their place: the groups of home, told apart from results without them."""
    here = night(bench)
    here.night()
    here.at_home()
    home = here.triage("home")
    here.away()
    with Debuginfod([here.served], here.path("large.log")) as server:
        result = here.triage("large", "--debuginfod", server.url, cache="cache-large",
                             DEBUGINFOD_MAXSIZE="20000")
        whole = here.triage("large", "--debuginfod", server.url, cache="cache-large", fresh=False)
    problems = same_rows(home, whole, "whole")
    if [group["signature"] for group in result["groups"]] != \
            [group["signature"] for group in home["groups"]]:
        problems.append("groups: %r" % result["groups"])
    if [note["code"] for note in result.get("notes", [])] != ["debuginfod"]:
        problems.append("notes: %r" % result.get("notes"))
    return problems


@check
def interrupted_while_fetching(bench: Bench) -> Problems:
    """SIGINT to triage alone: it ends at once, with 75, and leaves nobody behind."""
    here = night(bench)
    here.night()
    here.away()
    with Misbehaving("stall") as server:
        process = subprocess.Popen(
            [here.program, "triage", here.night(), "-o", here.work + "/out/interrupted",
             "--debuginfod", server.url], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=here.environment("cache-interrupted"))
        try:
            if not server.first.wait(30):
                return ["the server was not asked"]
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=5)
        finally:
            makecore.finish(process)
    problems = [] if process.returncode == 75 else ["ended with %d" % process.returncode]
    return problems + ([] if b"stopped" in said else ["said %r" % said])


if __name__ == "__main__":
    sys.exit(run_town(__doc__, Night, CHECKS))
