"""The founding case: a worker is inside a driver call that holds a lock of the driver and calls
back into Python; MainThread has the GIL and comes for the same lock.

    founding_case.py FOLDER-OF-THE-FAKE-LIBRARIES
"""
import ctypes
import os
import queue
import sys
import threading
import time

from truth import Truth

WORKER = "Dask-Worker-Threads-2"
BlockToBytes = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
truth = Truth(__file__, "gil-driver-inversion", "deadlock")
driver = ctypes.CDLL(os.path.join(sys.argv[1], "libcuda.so.1"))
ucx = ctypes.PyDLL(os.path.join(sys.argv[1], "libuct_fake.so"))  # like Cython: keeps the GIL


class Context:
    def get_max_potential_block_size(self, function, shared_memory, dynamic_bytes, limit):
        find_sizes = driver.cuOccupancyMaxPotentialBlockSize
        grid, block = ctypes.c_int(), ctypes.c_int()
        outputs = ctypes.byref(grid), ctypes.byref(block)
        callback = BlockToBytes(shared_memory)
        size = ctypes.c_size_t(dynamic_bytes)
        find_sizes(outputs[0], outputs[1], function, callback, size, limit)  # mark: occupancy
        return grid.value, block.value


class ConfiguredKernel:
    def _compute_thread_per_block(self, context):
        handle = ctypes.c_void_p(0x5623987FF240)
        _, block = context.get_max_potential_block_size(
            handle,
            lambda block: 4 * block,  # mark: callback
            0, 1024)
        return block


class ApplicationContext:
    def _fd_reader_callback(self):
        ucx.ucp_worker_arm(None)  # mark: arm


def compute() -> None:
    truth.thread("futex")
    kernel = ConfiguredKernel()
    while True:
        kernel._compute_thread_per_block(Context())


def beat() -> None:
    truth.thread("futex")
    while True:
        time.sleep(0.01)  # mark: beat


def serve(jobs: "queue.Queue[int]") -> None:
    truth.thread("futex")
    while jobs.get() is not None:  # mark: serve
        pass


def tell_truth() -> None:
    truth.site(WORKER, "Context.get_max_potential_block_size", "occupancy")
    truth.site("MainThread", "ApplicationContext._fd_reader_callback", "arm")
    for name in ("Heartbeat-0", "Heartbeat-1"):
        truth.site(name, "beat", "beat")
    truth.edge("MainThread", "driver_lock", WORKER)
    truth.edge(WORKER, "gil", "MainThread")
    truth.api(WORKER, "cuOccupancyMaxPotentialBlockSize")
    truth.api("MainThread", "cuStreamAddCallback")
    truth.callback("ConfiguredKernel._compute_thread_per_block.<locals>.<lambda>", "callback")
    truth.ready()


def main() -> None:
    if driver.cuInit(0) != 0:
        sys.exit("cuInit failed")
    truth.thread("futex")
    jobs: "queue.Queue[int]" = queue.Queue()
    for i in range(2):
        threading.Thread(target=beat, name="Heartbeat-%d" % i, daemon=True).start()
        threading.Thread(target=serve, name="Idle-%d" % i, args=(jobs,), daemon=True).start()
    threading.Thread(target=compute, name=WORKER, daemon=True).start()
    truth.wait_for(6)
    tell_truth()
    application = ApplicationContext()
    while True:  # a worker that sleeps has the driver's lock
        if truth.sleeps(WORKER):
            application._fd_reader_callback()
        time.sleep(0.002)


main()
