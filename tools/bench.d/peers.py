"""The tools to compare with, how each is called, and what its output holds.

Content classes: N = pcs and function names of all threads; L = N, file and line, inlined functions; P = L and
Python frames. The gdb of a distribution is taken as it is; of elfutils both the distribution's and, where
pystack could be installed, the libdw that its wheel carries: 0.188's core reader is quadratic, and a
comparison with that alone would flatter."""
from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Callable, Dict, List

Command = Callable[[str, str], List[str]]
PLAIN = ["python", "native", "stripped", "different", "bigdwarf", "bigva", "bigheap"]  # no debugger reads what is packed


@dataclass
class Tool:
    name: str
    content: str                      # N, L or P
    command: Command                  # of the executable and the core
    environment: Dict[str, str] = field(default_factory=dict)
    kinds: List[str] = field(default_factory=lambda: list(PLAIN))
    ours: bool = False

    def full_environment(self) -> Dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name != "DEBUGINFOD_URLS"}
        return dict(environment, LC_ALL="C.UTF-8", **self.environment)

    def content_on(self, kind: str) -> str:
        """A stripped program has no lines for anyone; who tells Python frames says so."""
        if self.content == "P":
            return {"python": "P", "stripped": "N"}.get(kind, "L")
        return "N" if kind == "stripped" else self.content


def first_line(command: List[str], environment: Dict[str, str]) -> str:
    try:
        done = subprocess.run(command, env=dict(os.environ, **environment), capture_output=True, text=True,
                              timeout=60)
    except OSError:
        return ""
    return (done.stdout.splitlines() or [""])[0] if done.returncode == 0 else ""


def coldcase(program: str) -> List[Tool]:
    return [Tool("coldcase text", "P", lambda exe, core: [program, "analyze", core, "--threads", "all"],
                 kinds=[*PLAIN, "packed", "packedheap"], ours=True),
            Tool("coldcase json", "P", lambda exe, core: [program, "analyze", core, "--format", "json"],
                 kinds=[*PLAIN, "packed", "packedheap"], ours=True)]


def gdb() -> Tool:
    return Tool("gdb", "L", lambda exe, core: [
        "gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set print frame-arguments none",
        "-iex", "set print entry-values no", "-ex", "thread apply all bt", exe, core])


def lldb() -> Tool:
    return Tool("lldb", "L", lambda exe, core: ["lldb", "-b", "-x", "-c", core, exe, "-o", "bt all"],
                kinds=["native", "stripped", "different", "bigdwarf", "bigva", "bigheap"])


def unpacked_first() -> Tool:
    """What people do with a packed core: unpack it, then ask."""
    return Tool("zstd -d, gdb", "L", lambda exe, core: [
        "sh", "-c", 'zstd -q -d -f -o "$2.core" "$2" && gdb -nx -batch -iex "set debuginfod enabled off" '
        '-iex "set print frame-arguments none" -iex "set print entry-values no" -ex "thread apply all bt" '
        '"$1" "$2.core"; rm -f "$2.core"', "sh", exe, core], kinds=["packed"])


def eu_stack(label: str, content: str, environment: Dict[str, str]) -> Tool:
    more = ["-i", "-s"] if content == "L" else []
    return Tool("eu-stack %s%s" % (label, " -i -s" if more else ""), content,
                lambda exe, core: ["eu-stack", "-n", "0", *more, "--core", core, "-e", exe], environment)


def unpacked_for_eu_stack(label: str, environment: Dict[str, str]) -> Tool:
    return Tool("zstd -d, eu-stack %s" % label, "N", lambda exe, core: [
        "sh", "-c", 'zstd -q -d -f -o "$2.core" "$2" && eu-stack -n 0 --core "$2.core" -e "$1"; rm -f "$2.core"',
        "sh", exe, core], environment, ["packedheap"])


def install_pystack(folder: str, allowed: bool) -> str:
    """Its folder, or nothing when it is not there and cannot be installed."""
    target = os.path.join(folder, "pystack")
    if not os.path.isdir(os.path.join(target, "pystack")) and allowed:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        "--target", target, "pystack"], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=300, check=False)
    return target if os.path.isdir(os.path.join(target, "pystack")) else ""


def newer_elfutils(folder: str, pystack: str) -> Dict[str, str]:
    """The environment in which eu-stack runs on the libdw and libelf of pystack's wheel."""
    carried = os.path.join(pystack, "pystack.libs")
    links = os.path.join(folder, "elfutils")
    os.makedirs(links, exist_ok=True)
    for name in ("libdw", "libelf"):
        found = glob.glob(os.path.join(carried, name + "-*.so*"))
        if not found:
            return {}
        link = os.path.join(links, name + ".so.1")
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(os.path.relpath(found[0], links), link)
    return {"LD_LIBRARY_PATH": links + ":" + carried}


def version_of_newer(pystack: str) -> str:
    found = glob.glob(os.path.join(pystack, "pystack.libs", "libdw-*.so*"))
    number = os.path.basename(found[0]).rsplit(".so", 1)[0].rsplit(".", 1)[-1] if found else ""
    return "0." + number if number.isdigit() else "newer"


def find(folder: str, install: bool) -> List[Tool]:
    """Those that are here. What is missing, and the versions, are said on the way."""
    tools: List[Tool] = []
    if shutil.which("gdb"):
        print("  gdb: " + first_line(["gdb", "--version"], {}))
        tools.append(gdb())
        if shutil.which("zstd"):
            tools.append(unpacked_first())
    if shutil.which("lldb"):
        print("  lldb: " + first_line(["lldb", "--version"], {}))
        tools.append(lldb())
    else:
        print("  lldb: not here (apt-get install lldb), left out: it is the peer of bigdwarf")
    pystack = install_pystack(folder, install)
    if shutil.which("eu-stack"):
        label = first_line(["eu-stack", "--version"], {}).rpartition(" ")[2]
        print("  eu-stack: elfutils %s%s" % (label, ", quadratic in a core" if label < "0.190" else ""))
        tools.append(eu_stack(label, "L", {}))
        newer = newer_elfutils(folder, pystack) if pystack else {}
        if newer and first_line(["eu-stack", "--version"], newer):
            label = version_of_newer(pystack)
            print("  eu-stack: the same on the libdw %s of pystack's wheel" % label)
            tools += [eu_stack(label, "N", newer), eu_stack(label, "L", newer)]
            if shutil.which("zstd"):
                tools.append(unpacked_for_eu_stack(label, newer))
    where = {"PYTHONPATH": pystack}
    version = first_line([sys.executable, "-m", "pystack", "--version"], where) if pystack else ""
    print("  pystack: " + (version or "not installed, left out"))
    if version:
        tools.append(Tool("pystack", "P", lambda exe, core: [
            sys.executable, "-m", "pystack", "core", "--native-all", core, exe], where, ["python"]))
    return tools
