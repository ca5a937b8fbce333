#!/usr/bin/env python3
"""Golden stories: for each of Python's patterns the text report of a real core, read before it was
accepted (tests/golden/stories).

    stories_test.py --program build/dev/coldcase --work build/dev/live/stories [--update]

The scenarios run on Debian's interpreter and are dumped by gcore. What differs from run to run or
from one C library to the next is made the same in the JSON report, and that is rendered: numbers of
processes and threads, addresses, times, paths, frames of native libraries. A story of another
micro version of CPython than the golden one is skipped. Exit status: 0, 1, or 77 when no story
could be tried.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Sequence

import makecore
import maketree
import python_matrix
from makecore import CannotMake, WentWrong

Json = Dict[str, Any]
GOLDEN = os.path.join(makecore.HERE, "../golden/stories")
FIRST_ID, FIRST_ADDRESS = 4100, 0x7f2000001000
# Of the files that are not the program's own, for paths.
HOME = "/srv/app"


@dataclass(frozen=True)
class Story:
    name: str  # the pattern, with a word after a dot for others than its first
    file: str
    scenario: str
    tree: bool = False  # of programs/trees: several processes


STORIES = (
    Story("lock-cycle", "patterns", "three_parties"),
    Story("lock-cycle.python", "locks", "crosswise"),
    Story("self-deadlock", "patterns", "lock_twice"),
    Story("self-deadlock.collection", "patterns", "through_queue"),
    Story("self-deadlock.weak-reference", "patterns", "through_weakref"),
    Story("self-deadlock.signal", "patterns", "through_signal_handler"),
    Story("self-deadlock.logging", "patterns", "through_logging"),
    Story("gil-lock-inversion", "natives", "lock_guard"),
    Story("gil-lock-inversion.ctypes", "natives", "pydll"),
    Story("gil-lock-inversion.static", "natives", "static_guard"),
    Story("import-lock-cycle", "patterns_objects", "import_under_lock"),
    Story("pool-starvation", "patterns_objects", "nested_submit_alone"),
    Story("pool-starvation.results", "patterns_objects", "futures_cross"),
    Story("lost-wakeup", "patterns_objects", "producer_ended"),
    Story("join-cycle", "patterns", "join_under_lock"),
    Story("join-cycle.mutual", "patterns", "join_each_other"),
    Story("exit-blocked", "exits", "worker_at_exit"),
    Story("exit-blocked.executor", "exits", "task_at_exit"),
    Story("exit-blocked.lock", "exits", "lock_left_taken"),
    Story("exit-blocked.child", "queues", "exit_child", tree=True),
    Story("lock-convoy", "patterns", "convoy"),
    Story("blocked-holder", "patterns", "recv_under_lock"),
    Story("blocked-holder.alone", "patterns", "lone_recv"),
    Story("blocked-holder.gil", "natives", "sleeper_with_gil"),
    Story("fork-orphaned-lock", "forks", "log_handler", tree=True),
    Story("fork-orphaned-lock.queue", "forks", "queue_mutex", tree=True),
    Story("fork-orphaned-lock.import", "forks", "import_plugin", tree=True),
    Story("event-loop-blocked", "tasks", "loop_result"),
    Story("task-cycle", "tasks", "task_crosswise"),
    Story("after-finalization", "natives", "lock_of_a_daemon"),
    Story("none", "patterns", "server"),
    Story("none.pool", "patterns_objects", "idle_pool"),
)


# What is the same in every run


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """The value with all of its strings changed, keys not."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [each_text(one, change) for one in value]
    if isinstance(value, dict):
        return {key: each_text(one, change) for key, one in value.items()}
    return value


def renumber(report: Json) -> Json:
    """Processes and threads, in the report's order."""
    numbers: Dict[int, int] = {}
    for one in [*report["processes"], *report["threads"]]:
        for key in ("pid", "tid"):
            if key in one:
                one[key] = numbers.setdefault(one[key], FIRST_ID + len(numbers))

    def change(match: "re.Match[str]") -> str:
        return str(numbers.get(int(match.group()), match.group()))

    # No line (":12"), no part of a version, path or number.
    return each_text(report, lambda text: re.sub(
        r"(?<![\w:/-])(?<!\d\.)(?<!line )\d+(?![\w/-])(?!\.\d)", change, text))


