"""Interpreters that have a package: Debian's, and one with PyPI's in an environment of its own."""
from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import List, Sequence

import makecore

MAKE_TIMEOUT = 240.0


@dataclass(frozen=True)
class Package:
    module: str
    pypi: str
    debian: str = ""  # not tried when empty


NUMPY = Package("numpy", "numpy", "python3-numpy")
GRPC = Package("grpc", "grpcio")
ZMQ = Package("zmq", "pyzmq", "python3-zmq")


def has_module(python: str, module: str) -> bool:
    return subprocess.run([python, "-c", "import " + module], stdin=subprocess.DEVNULL, check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def make_environment(python: str, folder: str, package: Package) -> str:
    """The interpreter of a new environment with the package; empty when there is no registry."""
    own = os.path.join(folder, "bin", "python3")
    if os.path.exists(own) and has_module(own, package.module):
        return own
    commands = [[python, "-m", "venv", "--clear", folder],
                [own, "-m", "pip", "install", "--quiet", "--only-binary=:all:",
                 "--disable-pip-version-check", "--retries", "1", package.pypi]]
    try:
        for command in commands:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=True, timeout=MAKE_TIMEOUT)
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return ""
    return own if has_module(own, package.module) else ""


def pythons_with(package: Package, pythons: Sequence[makecore.Python],
                 folder: str) -> List[makecore.Python]:
    """Debian's interpreter, and the newest other one with an environment in `folder`."""
    usable = [p for p in pythons if not p.skipped]
    found = []
    for python in usable if package.debian else []:
        if python.path.startswith("/usr/bin/"):
            lacks = "" if has_module(python.path, package.module) else "no " + package.debian
            found.append(makecore.Python(python.path, "Debian " + python.label.split()[0], lacks))
    own = [p for p in usable if not p.path.startswith("/usr/bin/")] or usable
    if own:
        path = make_environment(own[-1].path, folder, package)
        lacks = "" if path else "no %s from the registry" % package.pypi
        found.append(makecore.Python(path, "PyPI " + own[-1].label.split()[0], lacks))
    return found
