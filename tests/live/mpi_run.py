"""Starts the ranks of one MPI job, waits until each says where it is, and dumps every one.

    with Job("openmpi", 2, [program, "mismatch"], folder) as job:
        cores = job.dump("gcore")

A folder of its own for each rank (kernel cores are written to the working directory). Only
processes of this job are ever signalled, by number, and none is left behind.
"""
from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from typing import Any, Dict, List, Sequence, Set

import makecore

READY_TIMEOUT = 60.0
STAY = 1.0  # seconds from the last READY to the dump: long enough to be in the call

OPTIONS = {"openmpi": ["--allow-run-as-root", "--oversubscribe"], "mpich": []}
RANK_VARIABLES = {"openmpi": "OMPI_COMM_WORLD_RANK", "mpich": "PMI_RANK"}


def find_tool(kind: str, tool: str) -> str:
    """mpicc or mpirun of an implementation: Debian's, or COLDCASE_OPENMPI=/prefix's."""
    prefix = os.environ.get("COLDCASE_" + kind.upper(), "")
    path = os.path.join(prefix, "bin", tool) if prefix else shutil.which(tool + "." + kind)
    if path is None or not os.path.exists(path):
        raise makecore.CannotMake("no %s of %s" % (tool, kind))
    return path


class Job:
    def __init__(self, kind: str, size: int, command: Sequence[str], folder: str) -> None:
        self._folder, self._size = folder, size
        self.truths: List[Dict[str, Any]] = []
        self._stopped: Set[int] = set()
        shutil.rmtree(folder, ignore_errors=True)
        for rank in range(size):
            os.makedirs(self._rank_folder(rank))
        # Each rank goes to its own folder before it becomes the program.
        inner = 'cd "%s/r$%s" && exec %s >said.txt' % (folder, RANK_VARIABLES[kind],
                                                        shlex.join(command))
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", MALLOC_ARENA_MAX="1",
                           OMPI_MCA_mpi_yield_when_idle="1")
        with open(os.path.join(folder, "mpirun.txt"), "wb") as said:
            self._launcher = subprocess.Popen(
                [find_tool(kind, "mpirun"), *OPTIONS[kind], "-n", str(size), "sh", "-c", inner],
                cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said,
                stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=makecore.allow_core)

    def _rank_folder(self, rank: int) -> str:
        return os.path.join(self._folder, "r%d" % rank)

    def __enter__(self) -> "Job":
        try:
            self._await_ready()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _await_ready(self) -> None:
        end = time.monotonic() + READY_TIMEOUT
        for rank in range(self._size):
            said = os.path.join(self._rank_folder(rank), "said.txt")
            text = ""
            while not text.endswith("\n"):
                if time.monotonic() > end or self._launcher.poll() is not None:
                    with open(os.path.join(self._folder, "mpirun.txt"), encoding="utf-8",
                              errors="replace") as log:
                        raise makecore.WentWrong("rank %d is not ready: %s"
                                                 % (rank, log.read()[-500:]))
                time.sleep(0.05)
                if os.path.exists(said):
                    with open(said, encoding="utf-8") as file:
                        text = file.read()
            self.truths.append(json.loads(text.splitlines()[-1][len("READY "):]))
        time.sleep(STAY)

    def dump(self, how: str) -> List[str]:
        """The path of every rank's core."""
        if how == "kernel":
            return self._dump_with_kernel()
        cores = []
        for truth in self.truths:
            folder = self._rank_folder(truth["rank"])
            said = makecore.run_gcore(truth["pid"], folder)
            cores.append(os.path.join(folder, "core.%d" % truth["pid"]))
            if not os.path.exists(cores[-1]):
                denied = "ptrace" in said or "not permitted" in said
                raise (makecore.CannotMake if denied else makecore.WentWrong)(
                    "gcore: " + said[-300:])
        return cores

    def _dump_with_kernel(self) -> List[str]:
        makecore.check_kernel_dumps()
        # A launcher ends the other ranks when one ends, in the middle of their dumps: first it is
        # stopped, and MPICH's proxy, which is the ranks' parent.
        self._stopped = {self._launcher.pid} | {int(self._stat(truth["pid"])[1])
                                                for truth in self.truths}
        for pid in self._stopped:
            os.kill(pid, signal.SIGSTOP)
        for truth in self.truths:
            os.kill(truth["pid"], signal.SIGABRT)
        end = time.monotonic() + makecore.DUMP_TIMEOUT
        cores: List[str] = []
        for truth in self.truths:
            folder = self._rank_folder(truth["rank"])
            while self._state(truth["pid"]) not in ("Z", ""):
                if time.monotonic() > end:
                    raise makecore.WentWrong("rank %d does not end" % truth["rank"])
                time.sleep(0.05)
            found = [name for name in sorted(os.listdir(folder)) if name.startswith("core")]
            if not found:
                raise makecore.WentWrong("no core file of rank %d" % truth["rank"])
            cores.append(os.path.join(folder, found[0]))
        return cores

    @staticmethod
    def _stat(pid: int) -> List[str]:
        """State and parent, first of what follows the name."""
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()

    def _state(self, pid: int) -> str:
        try:
            return self._stat(pid)[0]
        except OSError:
            return ""

    def end(self) -> None:
        if self._launcher.poll() is None:
            for pid in self._stopped:
                os.kill(pid, signal.SIGCONT)  # a stopped one cannot end either
            for truth in self.truths:
                if self._state(truth["pid"]) not in ("Z", ""):
                    os.kill(truth["pid"], signal.SIGKILL)
            self._launcher.terminate()
            try:
                self._launcher.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._launcher.kill()
        self._launcher.wait()
