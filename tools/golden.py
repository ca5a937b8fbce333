#!/usr/bin/env python3
"""Golden reports: compares, or with --update rewrites, testdata/reports/*.txt and *.md (and the
canonical form of each .json), and share/coldcase/*.schema.json.

usage: tools/golden.py [--update] [BUILD_FOLDER]      (default build/dev; build test_golden first)"""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> int:
    arguments = [a for a in sys.argv[1:] if a != "--update"]
    build = pathlib.Path(arguments[0] if arguments else ROOT / "build" / "dev")
    program = build / "tests" / "test_golden"
    if not program.exists():
        print(f"golden: {program} is not there; cmake --build {build} --target test_golden", file=sys.stderr)
        return 66
    environment = dict(os.environ)
    environment.pop("COLDCASE_GOLDEN_UPDATE", None)
    if "--update" in sys.argv[1:]:
        environment["COLDCASE_GOLDEN_UPDATE"] = "1"
    status = subprocess.run([str(program)], env=environment, check=False).returncode
    if "--update" in sys.argv[1:]:
        subprocess.run(["git", "-C", str(ROOT), "--no-pager", "diff", "--stat", "--", "testdata/reports", "share/coldcase"],
                       check=False)
    return status


if __name__ == "__main__":
    sys.exit(main())
