#!/usr/bin/env python3
"""Holds the reports of real cores against the report contract, whatever they say.

    report_test.py --program build/dev/coldcase --work build/dev/live/report

Schemas, ids, the graph told three ways, ceilings of confidence, the same bytes twice, `render`
gives what `analyze` gave, nothing private, hostile names harmless. One row per core. Exit status: 0
all passed, 1 not, 77 nothing could be tried. Cores are deleted unless --keep is given.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import sys
from typing import Any, Callable, Dict, Iterator, List, Set

import inputs_test
import makecore
from inputs_test import SYSTEM_PYTHON, Bench, Problems

try:
    from jsonschema import Draft202012Validator as Validator
except ImportError:
    Validator = None  # type: ignore

Json = Dict[str, Any]

CASES = {"founding_case": "kernel", "abba_lock": "kernel", "self_lock": "kernel",
         "idle_workers": "kernel", "abba_mutex": "gcore", "rwlock_cycle": "kernel",
         "crash_segv": "crash", "crash_abort": "crash"}
CUT = ("abba_mutex", "gcore", 60)
FORMATS = {"text": ["--format", "text"], "text, all": ["--format", "text", "--threads", "all"],
           "text, evidence": ["--format", "text", "--evidence"], "markdown": ["--format", "md"],
           "markdown, all": ["--format", "md", "--threads", "all", "--evidence"],
           "json": ["--format", "json"], "title": ["--title-only"]}
CONFIDENCES = ["hypothesis", "likely", "very_likely", "proved"]
CEILINGS = {"register": "proved", "owner_word": "proved", "memory": "proved",
            "interpreter": "proved", "exclusion": "proved", "side_car": "proved",
            "value_stack": "very_likely", "landing_pad": "very_likely",
            "cleanup_buffer": "very_likely", "call_site": "very_likely",
            "name_string": "very_likely", "debug_info": "very_likely", "stack_scan": "likely",
            "inference": "likely"}
# Keys that hold ids, and the array their target is in; "" for any.
REFERENCES = {"process": "processes", "parent": "processes", "processes": "processes",
              "executable": "modules", "module": "modules", "gil": "resources",
              "thread": "threads", "threads": "threads", "requester": "threads",
              "findings": "findings", "rivals": "findings", "resource": "resources",
              "resources": "resources", "part_of": "resources", "evidence": "evidence",
              "stack": "stacks", "from": "", "to": "", "on": "", "by": "", "waiters": "",
              "about": "", "runtime": "", "interpreter": ""}


# Ids


def objects(value: Any) -> Iterator[Json]:
    """Every object, however deep."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, (dict, list)):
            yield from objects(inner)


def targets(report: Json) -> Dict[str, Set[str]]:
    found: Dict[str, Set[str]] = {}
    for array, rows in report.items():
        if isinstance(rows, list):
            found[array] = {row["id"] for row in rows if "id" in row}
    inner = [o["id"] for process in report["processes"]
             for o in objects(process.get("runtimes", [])) if "id" in o]
    found[""] = set().union(set(inner), *found.values())
    return found


def check_ids(report: Json) -> Problems:
    issue_ids = {o["known_issue"]["id"] for o in objects(report) if "known_issue" in o}
    ids = [o["id"] for o in objects(report) if "id" in o and o["id"] not in issue_ids]
    problems = ["id %s is there twice" % one for one in sorted(set(ids)) if ids.count(one) > 1]
    known = targets(report)
    for value in objects({key: value for key, value in report.items() if key != "generator"}):
        for key, target in value.items():
            if key not in REFERENCES:
                continue
            if key == "runtime" and "type" in value:
                continue  # of an exception: a word, "c++"
            named = target if isinstance(target, list) else [target]
            problems += ["%s: %s points nowhere" % (key, one) for one in named
                         if isinstance(one, str) and one not in known.get(REFERENCES[key], set())]
    return problems


# The graph


