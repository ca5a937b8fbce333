#!/usr/bin/env python3
"""hang.py THREADS DEPTH: that many daemon threads, DEPTH calls deep, all wait for a lock that main holds.

Every 4th call goes through list(map(...)), so that C frames lie between the Python ones; the imports map
the libraries of an ordinary program. Says READY with its threads, as the live tests' programs do."""
import asyncio  # noqa: F401
import ctypes  # noqa: F401
import json
import os
import sqlite3  # noqa: F401
import ssl  # noqa: F401
import sys
import threading

held = threading.Lock()
tids = {}


def descend(depth, arrived):
    if depth == 0:
        tids[threading.current_thread().name] = threading.get_native_id()
        arrived.set()
        held.acquire()
    elif depth % 4 == 0:
        list(map(lambda left: descend(left, arrived), [depth - 1]))
    else:
        descend(depth - 1, arrived)


def main():
    threading.stack_size(256 * 1024)
    held.acquire()
    threads = []
    for index in range(int(sys.argv[1])):
        arrived = threading.Event()
        threads.append(threading.Thread(target=descend, args=(int(sys.argv[2]), arrived),
                                        name="worker-%d" % index, daemon=True))
        threads[-1].start()
        arrived.wait()
    everyone = dict(tids, main=threading.get_native_id())
    print("READY " + json.dumps({"pid": os.getpid(), "threads": everyone,
                                 "settles": {name: "futex" for name in everyone}}), flush=True)
    threads[0].join()


main()
