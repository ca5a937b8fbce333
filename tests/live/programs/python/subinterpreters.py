"""Threads of sub-interpreters, which share the GIL to 3.11 and have one each from 3.12 on. What runs
inside says it itself: not every interpreter may import ctypes there."""
import os
import sys
import threading

import says
from says import scenario

SINCE = (3, 8)
SAYS = """
import json, os, threading

def say(word, **facts):
    os.write(1, ("%s %s\\n" % (word, json.dumps(facts))).encode())

def thread(name, settles="futex"):
    say("THREAD", name=name, tid=threading.get_native_id(), settles=settles)

def waits(name, lock):
    say("WAIT", thread=name, kind="python_lock", address=id(lock), label="", end_of="",
        timeout=False)

def holds(name, lock=None, kind="", sure="very_likely"):
    say("HOLD", thread=name, address=0 if lock is None else id(lock), kind=kind, sure=sure)
"""
CROSSWISE = """
def cross(name, first, second, mine, others):
    with first:
        holds(name, first)
        mine.set()
        others.wait()
        thread(name)
        waits(name, second)
        os.write(pipe, b"x")
        with second:
            pass

source, target = threading.Lock(), threading.Lock()
here, there = threading.Event(), threading.Event()
threading.Thread(target=cross, args=("helper", target, source, there, here), name="helper").start()
cross("worker", source, target, here, there)
"""
TWICE = """
lock = threading.Lock()
with lock:
    thread(name)
    holds(name, lock)
    waits(name, lock)
    os.write(pipe, b"x")
    with lock:
        pass
"""
COMPUTES = """
thread(name, "")
holds(name, kind="gil", sure="proved")
os.write(pipe, b"x")
while True:
    pass
"""
QUIET = """
thread(name)
os.write(pipe, b"x")
threading.Event().wait()
"""


def run_inside(name, code):
    """A thread of this name runs the code in an interpreter of its own; returns when `x` came."""
    try:
        import _interpreters as interpreters
    except ImportError:  # 3.8 to 3.12
        import _xxsubinterpreters as interpreters
    reader, writer = os.pipe()
    # From 3.9 to 3.11 one that is isolated may start no thread.
    shared = (3, 9) <= sys.version_info < (3, 12)
    inner = interpreters.create(isolated=False) if shared else interpreters.create()
    script = SAYS + "pipe, name = %d, %r\n" % (writer, name) + code
    worker = threading.Thread(target=lambda: interpreters.run_string(inner, script), name=name)
    worker.start()
    return worker, reader


def end_with(worker, reader, expects):
    for _ in range(expects):
        os.read(reader, 1)
    says.thread()
    says.waits("thread_exit", then=worker.name)
    says.ready(1)
    worker.join()


@scenario("lock-cycle", since=SINCE)
def sub_crosswise():
    """Two threads of one sub-interpreter take two locks in opposite order."""
    worker, reader = run_inside("worker", CROSSWISE)
    end_with(worker, reader, 2)


@scenario("self-deadlock", since=SINCE)
def sub_each_its_own():
    """Of three interpreters' threads one takes its lock twice, one idles, main waits for the first."""
    _, reader = run_inside("quiet", QUIET)
    os.read(reader, 1)
    worker, reader = run_inside("twice", TWICE)
    end_with(worker, reader, 1)


@scenario("none", "none", since=(3, 12))
def sub_computes():
    """Healthy: a thread computes in a sub-interpreter and has the GIL that it runs under. (Before,
    no other interpreter's thread could ask it to let the GIL go.)"""
    worker, reader = run_inside("computes", COMPUTES)
    end_with(worker, reader, 1)


@scenario("self-deadlock", since=(3, 12))
def sub_computes_beside():
    """One interpreter's thread computes under its own GIL, another's takes a lock twice."""
    _, reader = run_inside("computes", COMPUTES)
    os.read(reader, 1)
    worker, reader = run_inside("twice", TWICE)
    end_with(worker, reader, 1)


if __name__ == "__main__":
    says.run()
