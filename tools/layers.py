#!/usr/bin/env python3
"""The layer check: which folder of src/ may include which, and where third-party headers may stand.

The order is the path of the data (src/README.md). A folder includes itself, folders before it, and
include/coldcase. Folders below the memory wall include no folder above it, except base and sidecar."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORDER = ["base", "sidecar", "bytes", "core", "image", "modules", "threads", "lens", "holders",
         "waits", "diagnose", "report", "triage", "capture", "cli"]
WALL = {"waits", "diagnose", "report", "triage", "capture", "cli"}
TOUCH_MEMORY = {"bytes", "core", "image", "modules", "threads", "lens", "holders"}
THIRD_PARTY = {
    "zstd.h": {"bytes", "capture"}, "sha256.h": {"base"},
    "gelf.h": {"modules", "threads"}, "libelf.h": {"modules", "threads"},
    "dwarf.h": {"modules", "threads"}, "elfutils/": {"modules", "threads"},
    "libiberty/": {"modules"}, "lzma.h": {"modules"}, "capstone/": {"holders"},
    "nlohmann/": {"sidecar", "modules", "report", "triage"}, "CLI/": {"cli"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)


def problems_of(path: pathlib.Path) -> list[str]:
    parts = path.relative_to(ROOT).parts
    folder = parts[1] if parts[0] == "src" and len(parts) > 2 else ""
    found = []
    for kind, target in INCLUDE.findall(path.read_text(encoding="utf-8")):
        for prefix, allowed in THIRD_PARTY.items():
            if target.startswith(prefix) and folder not in allowed:
                found.append(f"{path}: {target} belongs to {sorted(allowed)} alone")
        if kind != '"' or "/" not in target:
            continue
        top = target.split("/")[0]
        if parts[0] == "include" and top != "coldcase":
            found.append(f"{path}: a public header includes {target}")
        if top not in ORDER or not folder:
            continue
        if ORDER.index(top) > ORDER.index(folder):
            found.append(f"{path}: {folder} includes {target}, which comes later")
        if folder in WALL and top in TOUCH_MEMORY:
            found.append(f"{path}: {folder} includes {target} across the memory wall")
    return found


def main() -> int:
    files = [p for d in ("src", "include") for p in sorted((ROOT / d).rglob("*.[ch]pp"))]
    found = [line for path in files for line in problems_of(path)]
    print("\n".join(found) or f"layers: fine ({len(files)} files)")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
