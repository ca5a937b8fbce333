#!/usr/bin/env python3
"""Holds our stacks against libdwfl (every thread's pcs, over our own callbacks) and against gdb (rbx of
every frame), and checks that a stack whose memory was not saved ends there instead of going on with bytes
of something else.

    stacks_test.py --program build/dev/coldcase --oracle build/dev/tests/oracle --work build/dev/live/stacks

Exit status: 0 all passed, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from typing import Dict, List, Tuple

import makecore

Frames = Dict[int, List[Tuple[int, str]]]

GDB_SCRIPT = r"""
import gdb
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frame = gdb.newest_frame()
    while frame is not None:
        # Inlined and tail-called frames are no frames of the stack.
        if frame.type() in (gdb.NORMAL_FRAME, gdb.SIGTRAMP_FRAME):
            try:
                rbx = '%#x' % (int(frame.read_register('rbx')) & (2**64 - 1))
            except Exception:
                rbx = '?'
            print('FRAME', thread.ptid[1], '%#x' % frame.pc(), rbx)
        try:
            frame = frame.older()
        except gdb.error:
            break
"""


def frames_of_oracle(oracle: str, core: str) -> Tuple[Frames, str, int]:
    done = subprocess.run([oracle, core], capture_output=True, text=True, timeout=120)
    frames: Frames = {}
    for line in done.stdout.splitlines():
        tid, _, pc, rbx = line.split()
        frames.setdefault(int(tid), []).append((int(pc, 16), rbx if rbx != "0" else "0x0"))
    return frames, done.stderr, done.returncode


def frames_of_gdb(executable: str, core: str, work: str) -> Frames:
    script = os.path.join(work, "frames.py")
    with open(script, "w", encoding="ascii") as file:
        file.write(GDB_SCRIPT)
    done = subprocess.run(
        ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off",
         "-iex", "set backtrace past-main on", "-iex", "set backtrace past-entry on", "-x", script, executable, core],
        capture_output=True, text=True, timeout=300)
    frames: Frames = {}
    for tid, pc, rbx in re.findall(r"^FRAME (\d+) (0x[0-9a-f]+) (\S+)$", done.stdout, re.M):
        frames.setdefault(int(tid), []).append((int(pc, 16), rbx))
    return frames


def compare_with_gdb(ours: Frames, theirs: Frames) -> List[str]:
    problems = []
    if not theirs:
        return ["gdb told no frames"]
    for tid, frames in theirs.items():
        mine = ours.get(tid, [])
        if [pc for pc, _ in mine] != [pc for pc, _ in frames]:
            problems.append(f"LWP {tid}: {len(mine)} frames here, {len(frames)} in gdb, or other pcs")
            continue
        for index, ((pc, my_rbx), (_, rbx)) in enumerate(zip(mine, frames)):
            if rbx not in ("?", "<not saved>") and my_rbx != rbx:
                problems.append(f"LWP {tid} #{index} {pc:#x}: rbx {my_rbx} here, {rbx} in gdb")
    return problems


def cut_stack(core: str, cut: str, address: int) -> None:
    """A copy of the core whose segment around `address` was saved up to there only."""
    shutil.copyfile(core, cut)
    with open(cut, "r+b") as file:
        header = file.read(64)
        offset, = struct.unpack_from("<Q", header, 32)
        count, = struct.unpack_from("<H", header, 56)
        for index in range(count):
            file.seek(offset + 56 * index)
            kind, _, _, start, _, saved, size, _ = struct.unpack("<IIQQQQQQ", file.read(56))
            if kind == 1 and start <= address < start + size:
                file.seek(offset + 56 * index + 32)
                file.write(struct.pack("<Q", address - start))
                return
    raise AssertionError("no segment around the address")


def check_cut_stack(program: str, oracle: str, core: str, work: str) -> List[str]:
    """The stack ends where memory ends: a prefix of the whole one, and it says why."""
    whole, _, _ = frames_of_oracle(oracle, core)
    evidence = max(whole, key=lambda tid: len(whole[tid]))
    boundary = stack_pointers(core)[evidence] + 64
    cut = os.path.join(work, "cut.core")
    cut_stack(core, cut, boundary)
    shorter, _, _ = frames_of_oracle(oracle, cut)
    mine = [pc for pc, _ in shorter.get(evidence, [])]
    full = [pc for pc, _ in whole[evidence]]
    report = json.loads(subprocess.run([program, "analyze", cut, "--format", "json"], capture_output=True,
                                       text=True, timeout=60).stdout)
    os.unlink(cut)
    problems = []
    if not 0 < len(mine) < len(full) or mine != full[:len(mine)]:
        problems.append(f"cut stack of LWP {evidence}: {len(mine)} frames, not a prefix of the {len(full)}")
    stacks = {stack["id"]: stack for stack in report["stacks"]}
    thread = next(t for t in report["threads"] if t.get("tid") == evidence)
    stop = stacks[thread["stack"]]["stopped_because"]
    if stop["code"] != "unreadable":
        problems.append(f"cut stack of LWP {evidence} stopped because of {stop}")
    return problems


def stack_pointers(core: str) -> Dict[int, int]:
    """rsp of every thread, from the notes (readable enough without a library)."""
    found: Dict[int, int] = {}
    with open(core, "rb") as file:
        header = file.read(64)
        offset, = struct.unpack_from("<Q", header, 32)
        count, = struct.unpack_from("<H", header, 56)
        for index in range(count):
            file.seek(offset + 56 * index)
            kind, _, at, _, _, size, _, _ = struct.unpack("<IIQQQQQQ", file.read(56))
            if kind == 4:
                file.seek(at)
                notes = file.read(size)
                break
    at = 0
    while at + 12 <= len(notes):
        name, size, kind = struct.unpack_from("<III", notes, at)
        start = at + 12 + (name + 3) // 4 * 4
        if kind == 1 and size == 336:
            found[struct.unpack_from("<i", notes, start + 32)[0]] = struct.unpack_from("<Q", notes, start + 112 + 19 * 8)[0]
        at = start + (size + 3) // 4 * 4
    return found


def rows(pythons: List[makecore.Python]) -> List[Tuple[str, str, str, str]]:
    chosen = [("abba_mutex", "gcore", "", "debug"), ("abba_mutex", "kernel", "", "release"),
              ("idle_pool", "kernel", "", "release"), ("crash_segv", "crash", "", "debug")]
    for python in pythons:
        if not python.skipped:
            chosen.append(("founding_case", "kernel", python.path, "debug"))
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--oracle", required=True)
    parser.add_argument("--work", required=True)
    options = parser.parse_args()
    options.work = os.path.abspath(options.work)
    options.oracle = os.path.abspath(options.oracle)
    options.program = os.path.abspath(options.program)
    os.makedirs(options.work, exist_ok=True)
    built = os.path.join(options.work, "built")
    makecore.build_all(built)
    failed = tried = 0
    for program, dump, python, variant in rows(makecore.find_pythons()):
        folder = os.path.join(options.work, f"{program}-{dump}")
        try:
            core = makecore.make_core(program, dump, folder, built, python, variant)
        except makecore.CannotMake as why:
            print(f"{program:14} {python or variant:44} skip: {why}")
            continue
        tried += 1
        ours, text, status = frames_of_oracle(options.oracle, core.path)
        problems = [] if status == 0 else ["libdwfl: " + text.strip()]
        problems += compare_with_gdb(ours, frames_of_gdb(core.executable, core.path, options.work))
        if program in ("abba_mutex", "founding_case"):
            problems += check_cut_stack(options.program, options.oracle, core.path, options.work)
        print(f"{program:14} {python or variant:44} {dump:6} {sum(map(len, ours.values())):5} frames "
              f"{'ok' if not problems else 'FAIL'}")
        for problem in problems:
            print("    " + problem)
        failed += bool(problems)
        shutil.rmtree(folder, ignore_errors=True)
    return 77 if tried == 0 else 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
