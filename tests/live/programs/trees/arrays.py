"""numpy in a process that forks: what its BLAS does before and after."""
import os
import sys
import threading
import time

import tree

OPENMP = "/usr/lib/x86_64-linux-gnu/openblas-openmp"
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "2"  # one worker
if sys.argv[1].startswith("openmp") and "LD_LIBRARY_PATH" not in os.environ:
    os.environ["LD_LIBRARY_PATH"] = OPENMP
    os.execv(sys.executable, [sys.executable] + sys.argv)

first = os.listdir("/proc/self/task")
import numpy  # noqa: E402

matrix = numpy.ones((500, 500))
vector = numpy.ones(500000)


def is_mapped(name: str) -> bool:
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        return name in file.read()


def square() -> None:
    matrix @ matrix


def start_worker() -> int:
    square()
    new = set(os.listdir("/proc/self/task")) - set(first)
    if not new and os.cpu_count() == 1:
        tree.skip("second processor")
    return int(max(new, default=0))


def passes() -> None:
    """Healthy: the child multiplies, and computes on."""
    tree.ready("none", "none", 2)
    child = os.fork()
    if child == 0:
        square()
        tree.site("child", "", "compute")
        while True:
            sum(range(1000))  # mark: compute
    tree.site("parent", "wait4", "reap healthy")
    os.waitpid(child, 0)  # mark: reap healthy


def openmp() -> None:
    """OpenBLAS on libgomp: the child's product waits for a team that was not copied."""
    if not is_mapped("openblas-openmp"):
        tree.skip("libopenblas0-openmp under this numpy")
    start_worker()
    assert vector @ vector == len(vector)
    tree.edge("parent", "process_exit", "child")
    tree.edge("child", "barrier")
    tree.ready("fork-orphaned-lock", "deadlock", 2)
    child = os.fork()
    if child == 0:
        tree.site("child", "futex", "multiply")
        vector @ vector  # mark: multiply
        os._exit(0)
    tree.site("parent", "wait4", "reap")
    os.waitpid(child, 0)  # mark: reap


def openmp_first() -> None:
    """Healthy: the parent has not multiplied before."""
    if not is_mapped("openblas-openmp"):
        tree.skip("libopenblas0-openmp under this numpy")
    passes()


def idle() -> None:
    """Healthy: OpenBLAS's own threads, which its handler ends before the fork."""
    if not is_mapped("openblas"):
        tree.skip("OpenBLAS under this numpy")
    square()
    passes()


def multiply_on() -> None:
    big = numpy.ones((1200, 1200))
    tree.site("solver", "")
    while True:
        big @ big


def busy() -> None:
    """fork itself does not return: its handler joins a worker that was computing."""
    worker = start_worker()
    if not worker or not is_mapped("openblas"):
        tree.skip("OpenBLAS with threads of its own under this numpy")
    tree.site("worker", "futex", tid=worker)
    threading.Thread(target=multiply_on, daemon=True).start()
    time.sleep(0.3)
    tree.edge("main", "thread_exit", "worker")
    tree.edge("worker", "condition")
    tree.edge("solver", "gil", "main")
    tree.ready("lost-wakeup", "hang", 3)
    tree.site("main", "futex", "fork")
    for _ in range(1000):
        child = os.fork()  # mark: fork
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)


tree.run({"openmp": openmp, "openmp_first": openmp_first, "idle": idle, "busy": busy})
