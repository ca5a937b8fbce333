"""Stacks as gdb tells them and as a report tells them, and how two of them differ. A difference is
`same`, `ours` (we tell more), `gdb` (gdb tells more, for a reason stated here), or `wrong`."""
from __future__ import annotations

import json
import os
import re
import struct
import subprocess
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

GDB_SCRIPT = r"""
import gdb
KINDS = {gdb.NORMAL_FRAME: 'normal', gdb.SIGTRAMP_FRAME: 'signal', gdb.INLINE_FRAME: 'inline',
         gdb.TAILCALL_FRAME: 'tail'}
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frame = gdb.newest_frame()
    depth = 0
    while frame is not None and depth < 5000:
        file = gdb.solib_name(frame.pc()) or ''
        print('FRAME\t%d\t%s\t%#x\t%s\t%s' % (thread.ptid[1], KINDS.get(frame.type(), 'other'), frame.pc(),
                                          frame.name() or '', file))
        depth += 1
        try:
            frame = frame.older()
        except gdb.error:
            break
"""


@dataclass
class Real:
    """One frame of the stack with what was inlined into it, innermost first."""
    pc: int
    name: str
    kind: str
    inlines: List[str] = field(default_factory=list)
    file: str = ""  # gdb's: the shared library, empty for the program
    trust: str = ""  # ours


@dataclass
class Told:
    frames: List[Real] = field(default_factory=list)
    stop: str = ""  # ours: why it ends
    tails: int = 0  # gdb's: calls that left no frame
    left: List[str] = field(default_factory=list)  # inlines without a frame


def plain_name(name: str) -> str:
    """What both must say: no parameters, template arguments, return type, nor the compiler's own
    suffixes."""
    name = re.sub(r"\[clone[^\]]*\]|\[abi:\w+\]", "", name).replace("(anonymous namespace)", "{anonymous}")
    # Rust: in symbols {{closure}}, in DWARF {closure#1}.
    name = re.sub(r"\{\{closure\}\}|\{closure#\d+\}", "closure", name).replace("{{vtable.shim}}", "")
    name = name.replace("operator()", "operator_call")
    for before in ("operator<=>", "operator<<", "operator<", "operator>>", "operator->", "operator>"):
        name = name.replace(before, "operator_" + str(len(before)))
    kept, depth = [], 0
    for letter in name:
        if letter in "<(":
            depth += 1
        elif letter in ">)":
            depth -= 1
        elif depth == 0:
            kept.append(letter)
    name = "".join(kept).replace(" const", "").replace(" &", "").strip()
    name = name.rpartition(" ")[2] if "operator " not in name else name
    name = re.sub(r"(\.(part|isra|constprop|cold|lto_priv|actor|destroy)(\.\d+)?)+$", "", name)
    name = re.sub(r"::h[0-9a-f]{16}$", "", name)
    return re.sub(r"(?<!^)::$", "", name.partition("@")[0])


def same_name(mine: str, theirs: str) -> bool:
    """Also by another of its names (__libc_pause is pause), and where gdb leaves out in which function
    a local class stands."""
    def base(name: str) -> str:
        name = re.sub(r"^_*(GI_+|libc_|vdso_)?", "", name)
        return re.sub(r"_impl$", "", name)
    # Rust's symbols say of which type and trait a method is, its DWARF counts: {impl#1}::drop.
    if "{impl#" in theirs:
        return mine.rpartition("::")[2] == theirs.rpartition("::")[2]
    return mine == theirs or base(mine) == base(theirs) or mine.endswith("::" + theirs)


def stacks_of_gdb(executable: str, core: str, work: str) -> Dict[int, Told]:
    script = os.path.join(work, "frames.py")
    with open(script, "w", encoding="ascii") as file:
        file.write(GDB_SCRIPT)
    # Its complaints about odd lines come into the way of its own output otherwise.
    done = subprocess.run(
        ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off",
         "-iex", "set auto-load off", "-iex", "set backtrace past-main on",
         "-iex", "set backtrace past-entry on", "-x", script, executable, core],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=300,
        errors="replace")
    stacks: Dict[int, Told] = {}
    for tid, kind, pc, name, file in re.findall(
            r"^FRAME\t(\d+)\t(\w+)\t(0x[0-9a-f]+)\t([^\t\n]*)\t([^\t\n]*)$", done.stdout, re.M):
        told = stacks.setdefault(int(tid), Told())
        if kind == "tail":
            told.tails += 1
        elif kind == "inline":
            told.left.append(name)
        else:
            told.frames.append(Real(int(pc, 16), name, kind, told.left, file))
            told.left = []
    return stacks


def stacks_of_report(report: Dict[str, Any]) -> Dict[int, Told]:
    by_id = {stack["id"]: stack for stack in report["stacks"]}
    stacks: Dict[int, Told] = {}
    for thread in report["threads"]:
        if "tid" not in thread or "stack" not in thread:
            continue
        stack, told = by_id[thread["stack"]], Told()
        told.stop = stack["stopped_because"]["code"]
        for frame in stack["frames"]:
            name = frame.get("function") or frame.get("symbol", "")
            if frame["kind"] == "inline":
                told.left.append(name)
            elif frame["kind"] in ("native", "signal"):
                told.frames.append(Real(int(frame["pc"], 16), name, frame["kind"], told.left,
                                        trust=frame["trust"]))
                told.left = []
        stacks[thread["tid"]] = told
    return stacks


