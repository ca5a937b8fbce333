"""A thread holds a C library's mutex and wants the GIL for its callback; another has the GIL and
wants the mutex.

    gil_mutex.py FOLDER-OF-THE-LIBRARIES
"""
import ctypes
import os
import sys
import threading
import time

from truth import Truth

Visit = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
truth = Truth(__file__, "gil-lock-inversion", "deadlock")
path = os.path.join(sys.argv[1], "libtable_lock.so")
table = ctypes.CDLL(path)
table_with_gil = ctypes.PyDLL(path)
truth_told = threading.Event()


def visit_all() -> None:
    truth.thread("futex")
    visit = Visit(lambda entry: entry + 1)  # mark: callback
    while True:
        table.table_visit(visit)  # mark: visit


def count() -> None:
    truth.thread("futex")
    truth_told.wait()
    time.sleep(0.05)  # MainThread reaches its join
    while True:  # a visitor that sleeps has the mutex
        if truth.sleeps("visitor"):
            table_with_gil.table_size()  # mark: count
        time.sleep(0.002)


def main() -> None:
    truth.thread("futex")
    visitor = threading.Thread(target=visit_all, name="visitor", daemon=True)
    visitor.start()
    truth.wait_for(2)
    truth.site("visitor", "visit_all", "visit")
    truth.site("counter", "count", "count")
    truth.edge("visitor", "gil", "counter")
    truth.edge("counter", "mutex", "visitor")
    truth.callback("visit_all.<locals>.<lambda>", "callback")
    counter = threading.Thread(target=count, name="counter", daemon=True)
    counter.start()
    truth.wait_for(3)
    truth.ready()
    truth_told.set()
    visitor.join()


main()