def check_graph(report: Json) -> Problems:
    """path, wait, holds, owners and waiters say the same."""
    resources = {r["id"]: r for r in report["resources"]}
    threads = {t["id"]: t for t in report["threads"]}
    holds = {(t["id"], h["resource"]) for t in threads.values() for h in t.get("holds", [])}
    owners = {(o["by"], r["id"]) for r in resources.values() for o in r["owners"]
              if o["by"] in threads}
    ends = {(t["id"], on) for t in threads.values() for on in t.get("wait", {}).get("on", [])}
    blocks = {(t["id"], t["wait"]["at"]) for t in threads.values() if "at" in t.get("wait", {})}
    waits = {pair for pair in ends | blocks if pair[1] in resources}
    waiters = {(w, r["id"]) for r in resources.values() for w in r["waiters"] if w in threads}
    problems = ["%s holds %s, which does not name it" % pair for pair in sorted(holds - owners)]
    problems += ["%s owns %s, but does not hold it" % pair for pair in sorted(owners - holds)]
    problems += ["%s waits for %s, which does not name it" % pair
                 for pair in sorted(waits - waiters)]
    problems += ["%s is named as a waiter of %s, but does not wait" % pair
                 for pair in sorted(waiters - waits)]
    for finding in report["findings"]:
        for edge in finding["path"]:
            pair, back = (edge["from"], edge["to"]), (edge["to"], edge["from"])
            if edge["relation"] == "waits_for" and edge["from"] in threads and pair not in ends:
                problems.append("path: %s waits for %s, but its wait does not" % pair)
            if edge["relation"] == "held_by" and back[0] in threads and back not in owners:
                problems.append("path: %s held by %s, which does not own it" % pair)
        path = finding["path"]
        if finding["cyclic"] and (not path or path[-1]["to"] != path[0]["from"]):
            problems.append("%s: cyclic, but the path is open" % finding["id"])
    return problems + check_tags(report)


def check_tags(report: Json) -> Problems:
    problems = []
    for thread in report["threads"]:
        inside = {f["id"] for f in report["findings"] if thread["id"] in f["threads"]}
        if set(thread.get("findings", [])) != inside:
            problems.append("%s names other findings than name it" % thread["id"])
    return problems


# Confidence


def above(confidence: str, limit: str) -> bool:
    return CONFIDENCES.index(confidence) > CONFIDENCES.index(limit)


def check_ceilings(report: Json) -> Problems:
    evidence = {e["id"]: e for e in report["evidence"]}
    claims = [("%s holds %s" % (t["id"], h["resource"]), h) for t in report["threads"]
              for h in t.get("holds", [])]
    claims += [("%s owned by %s" % (r["id"], o["by"]), o) for r in report["resources"]
               for o in r["owners"]]
    problems = []
    for text, claim in claims:
        if above(claim["confidence"], CEILINGS[claim["basis"]]):
            problems.append("%s: %s on %s" % (text, claim["confidence"], claim["basis"]))
        if not claim.get("evidence"):
            problems.append("%s: no evidence" % text)
        elif claim["basis"] not in [evidence[e]["basis"] for e in claim["evidence"]]:
            problems.append("%s: by %s, which none of its evidence is" % (text, claim["basis"]))
    return problems + check_path_confidence(report)


def check_path_confidence(report: Json) -> Problems:
    evidence = {e["id"]: e for e in report["evidence"]}
    owned = {(r["id"], o["by"]): o["confidence"] for r in report["resources"] for o in r["owners"]}
    problems = []
    for finding in report["findings"]:
        for edge in finding["path"]:
            text = "%s: %s %s %s" % (finding["id"], edge["from"], edge["relation"], edge["to"])
            limits = [CEILINGS[evidence[e]["basis"]] for e in edge["evidence"]]
            if not any(not above(edge["confidence"], limit) for limit in limits):
                problems.append("%s: %s, its evidence allows %s" % (text, edge["confidence"],
                                                                    limits or "nothing"))
            owner = owned.get((edge["from"], edge["to"]))
            if owner and above(edge["confidence"], owner):
                problems.append("%s: surer than the owner" % text)
            if finding["cyclic"] and above(finding["confidence"], edge["confidence"]):
                problems.append("%s: weaker than its finding" % text)
    main = [f for f in report["findings"] if f["id"] in report["verdict"]["findings"][:1]]
    if main and above(report["verdict"].get("confidence", "hypothesis"), main[0]["confidence"]):
        problems.append("the verdict is surer than its finding")
    return problems