def read_report(program: str, core: str) -> Dict[str, Any]:
    done = subprocess.run([program, "analyze", core, "--format", "json"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120)
    return json.loads(done.stdout)


def data_ranges(core: str) -> List[Tuple[int, int]]:
    """What the core holds of memory that is no code."""
    found = []
    with open(core, "rb") as file:
        header = file.read(64)
        offset, = struct.unpack_from("<Q", header, 32)
        count, = struct.unpack_from("<H", header, 56)
        file.seek(offset)
        for _ in range(count):
            kind, flags, _, start, _, _, size, _ = struct.unpack("<IIQQQQQQ", file.read(56))
            if kind == 1 and not flags & 1:
                found.append((start, start + size))
    return found


# Reasons

INLINES_OF_C_LIBRARY = "inlines of the C library, whose compressed debug file is not inflated"
TAIL_CALLS = "tail calls, which left no frame (gdb infers them from call sites)"
C_LIBRARY = re.compile(r"/(libc\.so\.6|libc-2\.\d+\.so|libpthread.*|libm\.so\.6|ld-linux[^/]*|ld-2.*)$")


@dataclass
class Difference:
    verdict: str  # same, ours, gdb, wrong
    reasons: List[str] = field(default_factory=list)


def worst_of(differences: List[Tuple[str, str]]) -> Difference:
    for verdict in ("wrong", "gdb", "ours"):
        reasons = [reason for found, reason in differences if found == verdict]
        if reasons:
            return Difference(verdict, sorted(set(reasons)))
    return Difference("same")


def compare_frame(index: int, mine: Real, theirs: Real) -> List[Tuple[str, str]]:
    place = "#%d %#x" % (index, theirs.pc)
    found: List[Tuple[str, str]] = []
    if mine.kind == "signal" or theirs.kind == "signal":
        if theirs.kind != "signal":
            return [("ours", "a signal frame that gdb takes for a call")]
        return [] if mine.kind == "signal" else [("wrong", place + " is a signal frame")]
    my_name, name = plain_name(mine.name), plain_name(theirs.name)
    if my_name and not name:
        found.append(("ours", "names where gdb has ??"))
    elif not same_name(my_name, name):
        found.append(("wrong", "%s is %r here, %r in gdb" % (place, mine.name, theirs.name)))
    my_inlines = [plain_name(one) for one in mine.inlines]
    inlines = [plain_name(one) for one in theirs.inlines]
    if len(inlines) == len(my_inlines) and all(map(same_name, my_inlines, inlines)):
        return found
    if not my_inlines and C_LIBRARY.search(theirs.file):
        found.append(("gdb", INLINES_OF_C_LIBRARY))
    elif inlines == my_inlines + [plain_name(theirs.name)]:
        # A coroutine's body has its ramp function as its origin; DWARF has no inlined call there.
        found.append(("ours", "a coroutine's body told once"))
    elif not inlines:
        found.append(("ours", "inlines that gdb does not tell"))
    else:
        found.append(("wrong", "%s has the inlines %s here, %s in gdb" % (place, my_inlines, inlines)))
    return found


def ends_well(told: Told) -> bool:
    """The walk came to where the thread began, by rules alone."""
    return told.stop == "outermost" and all(f.trust in ("context", "cfi") for f in told.frames)


def is_lost(rest: List[Real], data: List[Tuple[int, int]]) -> bool:
    """The first of these is no code: gdb took data for a return address."""
    first = rest[0]
    return first.pc < 4096 or any(start <= first.pc < end for start, end in data)


def compare_ends(mine: Told, my_rest: List[Real], rest: List[Real], lost: bool) -> List[Tuple[str, str]]:
    if not rest and not my_rest:
        return []
    if lost and (mine.stop == "outermost" or my_rest):
        return [("ours", "gdb goes on into what is no code")]
    trusts = ", ".join(sorted({frame.trust for frame in my_rest}))
    if not rest:
        how = "frames further out, by " + trusts
        return [("ours" if mine.stop == "outermost" else "wrong", how)]
    return [("wrong", "%s here (%d frames, %s), %s in gdb (%d frames)" % (
        my_rest[0].name or "%#x" % my_rest[0].pc if my_rest else "the end", len(mine.frames), mine.stop,
        rest[0].name or "%#x" % rest[0].pc, len(rest)))]


def compare(mine: Optional[Told], theirs: Told, data: List[Tuple[int, int]]) -> Difference:
    if mine is None or not mine.frames:
        return Difference("wrong", ["no frames here"])
    found: List[Tuple[str, str]] = []
    if theirs.tails:
        found.append(("gdb", TAIL_CALLS))
    common = 0
    for index, (my_frame, frame) in enumerate(zip(mine.frames, theirs.frames)):
        if my_frame.pc != frame.pc:
            break
        common += 1
        found += compare_frame(index, my_frame, frame)
    rest = theirs.frames[common:]
    found += compare_ends(mine, mine.frames[common:], rest, bool(rest) and is_lost(rest, data))
    return worst_of(found)
