#!/usr/bin/env python3
"""many_threads.py KIND COUNT: as many_threads.cpp, with Python's threads and locks: as many as start."""
import json
import os
import queue
import signal
import sys
import threading

work = queue.SimpleQueue()
table_lock = threading.Lock()
left_lock, right_lock = threading.Lock(), threading.Lock()
never = os.pipe()
both = threading.Barrier(2)


def next_job():
    work.get()


def read_answer(held):
    with table_lock:
        held.set()
        os.read(never[0], 1)


def look_up():
    with table_lock:
        pass


def transfer(first, second):
    with first:
        both.wait()
        with second:
            pass


def start(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def main():
    kind, count = sys.argv[1], int(sys.argv[2])
    threading.stack_size(64 * 1024)
    made = 1
    if kind == "behind":
        held = threading.Event()
        start(read_answer, held)
        held.wait()
        made = 2
    elif kind == "ring":
        start(transfer, left_lock, right_lock)
        start(transfer, right_lock, left_lock)
        made = 3
    try:
        while made < count:
            start(look_up if kind == "behind" else next_job)
            made += 1
    except RuntimeError:
        pass
    print("READY " + json.dumps({"pid": os.getpid(), "threads": {"main": threading.get_native_id()},
                                 "settles": {"main": "pause"}, "count": made}), flush=True)
    signal.pause()


main()