# Words


def check_strings(report: Json) -> Problems:
    problems = []
    for value in objects(report):
        for key, inner in value.items():
            for text in [key] + (inner if isinstance(inner, list) else [inner]):
                if isinstance(text, str) and re.search(r"[\0-\x1f\x7f-\x9f]", text):
                    problems.append("%s has a control character: %r" % (key, text[:60]))
            if inner is None:
                problems.append("%s is null" % key)
    return problems


def check_headlines(report: Json) -> Problems:
    """At most 120 characters, and nothing that differs from run to run."""
    problems = []
    pids = {str(t["tid"]) for t in report["threads"] if t.get("tid", 0) > 999}
    for where in [report["verdict"]] + report["findings"]:
        headline = where["headline"]
        if len(headline) > 120:
            problems.append("a headline of %d characters" % len(headline))
        if re.search(r"0x[0-9a-f]{3}", headline) or pids & set(re.findall(r"\d+", headline)):
            problems.append("the headline holds an address or a number of this run: " + headline)
    return problems


HOME = re.compile(r"(?<![\w.~-])/(?:root\b|home/[^/\s\\\"']+)")


def check_private(text: str, *secrets: str) -> Problems:
    problems = ["the home folder %r" % found for found in sorted(set(HOME.findall(text)))]
    return problems + ["the secret %r" % secret for secret in secrets if secret in text]


def harmless(text: str, markdown: bool) -> Problems:
    """No control characters; in Markdown no tag and no heading that a name brought along."""
    problems = ["control character %r" % c for c in sorted(set(re.findall(
        r"[\0-\x09\x0b-\x1f\x7f-\x9f]", text)))]
    if not markdown:
        return problems
    bare = re.sub(r"^(```+)[^\n]*\n.*?^\1`*$", "", text, flags=re.S | re.M)  # code blocks
    bare = re.sub(r"(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)", "", bare)  # code spans
    left = re.sub(r"<!-- [\w: -]*-->|</?(?:details|summary|br|sub)>|<https?://[^<>\s]*>", "", bare)
    tags = sorted(set(re.findall(r"<[a-zA-Z/!?][^>\n]*", left)))
    problems += ["raw HTML %r" % tag for tag in tags]
    problems += ["a heading came along" for _ in re.findall(r"^#+ Pwned", bare, re.M)]
    return problems + ["a link came along" for _ in re.findall(r"(?<!\\)\]\(http", bare)]


# One core


def check_schemas(bench: Bench, report: Json) -> Problems:
    problems: Problems = []
    if Validator is None:
        return problems  # the row `schema files` says so
    for name in ("report", "report-closed"):
        schema = json.loads(bench.run("schema", name).stdout)
        Validator.check_schema(schema)
        for error in Validator(schema).iter_errors(report):
            problems.append("%s: %s: %s" % (name, "/".join(map(str, error.absolute_path)),
                                            error.message[:120]))
    return problems


