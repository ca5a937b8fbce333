"""Scenarios of Python against native code: extension modules and libraries of ../extensions."""
import ctypes
import os
import sys
import threading
import time
import types

import says
from says import scenario

EXTENSIONS = os.environ.get("COLDCASE_EXTENSIONS", "")
sys.path.insert(0, EXTENSIONS)
Visit = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)


def tell_inversion(address, where):
    """`visit` holds the mutex and wants the GIL, `count` the other way round."""
    says.holds(thread="visit", address=address, kind="mutex")
    says.waits("gil", thread="visit")
    says.holds(thread="count", kind="gil")
    says.waits("mutex", thread="count", address=address)
    says.site("visit", "visit", "visit" + where, native=True)
    says.site("count", "count", "count" + where, native=True)


def invert(visit, await_holder, count, address, where=""):
    """Starts them in that order; main ends up behind both."""
    def gate():
        await_holder()
        says.thread(name="count")
        begin.wait()
        count()

    begin = threading.Event()
    says.start(visit)
    counter = threading.Thread(target=gate, name="count")
    counter.start()
    tell_inversion(address, where)
    says.thread()
    says.waits("gil|thread_exit", then="count")
    says.ready(3)
    begin.set()
    counter.join()


@scenario("gil-lock-inversion", needs="plain_table")
def pydll():
    """ctypes.PyDLL keeps the GIL during a call; a callback wants it under the library's mutex."""
    path = os.path.join(EXTENSIONS, "plain_table.so")
    table, table_with_gil = ctypes.CDLL(path), ctypes.PyDLL(path)
    table.table_mutex.restype = ctypes.c_void_p
    entered = Visit(lambda entry: entry + 1)

    def visit():
        says.thread()
        table.table_visit(entered)  # mark: visit

    def count():
        table_with_gil.table_size()  # mark: count

    invert(visit, table.table_await_visitor, count, table.table_mutex())


@scenario("gil-lock-inversion", needs="guarded")
def lock_guard():
    """A C++ extension takes a std::mutex with the GIL held, and the GIL with the mutex held."""
    import guarded

    def visit():
        says.thread()
        guarded.visit(abs)  # mark: visit_guarded

    def count():
        guarded.size()  # mark: count_guarded

    invert(visit, guarded.await_holder, count, guarded.mutex_address(), "_guarded")


@scenario("gil-lock-inversion", needs="ledger")
def cython():
    """The same in Cython: `with gil` inside, and a function without nogil."""
    import ledger

    def visit():
        says.thread()
        ledger.visit(abs)  # mark: visit_ledger

    def count():
        ledger.size()  # mark: count_ledger

    invert(visit, ledger.await_holder, count, ledger.mutex_address(), "_ledger")


@scenario("gil-lock-inversion", needs="guarded")
def static_guard():
    """A function-local static is made by a thread that wants the GIL back; another one waits for
    the same static, with the GIL."""
    import guarded

    def read():
        says.thread()
        guarded.read_settings(int)  # mark: read

    def ask():
        guarded.await_reader()
        says.thread()
        begin.wait()
        guarded.ask_settings(int)  # mark: ask

    begin = threading.Event()
    _, asker = says.start(read, ask)
    says.holds(thread="read", kind="static_guard")
    says.waits("gil", thread="read")
    says.holds(thread="ask", kind="gil")
    says.waits("static_guard", thread="ask")
    says.site("read", "read", "read", native=True)
    says.site("ask", "ask", "ask", native=True)
    says.thread()
    says.waits("gil|thread_exit", then="ask")
    says.ready(3)
    begin.set()
    asker.join()


@scenario("none", kind="none", needs="guarded")
def polite_guard():
    """Healthy: the mutex is taken without the GIL; its holder computes."""
    import guarded

    def rebuild():
        says.thread(settles="")
        guarded.rebuild()

    def count():
        guarded.await_holder()
        says.thread()
        says.holds(thread="rebuild", address=guarded.mutex_address(), kind="mutex")
        says.waits("mutex", address=guarded.mutex_address())
        guarded.polite_size()

    _, counter = says.start(rebuild, count)
    says.thread()
    says.waits("thread_exit", then="count")
    says.ready(3)
    counter.join()