def readdress(report: Json) -> Json:
    """Addresses, by their first mention; those of modules are nobody's business."""
    known: Dict[str, str] = {}
    for module in report["modules"]:
        module["mapped"] = []

    def change(match: "re.Match[str]") -> str:
        word = match.group()
        if len(word) < len("0x400000"):
            return word
        return known.setdefault(word, hex(FIRST_ADDRESS + 0x40 * len(known)))

    return each_text(report, lambda text: re.sub(r"0x[0-9a-f]+", change, text))


def retime(report: Json) -> Json:
    for one in report["inputs"]:
        if "taken" in one:
            one["taken"]["at"] = "2026-01-02T03:04:05Z"
    for thread in report["threads"]:
        thread.pop("cpu_ms", None)
    return each_text(report, lambda text: re.sub(r"\bfor 35\d\d(\.\d+)? s\b", "for 3600 s", text))


def replace_paths(report: Json, folders: Sequence[str]) -> Json:
    """The scenarios' own files and the run's folder are the application's."""
    def change(text: str) -> str:
        for folder in folders:
            for form in (os.path.realpath(folder), os.path.relpath(folder)):
                text = text.replace(form + os.sep, HOME + "/")
        return re.sub(HOME + r"/\d+/", HOME + "/", text)  # a process's own folder
    return each_text(report, change)


def is_told(frame: Json) -> bool:
    return frame["kind"] not in ("native", "inline") or bool(frame.get("in_app"))


def drop_library_frames(report: Json) -> None:
    """What names a library's native functions have is the machine's matter. What happens in one of
    them happens in who called it."""
    kept: Dict[str, List[int]] = {}  # by stack: the new index of each frame
    for stack in report["stacks"]:
        frames, new = stack["frames"], []
        for frame in frames:
            new.append(sum(is_told(one) for one in frames[:len(new)]))
            for key in ("symbol_offset", "module_offset", "pc"):
                frame.pop(key, None)
        stack["frames"] = [frame for frame in frames if is_told(frame)]
        kept[stack["id"]] = new
        stack["depth"] = len(stack["frames"])

    def move(one: Json, key: str, stack: str) -> None:
        if key in one and stack in kept and one[key] < len(kept[stack]):
            one[key] = kept[stack][one[key]]

    stacks = {}
    for thread in report["threads"]:
        stack = stacks[thread["id"]] = thread.get("stack", "")
        move(thread, "site", stack)
        for one in [thread.get("wait", {}), *thread.get("holds", [])]:
            move(one, "frame", stack)
    for evidence in report["evidence"]:
        move(evidence, "frame", stacks.get(evidence.get("thread", ""), ""))


def still_busy(report: Json) -> Json:
    """A thread in `while True: pass` is in one of two lines."""
    busy = set()
    for frame in (frame for stack in report["stacks"] for frame in stack["frames"]):
        path = frame.get("file", "")
        if not path.startswith(makecore.PROGRAMS) or "line" not in frame:
            continue
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
        if lines[frame["line"] - 1].strip() == "while True:":
            busy.add((os.path.basename(path), frame["line"]))
            frame["line"] += 1

    def change(text: str) -> str:
        for name, line in busy:
            text = re.sub(r"\b%s:%d\b" % (re.escape(name), line), "%s:%d" % (name, line + 1), text)
        return text
    return each_text(report, change)


def without_program_ends(report: Json) -> Json:
    """Where a program's own level is moves with every scenario that it gets."""
    for frame in (frame for stack in report["stacks"] for frame in stack["frames"]):
        if frame.get("function") == "<module>" and frame.get("file", "").startswith(makecore.PROGRAMS):
            frame.pop("line", None)
    return report


def same_in_every_run(report: Json, folders: Sequence[str]) -> Json:
    without_program_ends(report)
    report = replace_paths(retime(renumber(still_busy(still_waiting(report)))), folders)
    drop_library_frames(report)
    return readdress(report)


SLEEPS_FOR_GIL = "it sleeps on the interpreter's gil_cond"
AWAKE_FOR_GIL = ("its innermost frames are in the function that takes the GIL; it was caught "
                 "between two of its 5 ms sleeps")


def still_waiting(report: Json) -> Json:
    """Who waits for the GIL wakes every 5 ms."""
    return each_text(report, lambda text: text.replace(AWAKE_FOR_GIL, SLEEPS_FOR_GIL))


