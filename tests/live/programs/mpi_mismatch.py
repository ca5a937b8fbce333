"""Two ranks whose caches differ: one broadcasts what it has, the other goes on to the sum.

    mpirun -n 2 python3 mpi_mismatch.py
"""
import array
import json
import os
import sys

from mpi4py import MPI

world = MPI.COMM_WORLD
data = array.array("d", [0]) * (1 << 20)


def stays(call: str, mark: str) -> None:
    with open(__file__, encoding="utf-8") as source:
        lines = [number for number, text in enumerate(source, 1)
                 if text.rstrip().endswith("# mark: " + mark)]
    print("READY " + json.dumps({
        "rank": world.Get_rank(), "pid": os.getpid(), "call": call, "on": "MPI_COMM_WORLD",
        "site": {"function": sys._getframe(1).f_code.co_name, "file": os.path.basename(__file__),
                 "line": lines[0]}}), flush=True)


class Cache:
    def __init__(self) -> None:
        self.known = world.Get_rank() == 0

    def share(self) -> None:
        stays("MPI_Bcast", "share")
        world.Bcast(data, root=1)  # mark: share

    def load(self) -> None:
        if self.known:
            self.share()
        sum_up()


def sum_up() -> None:
    stays("MPI_Allreduce", "sum")
    world.Allreduce(MPI.IN_PLACE, data)  # mark: sum


Cache().load()