@scenario("blocked-holder", kind="hang", needs="plain_table")
def sleeper_with_gil():
    """A call through PyDLL sleeps and keeps the GIL: nothing else runs."""
    libc = ctypes.PyDLL(None)

    def show():
        says.thread()
        says.waits("gil")
        while True:
            time.sleep(0.001)

    says.start(show)
    says.thread(settles="nanosleep|clock_nanosleep")
    says.holds(kind="gil")
    says.site("MainThread", "sleeper_with_gil", "sleeper")
    says.ready(2)
    libc.sleep(3600)  # mark: sleeper


def asleep_without_end(tid):
    """In futex, and without a timeout: on a lock, and not for a turn with the GIL."""
    with open("/proc/self/task/%d/syscall" % tid) as file:
        words = file.read().split()
    return words[0] == "202" and int(words[4], 16) == 0


@scenario("blocked-holder", kind="hang")
def just_woken():
    """A lock is released, and before the woken thread can go on the GIL is taken away for good."""
    libc = ctypes.PyDLL(None)
    guard, tids = threading.Lock(), []

    def first():
        says.thread()
        says.waits("gil")
        says.holds(guard, sure="hypothesis")
        tids.append(says.gettid())
        with guard:
            pass

    def second():
        says.thread()
        says.waits("python_lock", guard)
        tids.append(says.gettid())
        with guard:
            pass

    guard.acquire()
    for number, waiter in enumerate((first, second)):
        says.start(waiter)
        while len(tids) == number or not asleep_without_end(tids[number]):
            time.sleep(0.001)
    says.thread(settles="nanosleep|clock_nanosleep")
    says.holds(kind="gil")
    says.ready(3)
    guard.release()
    libc.sleep(3600)


class AtEnd:
    """Its __del__ runs when the interpreter, which is ending, clears the module it is in. That is
    one of its own: a daemon's frames keep this one's globals."""

    def __init__(self, action):
        self.action = action
        library = types.ModuleType("library")
        library.kept = self
        sys.modules["library"] = library

    def __del__(self):
        self.action()


@scenario("after-finalization", kind="hang|crash", needs="late", dies=True)
def late_worker():
    """A library's thread is joined while the interpreter ends, and comes for the GIL."""
    late = ctypes.CDLL(os.path.join(EXTENSIONS, "late.so"))
    late.start_worker()
    says.thread()
    says.waits("thread_exit")
    says.ready(1)
    AtEnd(late.stop_worker)


def is_cut_off(tid, read=os.read, open_file=os.open, close=os.close, missing=OSError):
    """Ended, or parked for good: CPython 3.13.8 and newer let such threads hang in pause. All it
    needs is at hand, as it runs when modules are gone."""
    try:
        file = open_file("/proc/self/task/%d/syscall" % tid, 0)
        word = read(file, 3)
        close(file)
        return word == b"34 "
    except missing:
        return True


@scenario("after-finalization", kind="hang", before=(3, 15))
def lock_of_a_daemon():
    """A daemon thread is cut off inside a with block; then a finalizer wants the lock. From 3.15 on
    that raises PythonFinalizationError."""
    guard = threading.Lock()
    tids = []

    def tick():
        with guard:
            tids.append(says.gettid())
            while True:
                time.sleep(0.001)

    def flush(until=is_cut_off, sleep=time.sleep):
        while not until(tids[0]):
            sleep(0.001)
        with guard:  # mark: flush
            pass

    says.start(tick, daemon=True)
    says.thread()
    says.waits("python_lock", guard)
    says.site("MainThread", "flush", "flush")
    while not tids:
        time.sleep(0.001)
    says.ready(1)
    AtEnd(flush)


@scenario("self-deadlock", since=(3, 9), before=(3, 13))
def gil_twice():
    """With the GIL in hand a thread asks for it with a second thread state. (3.13 notices.)"""
    api = ctypes.pythonapi
    api.PyInterpreterState_Get.restype = api.PyThreadState_New.restype = ctypes.c_void_p
    api.PyThreadState_New.argtypes = api.PyEval_AcquireThread.argtypes = [ctypes.c_void_p]
    second = api.PyThreadState_New(api.PyInterpreterState_Get())
    says.thread(settles="")
    says.waits("gil")
    says.holds(kind="gil")
    says.site("MainThread", "gil_twice", "second")
    says.ready(1)
    api.PyEval_AcquireThread(second)  # mark: second


if __name__ == "__main__":
    says.run()