# Running


def make_cores(story: Story, python: makecore.Python, options: argparse.Namespace,
               folder: str) -> List[str]:
    if story.tree:
        tree = maketree.make_tree(maketree.command_of(story.file, story.scenario, "", python.path,
                                                      ""), "gcore", folder, options.program)
        return [tree.cores[pid] for pid in sorted(tree.cores)]
    (scenario,) = python_matrix.list_scenarios(story.file, story.scenario)
    run = python_matrix.Run(scenario, python, "gcore")
    return [python_matrix.make_core(run, options, folder)[0]]


def tell(story: Story, python: makecore.Python, options: argparse.Namespace) -> str:
    folder = os.path.join(options.work, story.name)
    try:
        cores = make_cores(story, python, options, folder)
        done = subprocess.run([options.program, "analyze", *cores, "--format", "json"], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=python_matrix.ANALYZE_TIMEOUT)
        if not done.stdout:
            raise WentWrong("exit code %d: %s" % (done.returncode, done.stderr[-300:]))
        sources = [os.path.join(makecore.PROGRAMS, name)
                   for name in ("python", "trees", "extensions")]
        extensions = os.path.join(options.work, "extensions", python.label.replace(" ", "-"))
        report = same_in_every_run(json.loads(done.stdout), [*sources, extensions, folder])
        drawn = subprocess.run([options.program, "render", "-", "--width", "88"], text=True,
                               input=json.dumps(report), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, timeout=60)
        if drawn.returncode != 0 and not drawn.stdout:
            raise WentWrong("render: " + drawn.stderr[-300:])
        return drawn.stdout
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def micro_version(text: str) -> str:
    found = re.search(r"\(CPython ([\d.]+)\)", text)
    return found.group(1) if found else ""


def compare(story: Story, text: str, update: bool) -> str:
    """A word; the difference when it is not as it was."""
    path = os.path.join(GOLDEN, story.name + ".txt")
    if update:
        os.makedirs(GOLDEN, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return "written"
    with open(path, encoding="utf-8") as file:
        golden = file.read()
    if micro_version(golden) != micro_version(text):
        return "skip: it is of CPython %s" % micro_version(golden)
    if golden == text:
        return "ok"
    return "FAIL\n" + "".join(difflib.unified_diff(golden.splitlines(True), text.splitlines(True),
                                                   path, "this run"))


def run_story(story: Story, python: makecore.Python, options: argparse.Namespace) -> str:
    problem = ""
    for _ in range(3):  # what a loaded machine spoils is made again
        try:
            word = compare(story, tell(story, python, options), options.update)
        except CannotMake as reason:
            return "skip: %s" % reason
        except (WentWrong, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as reason:
            problem = "FAIL: %s: %s" % (type(reason).__name__, reason)
            continue
        if not word.startswith("FAIL"):
            return word
        problem = word
    return problem


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--story", default="", help="only those whose name begins so")
    parser.add_argument("--update", action="store_true", help="accept what is told now")
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    parser.add_argument("--jobs", type=int, default=2)
    parser.set_defaults(coverage=False, traced=False)
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    options.program, options.work = map(os.path.abspath, (options.program, options.work))
    os.makedirs(options.work, exist_ok=True)
    makecore.allow_core()
    maketree.adopt_orphans()
    pythons = [python for python in makecore.find_pythons()
               if python.path.startswith("/usr/bin/") and not python.skipped]
    if not pythons or shutil.which("gcore") is None:
        print("skip: no Python of the system's, or no gcore")
        return 77
    stories = [story for story in STORIES if story.name.startswith(options.story)]
    words = {}

    def say(story: Story) -> None:
        words[story.name] = run_story(story, pythons[0], options)
        print("%-30s %s" % (story.name, words[story.name]), flush=True)

    for story in stories:  # one after the other: they reap whatever child there is
        if story.tree:
            say(story)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done in [pool.submit(say, story) for story in stories if not story.tree]:
            done.result()
    failed = sum(word.startswith("FAIL") for word in words.values())
    skipped = sum(word.startswith("skip") for word in words.values())
    print("%d stories, %d failed, %d skipped" % (len(words), failed, skipped))
    return 1 if failed else 77 if skipped == len(words) else 0


if __name__ == "__main__":
    sys.exit(main())