def check_same(bench: Bench, core: str) -> Problems:
    problems = []
    for name, words in FORMATS.items():
        if bench.run("analyze", core, *words).stdout != bench.run("analyze", core, *words).stdout:
            problems.append("%s: two runs differ" % name)
    elsewhere = os.path.join(bench.work, "else", "where", os.path.basename(core))
    shutil.rmtree(os.path.dirname(elsewhere), ignore_errors=True)
    os.makedirs(os.path.dirname(elsewhere))
    makecore.run(["cp", "--sparse=always", "--preserve=timestamps", core, elsewhere])
    here, there = (bench.run("analyze", path, "--format", "json").stdout
                   for path in (core, elsewhere))
    path = json.loads(here)["inputs"][0]["path"], json.loads(there)["inputs"][0]["path"]
    if here.replace(json.dumps(path[0]), json.dumps(path[1])) != there:
        problems.append("another folder gives another report")
    return problems


def check_render(bench: Bench, core: str) -> Problems:
    saved, problems = os.path.join(bench.work, "saved.json"), []
    first = bench.run("analyze", core, "-q", "-o", saved)
    for name, words in FORMATS.items():
        direct, again = bench.run("analyze", core, *words), bench.run("render", saved, *words)
        if direct.stdout != again.stdout:
            lines = [pair for pair in zip(direct.stdout.splitlines(), again.stdout.splitlines())
                     if pair[0] != pair[1]]
            problems.append("render, %s: %s" % (name, lines[:1] or "other length"))
        if again.returncode != first.returncode:
            problems.append("render, %s: exit %d, not %d" % (name, again.returncode,
                                                             first.returncode))
    with open(saved, "rb") as file:
        piped = bench.run("render", "-", "--format", "json", stdin=file)
    return problems + ([] if piped.stdout == bench.run("render", saved, "--format", "json").stdout
                       else ["render - differs"])


def check_words(bench: Bench, core: str, *secrets: str) -> Problems:
    problems = []
    for name, words in FORMATS.items():
        text = bench.run("analyze", core, *words).stdout
        here = check_private(text, *secrets)
        if "json" not in name:
            here += harmless(text, "markdown" in name)
        problems += ["%s: %s" % (name, problem) for problem in here]
    return problems


def check_core(bench: Bench, core: str, *secrets: str) -> Problems:
    problems = check_same(bench, core) + check_render(bench, core)
    problems += check_words(bench, core, *secrets)
    report = bench.report(core)
    for look in (check_ids, check_graph, check_ceilings, check_strings, check_headlines):
        problems += look(report)
    return problems + check_schemas(bench, report)


# Programs that carry secrets and hostile names

SECRET, ARGUMENT = "xyzzy123", "plugh-argument-4711"
HOSTILE = ["\x1b[31mred\x1b[0m\x07", "<script>alert(1)</script><img src=x onerror=alert(2)>",
           "# Pwned\n# Pwned\r\n\n<h1>big</h1>", "**b** `c` [l](http://evil.example) | @all #1",
           "`` ` </code><b>x</b>", "\x9b31m\u202egnp.exe \u4f60\udcff</details>",
           "long " * 600]
SCRIPT = '''import json, os, sys, threading
names = json.loads(sys.argv[2])
locks = [threading.Lock() for _ in names]
ready = threading.Barrier(len(names))
code = """
def work(i):
    with locks[i]:
        ready.wait()
        with locks[(i + 1) % len(locks)]:
            pass
"""
tids = {}
def start(i):
    tids[str(i)] = threading.get_native_id()
    space = {"locks": locks, "ready": ready}
    exec(compile(code, names[i], "exec"), space)
    work = space["work"]
    evil = work.__code__.replace(co_name=names[i])
    if hasattr(evil, "co_qualname"):
        evil = evil.replace(co_qualname=names[i])
    work.__code__ = evil
    work(i)
threads = [threading.Thread(target=start, args=(i,), name=name) for i, name in enumerate(names)]
for thread in threads:
    thread.start()
while len(tids) < len(names):
    pass
print("READY " + json.dumps({"pid": os.getpid(), "threads": tids,
                             "settles": {name: "futex" for name in tids}}), flush=True)
threads[0].join()
'''


