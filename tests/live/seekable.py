"""Packs a core as `coldcase capture` does: the zstd seekable format, in frames of 1 MiB."""
from __future__ import annotations

import os
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import List, Tuple

FRAME = 1 << 20
AT_ONCE = 64  # frames in memory


def zstd(content: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=content, check=True, stdout=subprocess.PIPE).stdout


HOLE = bytes(FRAME)


class Packer:
    """Frames of at most 1 MiB; those that are holes are packed once."""

    def __init__(self, path: str) -> None:
        self.path, self.end = path, os.path.getsize(path)
        self.hole = zstd(HOLE)

    def frame(self, at: int) -> Tuple[bytes, int]:
        size = min(FRAME, self.end - at)
        with open(self.path, "rb") as file:
            try:
                data = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but hole behind
                data = self.end
            if data >= at + size and size == FRAME:
                return self.hole, size
            content = os.pread(file.fileno(), size, at)
        return (self.hole if content == HOLE else zstd(content)), size


def pack(path: str, packed: str) -> None:
    """The zstd seekable format (contrib/seekable_format): frames, then their sizes in a skippable one."""
    rows: List[bytes] = []
    packer = Packer(path)
    with open(packed, "wb") as out, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for first in range(0, packer.end, FRAME * AT_ONCE):
            starts = range(first, min(first + FRAME * AT_ONCE, packer.end), FRAME)
            for frame, size in pool.map(packer.frame, starts):
                out.write(frame)
                rows.append(struct.pack("<II", len(frame), size))
        table = b"".join(rows)
        out.write(struct.pack("<II", 0x184D2A5E, len(table) + 9) + table)
        out.write(struct.pack("<IBI", len(rows), 0, 0x8F92EAB1))
