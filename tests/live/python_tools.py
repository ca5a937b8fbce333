"""What the matrix of Python runs its scenarios with: extension modules, PyPI's coverage."""
from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys
import threading
from typing import Any, Dict, List, Tuple

import makecore
from makecore import CannotMake

INSTALL_TIMEOUT = 300.0
EXTENSIONS = os.path.join(makecore.PROGRAMS, "extensions")
_installing, _building = threading.Lock(), threading.Lock()
_failed: Dict[str, str] = {}  # what is not to be had, and why


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


def install(package: str, python: makecore.Python, work: str, module: str = "") -> str:
    """A folder with the newest wheel of the package for this interpreter, made once."""
    minor = minor_of(python)
    folder = os.path.join(work, "packages", "%s-%s" % (re.sub(r"\W", "_", package), minor))
    with _installing:
        if folder in _failed:
            raise CannotMake(_failed[folder])
        if os.path.isdir(os.path.join(folder, module or package)):
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


# Extension modules


def headers_of(python: makecore.Python) -> str:
    asked = subprocess.run([python.path, "-c", "import sysconfig; "
                            "print(sysconfig.get_paths()['include'])"],
                           stdout=subprocess.PIPE, text=True, timeout=30).stdout.strip()
    if not os.path.exists(os.path.join(asked, "Python.h")):
        raise CannotMake("no Python.h of this interpreter")
    return asked


def translate(source: str, python: makecore.Python, work: str, folder: str) -> str:
    """Cython's C. Its 3.0 writes what 3.6 to 3.13 compile, newer ones what newer ones do."""
    newest = tuple(map(int, minor_of(python).split("."))) >= (3, 14)
    cython = install("cython" if newest else "cython<3.1", makecore.ask_python(sys.executable),
                     work, "Cython")
    output = os.path.join(folder, os.path.splitext(os.path.basename(source))[0] + ".c")
    done = subprocess.run([sys.executable, "-m", "cython", "-o", output, source],
                          env=dict(os.environ, PYTHONPATH=cython), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise makecore.WentWrong("cython: " + done.stdout[-1000:])
    return output


def build_extension(name: str, python: makecore.Python, work: str) -> str:
    """The folder it is in, built once for this interpreter."""
    folder = os.path.join(work, "extensions", python.label.replace(" ", "-"))
    (source,) = glob.glob(os.path.join(EXTENSIONS, name + ".*"))
    output = os.path.join(folder, name + ".so")
    with _building:
        if output in _failed:
            raise CannotMake(_failed[output])
        newest = max(os.path.getmtime(path)
                     for path in (source, os.path.join(EXTENSIONS, "turns.h")))
        if os.path.exists(output) and os.path.getmtime(output) > newest:
            return folder
        os.makedirs(folder, exist_ok=True)
        try:
            compile_extension(source, output, python, work)
        except CannotMake as reason:
            _failed[output] = str(reason)
            raise
    return folder


def compile_extension(source: str, output: str, python: makecore.Python, work: str) -> None:
    for tool in ("gcc", "g++"):
        if shutil.which(tool) is None:
            raise CannotMake("no " + tool)
    with open(source, encoding="utf-8") as file:
        plain = not source.endswith(".pyx") and "<Python.h>" not in file.read()
    headers = [] if plain else ["-I" + headers_of(python)]
    if source.endswith(".pyx"):
        source = translate(source, python, work, os.path.dirname(output))
    compiler = ["g++", "-std=c++17"] if source.endswith(".cpp") else ["gcc"]
    makecore.run([*compiler, "-O1", "-g", "-fPIC", "-shared", "-Wl,--build-id", *headers,
                  "-I" + EXTENSIONS, "-o", output, source, "-lpthread"])


# pystack


def worse_than_pystack(core: str, python: makecore.Python, report: Dict[str, Any],
                       work: str) -> List[str]:
    """What tools/bench asks of frames, of this core. pystack of the interpreter that runs this."""
    folder = install("pystack", makecore.ask_python(sys.executable), work)
    sys.path.insert(0, os.path.join(makecore.HERE, "../../tools/bench.d"))
    import frames  # noqa: E402
    done = subprocess.run([sys.executable, "-m", "pystack", "core", "--native-all", core,
                           os.path.realpath(python.path)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=INSTALL_TIMEOUT,
                          env=dict(os.environ, PYTHONPATH=folder))
    theirs = frames.of_pystack(done.stdout)
    if not theirs:
        print("    pystack says nothing: " + done.stderr.strip()[-120:])
        return []
    return frames.worse_than_pystack(frames.mixed_of_report(report), theirs)


# Commands


def command_of(python: makecore.Python, path: str, facts: Dict[str, Any], work: str,
               tracer: str) -> Tuple[List[str], Dict[str, str]]:
    """The command of one scenario, and what it adds to the environment."""
    script, environment = [path, facts["name"]], {}
    if facts["needs"].startswith("pypi:"):
        folder = install(facts["needs"][len("pypi:"):], python, work)
        return [python.path, *script, *([tracer] if tracer else [])], {
            "PYTHONPATH": folder + os.pathsep + os.path.dirname(path)}
    if facts["needs"]:
        environment["COLDCASE_EXTENSIONS"] = build_extension(facts["needs"], python, work)
    if tracer == "coverage":
        folder = install("coverage", python, work)
        # It writes its data at the end, which does not come; not beside the core in any case.
        environment["PYTHONPATH"] = folder + os.pathsep + os.path.dirname(path)
        environment["COVERAGE_FILE"] = os.path.join(
            work, "coverage-%s-%s" % (minor_of(python), facts["name"]))
        return [python.path, "-m", "coverage", "run", *script], environment
    return [python.path, *script, *([tracer] if tracer else [])], environment
