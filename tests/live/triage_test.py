#!/usr/bin/env python3
"""Sorts a folder of real cores with `coldcase triage` and holds the groups against the truth.

    triage_test.py --program build/dev/coldcase --work build/dev/live/triage

Groups (precision and recall), the same bytes whatever the order, jobs or place, workers that crash,
stall, flood or hoard, kill -9 and Ctrl-C in the middle, exit codes, signatures. One row per check.
Exit status: 0 all passed, 1 not, 77 nothing could be tried. The cores are made once and deleted
unless --keep is given; --keep also takes the ones that are there.
"""
from __future__ import annotations

import argparse
import glob
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import makecore
import triage_set
from inputs_test import SHARE, Bench, Done, Problems, wrong_code
from triage_set import Member

try:
    from jsonschema import Draft202012Validator as Validator
except ImportError:
    Validator = None  # type: ignore

Json = Dict[str, Any]
Files = Dict[str, bytes]

TIMEOUT = 300.0
BUDGET = ["--time-budget", "3", "--memory", "192"]
# What the hook makes of a worker, and the code its row should have.
HOSTILE = {"crash": "worker-crashed", "stall": "time-limit", "flood": "output-limit",
           "memory": "worker-failed"}
NOT_COMPARED = "run.json"  # durations


class Triage(Bench):
    """The set, and runs over it; each output folder is a fresh one."""

    def __init__(self, program: str, work: str) -> None:
        super().__init__(program, work)
        self.set = triage_set.Set(work)
        self.clean_files: Files = {}

    def out(self, name: str) -> str:
        path = os.path.join(self.work, "out", name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def triage(self, out: str, *arguments: str, **options: Any) -> "Done[str]":
        options.setdefault("timeout", TIMEOUT)
        return self.run("triage", *(arguments or (self.set.root,)), "-o", out, **options)

    def result(self, out: str, *arguments: str, **options: Any) -> Json:
        done = self.triage(out, *arguments, **options)
        if not os.path.exists(os.path.join(out, "triage.json")):
            raise ValueError("no triage.json, exit %d: %s" % (done.returncode, done.stderr[-300:]))
        return load(out)

    def clean(self) -> str:  # type: ignore[override]
        """The folder of one undisturbed run, made when first asked for."""
        path = os.path.join(self.work, "out", "clean")
        if not self.clean_files:
            self.result(self.out("clean"), self.set.root, "--jobs", "2")
            self.clean_files = files_of(path)
        return path

    def folder(self, name: str, *paths: str) -> str:
        """A folder with copies of some files of the set."""
        target = os.path.join(self.work, "some", name)
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(target)
        for path in paths:
            shutil.copyfile(self.set.full(path), os.path.join(target, os.path.basename(path)))
        return target

    def healthy(self) -> List[str]:
        return [member.path for member in self.set.members if member.kind == "none"]


def load(out: str, name: str = "triage.json") -> Json:
    with open(os.path.join(out, name), encoding="utf-8") as file:
        return json.load(file)


def files_of(out: str) -> Files:
    found: Files = {}
    for folder, _, names in os.walk(out):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, out)] = file.read()
    found.pop(NOT_COMPARED, None)
    return found


def differences(ours: Files, clean: Files, what: str) -> Problems:
    problems = ["%s: %s is %s" % (what, name, "missing" if name in clean else "too many")
                for name in sorted(set(ours) ^ set(clean))]
    problems += ["%s: %s has other bytes: %s" % (what, name, first_change(ours[name], clean[name]))
                 for name in sorted(set(ours) & set(clean)) if ours[name] != clean[name]]
    return problems[:8]


def first_change(ours: bytes, clean: bytes) -> str:
    for one, other in itertools.zip_longest(ours.splitlines(), clean.splitlines(), fillvalue=b""):
        if one != other:
            return "%r, not %r" % (one[:120], other[:120])
    return "line ends"


def row_of(result: Json, path: str) -> Json:
    for row in result["rows"]:
        if path in row["inputs"] + row.get("duplicates", []):
            return row
    return {"id": "", "kind": "no row", "inputs": [path]}


