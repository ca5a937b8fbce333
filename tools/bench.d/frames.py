"""Whether coldcase's stacks are gdb's: the pcs of every thread, real frames only; and whether they tell
every frame that pystack tells."""
from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import Any, Dict, List, Tuple

Stacks = Dict[int, List[int]]

GDB_SCRIPT = """
import gdb
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frame = gdb.newest_frame()
    while frame is not None:
        # Inlined and tail-called frames are no frames of the stack.
        if frame.type() in (gdb.NORMAL_FRAME, gdb.SIGTRAMP_FRAME):
            print('FRAME', thread.ptid[1], '%#x' % frame.pc())
        try:
            frame = frame.older()
        except gdb.error:
            break
"""


def of_report(report: Dict[str, Any]) -> Stacks:
    """Inline frames repeat the pc of the frame they lie in; Python frames have none."""
    pcs = {stack["id"]: [int(frame["pc"], 16) for frame in stack["frames"]
                         if frame["kind"] in ("native", "signal")] for stack in report["stacks"]}
    return {thread["tid"]: pcs[thread["stack"]] for thread in report["threads"] if "stack" in thread}


def of_gdb(executable: str, core: str, folder: str) -> Stacks:
    script = os.path.join(folder, "frames_of_gdb.py")
    with open(script, "w", encoding="ascii") as file:
        file.write(GDB_SCRIPT)
    done = subprocess.run(
        ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set backtrace past-main on",
         "-iex", "set backtrace past-entry on", "-x", script, executable, core],
        capture_output=True, text=True, timeout=600)
    stacks: Stacks = {}
    for tid, pc in re.findall(r"^FRAME (\d+) (0x[0-9a-f]+)$", done.stdout, re.M):
        stacks.setdefault(int(tid), []).append(int(pc, 16))
    return stacks


def differences(ours: Stacks, theirs: Stacks) -> List[str]:
    if not theirs:
        return ["gdb told no frames"]
    found = ["LWP %d: in one of the two only" % tid for tid in sorted(set(ours) ^ set(theirs))]
    for tid in sorted(set(ours) & set(theirs)):
        if ours[tid] != theirs[tid]:
            at = next((i for i, (a, b) in enumerate(zip(ours[tid], theirs[tid])) if a != b),
                      min(len(ours[tid]), len(theirs[tid])))
            found.append("LWP %d: %d frames here, %d in gdb, other from #%d on"
                         % (tid, len(ours[tid]), len(theirs[tid]), at))
    return found


# pystack: its Python frames by name and place; of its native ones, which it prints without a pc and
# less the interpreter's own, how many there are.


@dataclass
class Mixed:
    python: List[Tuple[str, str, int]] = field(default_factory=list)  # function, file, line; outermost first
    native: int = 0  # real frames


def of_pystack(text: str) -> Dict[int, Mixed]:
    stacks: Dict[int, Mixed] = {}
    mixed = Mixed()
    for line in text.splitlines():
        thread = re.match(r"Traceback for thread (\d+) ", line)
        frame = re.match(r'\s+\((Python|C)\) File "(.*)", line (\d+), in (.*)$', line)
        if thread:
            mixed = stacks.setdefault(int(thread.group(1)), Mixed())
        elif frame and frame.group(1) == "Python" and frame.group(3) == "0":
            continue  # the interpreter's own, below an __init__ that it calls itself (3.13)
        elif frame and frame.group(1) == "Python":
            mixed.python.append((last_name(frame.group(4)), os.path.basename(frame.group(2)), int(frame.group(3))))
        elif frame and "(inlined)" not in frame.group(4):
            mixed.native += 1
    return stacks


def last_name(function: str) -> str:
    return function.split(".")[-1]


def mixed_of_report(report: Dict[str, Any]) -> Dict[int, Mixed]:
    stacks = {}
    for stack in report["stacks"]:
        frames = stack["frames"][::-1]
        stacks[stack["id"]] = Mixed(
            [(last_name(frame.get("function", "")), os.path.basename(frame.get("file", "")), frame.get("line", 0))
             for frame in frames if frame["kind"] == "python"],
            sum(frame["kind"] in ("native", "signal") for frame in frames))
    return {thread["tid"]: stacks[thread["stack"]] for thread in report["threads"] if "stack" in thread}


def worse_than_pystack(ours: Dict[int, Mixed], theirs: Dict[int, Mixed]) -> List[str]:
    """The threads of which pystack tells a frame that is not told here, or another one."""
    if not theirs:
        return ["pystack told no frames"]
    found = []
    for tid, stack in sorted(theirs.items()):
        own = ours.get(tid)
        if own is None:
            found.append("LWP %d: not here" % tid)
        elif stack.python and own.python != stack.python:
            at = next((i for i, (a, b) in enumerate(zip(own.python, stack.python)) if a != b),
                      min(len(own.python), len(stack.python)))
            found.append("LWP %d: %d Python frames here, %d in pystack, other from #%d on"
                         % (tid, len(own.python), len(stack.python), at))
        elif own.native < stack.native:
            found.append("LWP %d: %d native frames here, %d in pystack" % (tid, own.native, stack.native))
    return found


def load(path: str) -> Dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        return json.load(file)
