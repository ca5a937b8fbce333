"""What the matrix of Python runs its scenarios with: extension modules, PyPI's coverage."""
from __future__ import annotations

import glob
import os
import re
import subprocess
import sys
import threading
from typing import Any, Dict, List, Tuple

import makecore
from makecore import CannotMake

INSTALL_TIMEOUT = 300.0
_lock = threading.Lock()
_failed: Dict[str, str] = {}  # folder: why it cannot be had


def minor_of(python: makecore.Python) -> str:
    return ".".join(re.findall(r"\d+", python.label)[:2])


def any_pip() -> List[str]:
    """Some interpreter's pip; it can install for another one."""
    usual = [sys.executable, "/usr/bin/python3",
             *sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python3")))[::-1]]
    for path in usual:
        if os.path.exists(path) and subprocess.run(
                [path, "-m", "pip", "--version"], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL).returncode == 0:
            return [path, "-m", "pip"]
    raise CannotMake("no pip")


def install(package: str, python: makecore.Python, work: str) -> str:
    """A folder with the newest wheel of the package for this interpreter, made once."""
    minor = minor_of(python)
    folder = os.path.join(work, "packages", "%s-%s" % (package, minor))
    with _lock:
        if folder in _failed:
            raise CannotMake(_failed[folder])
        if os.path.isdir(os.path.join(folder, package)):
            return folder
        platforms = ["--platform=" + name for name in (
            "manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64",
            "manylinux2010_x86_64", "manylinux1_x86_64")]
        done = subprocess.run([*any_pip(), "install", "--quiet", "--target", folder, *platforms,
                               "--python-version", minor, "--only-binary=:all:", package],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=INSTALL_TIMEOUT)
        if done.returncode != 0:
            lines = done.stdout.strip().splitlines() or ["pip failed"]
            _failed[folder] = "no %s for %s: %s" % (package, minor, lines[-1][:120])
            raise CannotMake(_failed[folder])
        return folder


def command_of(python: makecore.Python, path: str, facts: Dict[str, Any], work: str,
               tracer: str) -> Tuple[List[str], Dict[str, str]]:
    """The command of one scenario, and what it adds to the environment."""
    script = [path, facts["name"]]
    if facts["needs"]:
        raise CannotMake("extension %s: not built here" % facts["needs"])
    if tracer == "coverage":
        folder = install("coverage", python, work)
        # It writes its data at the end, which does not come; not beside the core in any case.
        return [python.path, "-m", "coverage", "run", *script], {
            "PYTHONPATH": folder + os.pathsep + os.path.dirname(path),
            "COVERAGE_FILE": os.path.join(work, "coverage-%s-%s" % (minor_of(python),
                                                                    facts["name"]))}
    return [python.path, *script, *([tracer] if tracer else [])], {}