def survivors(work: str) -> List[int]:
    """Workers that read files of ours."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if b"worker" in words[1:2] and any(word.startswith(work.encode()) for word in words[2:]):
            found.append(int(path.split("/")[2]))
    return found


def none_survives(bench: Triage) -> Problems:
    end = time.monotonic() + 3
    while survivors(bench.work) and time.monotonic() < end:
        time.sleep(0.05)
    left = survivors(bench.work)
    return ["workers outlive triage: %s" % left] if left else []


# Groups


def pairs(members: Sequence[Member]) -> Iterator[Tuple[Member, Member]]:
    return itertools.combinations(members, 2)


def group_of(result: Json, member: Member) -> str:
    return row_of(result, member.path).get("group", "")


def told(member: Member, result: Json) -> str:
    row = row_of(result, member.path)
    return "%s (%s: %s)" % (member.name, row["kind"], row.get("signature", {}).get(
        "text", row.get("headline", ""))[:200])


def measure(result: Json, members: Sequence[Member], name: str) -> Tuple[float, float, Problems]:
    """Prints one line of the table. Pairwise: of those put together, and of those that belong."""
    together = [(a, b) for a, b in pairs(members)
                if group_of(result, a) and group_of(result, a) == group_of(result, b)]
    belong = [(a, b) for a, b in pairs(members) if a.program == b.program]
    right = [pair for pair in together if pair[0].program == pair[1].program]
    precision = len(right) / len(together) if together else 1.0
    recall = len(right) / len(belong) if belong else 1.0
    print("    %-34s %5d %9d %7d %10.3f %7.3f" % (name, len(members), len(together), len(belong),
                                                 precision, recall), flush=True)
    wrong = ["together: %s and %s" % (told(a, result), told(b, result))
             for a, b in together if a.program != b.program]
    missed = ["apart: %s and %s" % (told(a, result), told(b, result))
              for a, b in belong if (a, b) not in right]
    return precision, recall, wrong + missed


def groups(bench: Triage) -> Problems:
    bench.clean()
    result = load(os.path.join(bench.work, "out", "clean"))
    bugs = [member for member in bench.set.members if member.kind == "problem"]
    named = [member for member in bugs if member.symbols]
    print("    %-34s %5s %9s %7s %10s %7s" % ("builds", "cores", "together", "belong", "precision",
                                             "recall"))
    precision, recall, wrong = measure(result, named, "with symbols")
    for program in sorted({member.program for member in named}):
        measure(result, [member for member in named if member.program == program], "  " + program)
    measure(result, [m for m in bugs if not m.symbols], "stripped (by module only)")
    measure(result, bugs, "all")
    if bench.set.skipped:
        print("    not made: %s" % bench.set.skipped)
    if precision < 1 or recall < 1:
        return ["precision %.3f, recall %.3f with symbols" % (precision, recall), *wrong[:40]]
    return []


def precision_overall(bench: Triage) -> Problems:
    """A stripped build may stand alone, but never with another bug."""
    bench.clean()
    result = load(os.path.join(bench.work, "out", "clean"))
    bugs = [member for member in bench.set.members if member.kind == "problem"]
    return ["together: %s and %s" % (told(a, result), told(b, result)) for a, b in pairs(bugs)
            if group_of(result, a) and group_of(result, a) == group_of(result, b)
            and a.program != b.program]


def kinds(bench: Triage) -> Problems:
    """Every core is one row of the right kind; copies and garbage are none."""
    result = load(bench.clean())
    problems = ["%s is not %s" % (told(member, result), member.kind)
                for member in bench.set.members
                if row_of(result, member.path)["kind"] != member.kind]
    rows = {path for row in result["rows"] for path in row["inputs"]}
    problems += ["a row of garbage: " + path for path in bench.set.garbage if path in rows]
    if row_of(result, bench.set.duplicate) is not row_of(result, bench.set.original):
        problems.append("the copy is another row")
    if row_of(result, bench.set.cut)["kind"] not in ("problem", "inconclusive"):
        problems.append("cut: %s" % row_of(result, bench.set.cut))
    expected = len(bench.set.members) + 1
    if len(result["rows"]) != expected or result["totals"]["incident_count"] != expected:
        problems.append("%d rows, not %d" % (len(result["rows"]), expected))
    return problems + check_totals(result)


def check_totals(result: Json) -> Problems:
    problems = ["%s_count %d" % (kind, result["totals"][kind + "_count"])
                for kind in ("problem", "none", "inconclusive", "unreadable")
                if result["totals"][kind + "_count"] !=
                sum(row["kind"] == kind for row in result["rows"])]
    in_groups = sorted(row for group in result["groups"] for row in group["rows"])
    if in_groups != sorted(row["id"] for row in result["rows"] if row["kind"] == "problem"):
        problems.append("the groups do not hold each problem once")
    by_id = {row["id"]: row for row in result["rows"]}
    for group in result["groups"]:
        best = max(by_id[row]["present_percent"] for row in group["rows"])
        if by_id[group["representative"]]["present_percent"] < best:
            problems.append(group["id"] + ": the representative is not the most complete")
    return problems


def named_garbage(bench: Triage) -> Problems:
    """Files that the user named are rows, whatever they are."""
    paths = [bench.set.full(path) for path in bench.set.garbage]
    result = bench.result(bench.out("named"), *paths, bench.set.full(bench.healthy()[0]))
    return ["%s: %s" % (path, row) for path in bench.set.garbage
            for row in [row_of(result, os.path.basename(path))]
            if row["kind"] != "unreadable" or row["problem"]["code"] != "not-readable"]


def copy_head(source: str, target: str, size: int) -> None:
    with open(source, "rb") as file, open(target, "wb") as cut:
        cut.write(file.read(size))


def broken(bench: Triage) -> Problems:
    """What is left of a core is a row, even if nothing can be read; its text has no paths."""
    whole = bench.set.full(bench.set.original)
    packed = next((m.path for m in bench.set.members if m.path.endswith(".zst")), "")
    made = []
    for place in ("broken", "elsewhere/broken"):
        folder = bench.folder(place, bench.healthy()[0])
        copy_head(whole, os.path.join(folder, "core.head"), 200)
        if packed:
            copy_head(bench.set.full(packed), os.path.join(folder, "core.zst"),
                      os.path.getsize(bench.set.full(packed)) * 30 // 100)
        out = bench.out(place.replace("/", "-"))
        made.append((bench.result(out, folder), files_of(out)))
    result = made[0][0]
    problems = ["%s: %s" % (name, row_of(result, name)) for name in ("core.head", "core.zst")
                if (packed or name != "core.zst")
                and row_of(result, name)["kind"] == "no row"]
    problems += differences(made[1][1], made[0][1], "elsewhere")
    return problems + named_paths(bench)


def named_paths(bench: Triage) -> Problems:
    """The text of a row that a file named by the user became is the same on every machine."""
    texts = []
    for place in ("one", "another"):
        folder = bench.folder(place, bench.set.garbage[0])
        result = bench.result(bench.out("named"), os.path.join(folder, "core.1"))
        texts.append(result["rows"][0]["problem"]["text"])
    problems = [] if texts[0] == texts[1] else ["%r, in another folder %r" % tuple(texts)]
    return problems + ["a line end in %r" % text for text in texts[:1] if "\\x0a" in text]


def schema(bench: Triage) -> Problems:
    path = os.path.join(SHARE, "coldcase-triage-1.schema.json")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    problems = [] if bench.run("schema", "triage").stdout == text else \
        ["`coldcase schema triage` is not " + os.path.basename(path)]
    if Validator is None:
        raise makecore.CannotMake("no python3-jsonschema 4")
    Validator.check_schema(json.loads(text))
    found = [load(bench.clean()), bench.result(bench.out("named"), *map(
        bench.set.full, bench.set.garbage))]
    return problems + ["%s: %s" % (list(error.path), error.message[:200]) for result in found
                       for error in Validator(json.loads(text)).iter_errors(result)]


# The same bytes


def same_bytes(bench: Triage) -> Problems:
    bench.clean()
    out = bench.out("again")
    bench.triage(out, bench.set.root, "--jobs", "1")
    problems = differences(files_of(out), bench.clean_files, "--jobs 1")
    elsewhere = os.path.join(bench.work, "elsewhere", "of", "it")
    shutil.rmtree(os.path.join(bench.work, "elsewhere"), ignore_errors=True)
    shutil.copytree(bench.set.root, elsewhere)
    out = bench.out("again")
    bench.triage(out, elsewhere, "--jobs", "2")
    problems += differences(files_of(out), bench.clean_files, "copied elsewhere")
    shutil.rmtree(os.path.join(bench.work, "elsewhere"))
    return problems


def other_order(bench: Triage) -> Problems:
    folders = sorted(path for path in glob.glob(bench.set.full("*")) if os.path.isdir(path))
    made = []
    for name, order in (("forth", folders), ("back", folders[::-1])):
        out = bench.out(name)
        bench.triage(out, *order, "--jobs", "2")
        made.append(files_of(out))
    return differences(made[1], made[0], "paths in another order")


def same_twice(bench: Triage) -> Problems:
    """A second run analyses nothing and changes nothing."""
    out = bench.clean()
    done = bench.triage(out)
    durations = load(out, "run.json")["duration_ms"]
    problems = ["analyzed again: %s" % durations] if durations else []
    return (problems + wrong_code(done, 2) +
            differences(files_of(out), bench.clean_files, "a second run"))


def renamed(bench: Triage) -> Problems:
    """Results found again by content tell the names of today."""
    first, second = bench.folder("named1", bench.healthy()[0]), bench.folder("named2")
    shutil.copyfile(bench.set.full(bench.healthy()[0]), os.path.join(second, "core.renamed"))
    reused, fresh = bench.out("renamed"), bench.out("fresh")
    bench.triage(reused, first)
    bench.triage(reused, second)
    bench.triage(fresh, second)
    return differences(files_of(reused), files_of(fresh), "a renamed core in a known folder")


def manifest(bench: Triage) -> Problems:
    cores = bench.folder("manifest", bench.healthy()[0])
    out, other = bench.out("manifest"), ["--sysroot", os.path.join(bench.work, "nothing")]
    problems = wrong_code(bench.triage(out, cores), 0)
    before = files_of(out)
    problems += wrong_code(bench.triage(out, cores, *other), 64)
    problems += differences(files_of(out), before, "refused")
    return problems + wrong_code(bench.triage(out, cores, *other, "--force"), 0)


def foreign(bench: Triage) -> Problems:
    """A folder of somebody else is refused and left as it is."""
    cores, problems = bench.folder("manifest", bench.healthy()[0]), []
    for name in ("notes.txt", "reports/junit.xml"):
        out = bench.out("foreign")
        os.makedirs(os.path.dirname(os.path.join(out, name)))
        with open(os.path.join(out, name), "w", encoding="utf-8") as file:
            file.write("mine")
        problems += [name + ": " + text for text in wrong_code(bench.triage(out, cores), 64)]
        problems += differences(files_of(out), {name: b"mine"}, "a foreign folder")
        if name == "notes.txt" and os.listdir(out) != [name]:
            problems.append("a folder it refused now holds %s" % sorted(os.listdir(out)))
    return problems


# Hostile and interrupted


def hostile(bench: Triage) -> Problems:
    """Each costs its row: of kind unreadable, with a code that says why."""
    clean = load(bench.clean())
    chosen = [member for member in bench.set.members
              if member.kind == "problem" and member.path != bench.set.original]
    victims = dict(zip(HOSTILE, chosen[2:]))
    hook = ";".join("%s=%s" % (what, os.path.basename(victim.path))
                    for what, victim in victims.items())
    began = time.monotonic()
    result = bench.result(bench.out("hostile"), bench.set.root, *BUDGET, "--jobs", "2",
                          env=dict(os.environ, COLDCASE_TEST_WORKER=hook))
    print("    %.1f s" % (time.monotonic() - began), flush=True)
    problems = none_survives(bench)
    for what, victim in victims.items():
        row = row_of(result, victim.path)
        code = row.get("problem", {}).get("code")
        if row["kind"] != "unreadable" or code != HOSTILE[what]:
            problems.append("%s: %s, code %s, not unreadable, %s; text %r" % (
                what, row["kind"], code, HOSTILE[what], row.get("problem", {}).get("text")))
    hurt = {victim.path for victim in victims.values()}
    return problems + unharmed(result, clean, hurt) + check_totals(result)


def unharmed(result: Json, clean: Json, hurt: "set[str]") -> Problems:
    def plain(row: Json) -> Json:
        return {key: value for key, value in row.items() if key not in ("id", "group")}
    ours, theirs = ({row["inputs"][0]: plain(row) for row in whole["rows"]
                     if row["inputs"][0] not in hurt} for whole in (result, clean))
    return ["%s: %s, not %s" % (name, ours.get(name), theirs.get(name))
            for name in sorted(set(ours) | set(theirs)) if ours.get(name) != theirs.get(name)][:5]


def start(bench: Triage, out: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([bench.program, "triage", bench.set.root, "-o", out, "--jobs", "1"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE)


def await_reports(process: "subprocess.Popen[bytes]", out: str, count: int) -> bool:
    end = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < end:
        if len(glob.glob(os.path.join(out, "reports", "*.json"))) >= count:
            return True  # at once: its Markdown may not be there yet
        time.sleep(0.0005)
    return False


def interrupt(bench: Triage, out: str, how: signal.Signals, count: int) -> Tuple[int, str, bool]:
    """Exit status, what it said, whether it was in the middle."""
    process = start(bench, out)
    try:
        middle = await_reports(process, out, count)
        process.send_signal(how)
        said = process.communicate(timeout=30)[1].decode("utf-8", "replace")
    finally:
        makecore.finish(process)
    done = os.path.exists(os.path.join(out, "triage.json"))
    return process.returncode, said, middle and not done


def goes_on(bench: Triage, out: str) -> Problems:
    """Running again finishes, without making anew what is done."""
    before = len(glob.glob(os.path.join(out, "reports", "*.json")))
    problems = wrong_code(bench.triage(out), 2)
    again = len(load(out, "run.json")["duration_ms"])
    if again > len(bench.set.members) + 1 - before:
        problems.append("%d were done, and %d made anew" % (before, again))
    return problems + differences(files_of(out), bench.clean_files, "finished later")


def killed(bench: Triage) -> Problems:
    bench.clean()
    problems = []
    for count in (1, 7, 15):
        out = bench.out("killed")
        middle = interrupt(bench, out, signal.SIGKILL, count)[2]
        problems += none_survives(bench) + ([] if middle else ["it was done before the signal"])
        problems += goes_on(bench, out)
    return problems


def stopped(bench: Triage) -> Problems:
    bench.clean()
    problems = []
    for how in (signal.SIGINT, signal.SIGTERM):
        out = bench.out("stopped")
        code, said, middle = interrupt(bench, out, how, 5)
        problems += none_survives(bench) + ([] if middle else ["it was done before the signal"])
        if code != 75:
            problems.append("%s: exit %d, not 75: %s" % (how.name, code, said[-200:]))
        ours = files_of(out)
        whole = {name: text for name, text in bench.clean_files.items() if name in ours}
        problems += differences(ours, whole, "after %s" % how.name)  # nothing else, nothing half
        problems += goes_on(bench, out)
    return problems


# Exit codes


def exit_codes(bench: Triage) -> Problems:
    healthy, cut = bench.folder("healthy", *bench.healthy()), bench.folder("cut", bench.set.cut)
    mixed = bench.folder("mixed", bench.healthy()[0], bench.set.cut)
    empty = bench.folder("empty", bench.set.garbage[0])
    sick = bench.set.full("native/debug")
    if load_kind(bench, cut) != "inconclusive":
        return ["the cut core is no inconclusive row, and these codes hang on one"]
    wanted: List[Tuple[List[str], int]] = [
        ([sick], 2), ([sick, "--exit-zero"], 0), ([sick, "--fail-on", "known"], 0),
        ([healthy], 0), ([cut], 4), ([cut, "--exit-zero"], 0), ([mixed], 0),
        ([mixed, "--fail-on", "inconclusive"], 4), ([mixed, "--fail-on", "new,inconclusive"], 4),
        (["--fail-on", "inconclusive", mixed], 4),
        ([sick, mixed, "--fail-on", "new,inconclusive"], 2),
        ([mixed, "--fail-on", "unreadable"], 0), ([empty], 66), ([empty, "--exit-zero"], 66),
        ([bench.folder("nothing")], 66), ([os.path.join(bench.work, "nosuch")], 66),
        ([sick, "--fail-on", "everything"], 64), ([sick, "--exit-zero", "--fail-on", "bad"], 64),
        ([sick, "--nosuch"], 64), ([os.path.join(sick, "core.*")], 2)]
    problems = []
    for words, code in wanted:
        problems += wrong_code(bench.triage(bench.out("codes"), *words), code)
    return problems + wrong_code(bench.run("triage", sick), 64)


def load_kind(bench: Triage, folder: str) -> str:
    return bench.result(bench.out("kind"), folder)["rows"][0]["kind"]


# Signatures


def loose(result: Json, member: Member) -> Tuple[str, str]:
    signature = row_of(result, member.path).get("signature", {})
    return signature.get("loose", ""), signature.get("text", "")


def one_signature(bench: Triage) -> Problems:
    """One text for gcore and kernel, every interpreter and every build with symbols."""
    result, problems = load(bench.clean()), []
    for program in sorted({m.program for m in bench.set.members if m.kind == "problem"}):
        seen: Dict[Tuple[str, str], List[str]] = {}
        for member in bench.set.members:
            if member.program == program and member.symbols:
                seen.setdefault(loose(result, member), []).append(member.name)
        print("    %-14s %s" % (program, max(seen, key=lambda key: len(seen[key]))[1]), flush=True)
        if len(seen) > 1 or ("", "") in seen:
            problems += ["%s: %s: %s" % (program, key, names) for key, names in seen.items()]
    return problems


def without_debug_files(bench: Triage) -> Problems:
    """Lines and inlined functions taken away: the same signatures."""
    sysroot = os.path.join(bench.work, "sysroot")
    shutil.rmtree(sysroot, ignore_errors=True)
    natives = [m for m in bench.set.members if not m.python and m.label in ("debug", "fast")
               and m.kind == "problem"]
    for executable in sorted({member.executable for member in natives}):
        target = sysroot + executable
        os.makedirs(os.path.dirname(target), exist_ok=True)
        makecore.run(["strip", "--strip-debug", "-o", target, executable])
    clean = load(bench.clean())
    result = bench.result(bench.out("bare"), bench.set.root, "--sysroot", sysroot)
    problems = ["%s: %s, with debug information %s" % (member.name, loose(result, member),
                                                       loose(clean, member))
                for member in natives if loose(result, member) != loose(clean, member)]
    if all(row_of(result, m.path).get("where") == row_of(clean, m.path).get("where")
           for m in natives):
        problems.append("the stripped programs were not taken: nothing lost its line")
    return problems


CHECKS: Sequence[Callable[[Triage], Problems]] = (
    groups, precision_overall, kinds, named_garbage, broken, schema, same_bytes, other_order,
    same_twice, renamed, manifest, foreign, hostile, killed, stopped, exit_codes, one_signature,
    without_debug_files)


def run_check(check: Callable[[Triage], Problems], bench: Triage) -> str:
    began = time.monotonic()
    try:
        problems, skipped = check(bench), ""
    except makecore.CannotMake as why:
        problems, skipped = [], str(why)
    except (makecore.WentWrong, OSError, subprocess.TimeoutExpired, KeyError, ValueError, TypeError,
            StopIteration, IndexError) as problem:
        problems, skipped = ["%s: %s" % (type(problem).__name__, problem)], ""
    result = "FAIL" if problems else "skip: " + skipped if skipped else "ok"
    print("%-22s %6.1f s  %s" % (check.__name__, time.monotonic() - began, result), flush=True)
    for problem in problems:
        print("    " + problem, flush=True)
    return result[:4]


def make_set(bench: Triage, keep: bool) -> None:
    began = time.monotonic()
    if not (keep and bench.set.load()):
        bench.set.make()
    print("%d cores, %.0f s" % (len(bench.set.members) + 2, time.monotonic() - began), flush=True)
    if len(bench.set.members) < 30:
        raise makecore.CannotMake("only %d cores: %s" % (len(bench.set.members),
                                                        bench.set.skipped))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--check", action="append", choices=[check.__name__ for check in CHECKS])
    parser.add_argument("--keep", action="store_true", help="keep the cores, or take those kept")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    bench = Triage(os.path.abspath(options.program), os.path.abspath(options.work))
    try:
        make_set(bench, options.keep)
        results = [run_check(check, bench) for check in CHECKS
                   if not options.check or check.__name__ in options.check]
    except makecore.CannotMake as why:
        print("skip: %s" % why)
        return 77
    finally:
        for name in ("making", "out", "some", "elsewhere", "sysroot", *(
                [] if options.keep else ["set"])):
            shutil.rmtree(os.path.join(bench.work, name), ignore_errors=True)
    print("%d passed, %d failed, %d skipped" % (results.count("ok"), results.count("FAIL"),
                                                results.count("skip")))
    return 1 if "FAIL" in results else 0 if "ok" in results else 77


if __name__ == "__main__":
    sys.exit(main())
