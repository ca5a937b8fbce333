"""Whether coldcase's stacks are gdb's: the pcs of every thread, real frames only."""
from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any, Dict, List

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


def load(path: str) -> Dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        return json.load(file)