def core_of(bench: Bench, folder: str, command: List[str]) -> str:
    """A kernel core of a command that tells its truth, with a secret in its environment."""
    makecore.check_kernel_dumps()
    folder = os.path.join(bench.work, folder)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    process = makecore.start(command, folder)
    try:
        makecore.settle(process, makecore.read_truth(process))
        return makecore.DUMPS["kernel"](process, folder)
    finally:
        makecore.finish(process)


def with_secret(look: Callable[[Bench], Problems]) -> Callable[[Bench], Problems]:
    """The environment of the analysis is as private as that of the process."""
    def inside(bench: Bench) -> Problems:
        os.environ["SECRET_TOKEN"] = SECRET
        try:
            return look(bench)
        finally:
            del os.environ["SECRET_TOKEN"]
    inside.__name__ = look.__name__
    return inside


def check_tables(bench: Bench, core: str, *secrets: str) -> Problems:
    text = "".join(bench.run("show", table, core).stdout for table in (*inputs_test.TABLES, "python"))
    return harmless(text, False) + check_private(text, *secrets)


@with_secret
def hostile_names(bench: Bench) -> Problems:
    """Threads, functions and files with evil names, all in one ring of locks."""
    script = bench.path("hostile_names.py", SCRIPT.encode())
    core = core_of(bench, "hostile", [SYSTEM_PYTHON, script, ARGUMENT, json.dumps(HOSTILE)])
    report = json.dumps(bench.report(core))
    problems = [] if report.count("<script>") > 2 else ["the names were not read"]
    problems += check_tables(bench, core, SECRET, ARGUMENT, "SECRET_TOKEN")
    return problems + check_core(bench, core, SECRET, ARGUMENT, "SECRET_TOKEN")


@with_secret
def a_hostile_path(bench: Bench) -> Problems:
    """The executable's and the core's own names are as little to be trusted."""
    name = "\x1b[31m<img src=x>`|\n# Pwned"
    program = os.path.join(bench.work, name)
    shutil.copyfile(os.path.join(bench.built, "debug", "abba_mutex"), program)
    os.chmod(program, 0o755)
    core = core_of(bench, "path", [program, ARGUMENT])
    moved = os.path.join(os.path.dirname(core), name)
    os.rename(core, moved)
    return (check_tables(bench, moved, SECRET, ARGUMENT) +
            check_core(bench, moved, SECRET, ARGUMENT))


def a_home_folder(bench: Bench) -> Problems:
    """An interpreter below a home folder: its paths are shortened."""
    for python in makecore.find_pythons():
        if HOME.match(python.path) and not python.skipped:
            core = makecore.make_core("abba_lock", "kernel", os.path.join(bench.work, "own_python"),
                                      bench.built, python.path)
            return check_core(bench, core.path)
    raise makecore.CannotMake("no interpreter below a home folder")


# Rows


def schema_files(bench: Bench) -> Problems:
    if Validator is None:
        raise makecore.CannotMake("no python3-jsonschema 4: no report is held against its schema")
    return [] if check_schemas(bench, {}) else ["an empty object passes"]


def case_check(program: str, dump: str) -> Callable[[Bench], Problems]:
    def look(bench: Bench) -> Problems:
        return check_core(bench, bench.core(program, dump).path)
    look.__name__ = program
    return look


def a_cut_gcore(bench: Bench) -> Problems:
    program, dump, percent = CUT
    return check_core(bench, bench.cut(bench.core(program, dump), percent))


def a_cut_kernel_core(bench: Bench) -> Problems:
    return check_core(bench, bench.cut(bench.core("founding_case", "kernel"), 70))


def all_checks() -> List[Callable[[Bench], Problems]]:
    cases = [case_check(program, dump) for program, dump in CASES.items()]
    return [schema_files, *cases, a_cut_gcore, a_cut_kernel_core, hostile_names, a_hostile_path,
            a_home_folder]


if __name__ == "__main__":
    sys.exit(inputs_test.run_all(__doc__ or "", all_checks()))
