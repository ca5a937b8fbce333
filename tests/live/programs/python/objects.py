"""Scenarios of the synchronisation objects: one thread for each kind of wait, nothing wrong."""
import concurrent.futures
import logging
import multiprocessing
import os
import queue
import subprocess
import sys
import threading
import time

import says
from says import scenario

SLEEPS = "pselect6|select|clock_nanosleep|nanosleep"
flag = threading.Event()  # a global of this module, for its label


class Shop:
    def __init__(self):
        self.orders = queue.Queue()
        self.shelf = queue.Queue(maxsize=2)
        self.news = queue.SimpleQueue() if hasattr(queue, "SimpleQueue") else queue.Queue()
        self.changed = threading.Condition()
        self.tills = threading.BoundedSemaphore(1)
        self.visitors = threading.Semaphore(0)
        self.meeting = threading.Barrier(5)
        self.opened = threading.Event()


class Clerk(threading.Thread):
    """Waits in one way, and says so."""

    def __init__(self, name, kind, label, on, wait, timeout=False):
        super().__init__(name=name, daemon=True)
        self.facts = (kind, label, on, wait, timeout)

    def run(self):
        kind, label, on, wait, timeout = self.facts
        says.thread()
        says.waits(kind, on, label=label, timeout=timeout)
        wait()


def notified(condition):
    with condition:
        condition.wait()


def idle(clerks, sleeps=True):
    """All of them stand where they wait; main sleeps as a timer does, which keeps them alive."""
    for clerk in clerks:
        clerk.start()
    says.thread(SLEEPS)
    says.waits("sleep", timeout=True)
    says.ready(len(clerks) + 1)
    while sleeps:
        time.sleep(3600)


@scenario("none", kind="none")
def objects():
    """Consumers, waiters and a barrier that is still filling, while main lives."""
    shop = Shop()
    for item in range(2):
        shop.shelf.put(item)
    shop.tills.acquire()
    idle([
        Clerk("gets", "queue", "orders", shop.orders, shop.orders.get),
        Clerk("puts", "queue", "shelf", shop.shelf, lambda: shop.shelf.put(3)),
        Clerk("drains", "queue", "shelf", shop.shelf, shop.shelf.join),
        Clerk("hears", "queue", "news", shop.news, shop.news.get),
        Clerk("notified", "python_condition", "changed", shop.changed,
              lambda: notified(shop.changed)),
        Clerk("pays", "semaphore", "tills", shop.tills, shop.tills.acquire),
        Clerk("enters", "semaphore", "visitors", shop.visitors, lambda: shop.visitors.__enter__()),
        Clerk("meets", "barrier", "meeting", shop.meeting, shop.meeting.wait),
        Clerk("meets too", "barrier", "meeting", shop.meeting, shop.meeting.wait),
        Clerk("opens", "python_condition", "opened", shop.opened, shop.opened.wait),
        Clerk("flagged", "python_condition", "flag", flag, flag.wait),
    ])


@scenario("none", kind="none")
def timed_objects():
    """The same with timeouts: they end by themselves."""
    shop = Shop()
    for item in range(2):
        shop.shelf.put(item)
    hour = 3600
    idle([
        Clerk("gets", "queue", "orders", shop.orders, lambda: shop.orders.get(timeout=hour), True),
        Clerk("puts", "queue", "shelf", shop.shelf, lambda: shop.shelf.put(3, timeout=hour), True),
        Clerk("hears", "queue", "news", shop.news, lambda: shop.news.get(timeout=hour), True),
        Clerk("pays", "semaphore", "visitors", shop.visitors,
              lambda: shop.visitors.acquire(timeout=hour), True),
        Clerk("meets", "barrier", "meeting", shop.meeting, lambda: shop.meeting.wait(hour), True),
        Clerk("opens", "python_condition", "opened", shop.opened,
              lambda: shop.opened.wait(hour), True),
    ])


@scenario("none", kind="none")
def joins():
    """Main joins a thread that sleeps; another joins with a timeout."""
    def sleeper():
        says.thread(SLEEPS)
        says.waits("sleep", timeout=True)
        while True:
            time.sleep(3600)

    def impatient():
        says.thread()
        says.waits("thread_exit", then="sleeper", timeout=True)
        first.join(3600)

    first, = says.start(sleeper, daemon=True)
    says.start(impatient, daemon=True)
    says.thread()
    says.waits("thread_exit", then="sleeper")
    says.ready(3)
    first.join()


@scenario("none", kind="none")
def notified_again():
    """A waiter that was notified waits for the condition's lock, which main holds for a while."""
    ready = threading.Condition(threading.Lock())
    there = threading.Event()

    def waiter():
        says.thread()
        says.waits("python_lock", ready._lock)
        with ready:
            there.set()
            ready.wait()

    says.start(waiter, daemon=True)
    there.wait()
    with ready:
        ready.notify()
        says.thread(SLEEPS)
        says.holds(ready._lock)
        says.waits("sleep", timeout=True)
        says.ready(2)
        while True:
            time.sleep(0.5)


@scenario("none", kind="none")
def queue_mutex():
    """Two threads stand before a queue's own mutex, which main holds for a while."""
    orders = queue.Queue()

    def getter():
        says.thread()
        says.waits("python_lock", orders.mutex, label="mutex")
        orders.get()

    def putter():
        says.thread()
        says.waits("python_lock", orders.mutex, label="mutex")
        orders.put(1)

    with orders.mutex:
        says.start(getter, putter, daemon=True)
        says.thread(SLEEPS)
        says.holds(orders.mutex)
        says.waits("sleep", timeout=True)
        says.ready(3)
        while True:
            time.sleep(0.5)


def sleep_for_ever():
    says.thread(SLEEPS)
    says.waits("sleep", timeout=True)
    while True:
        time.sleep(3600)


class SlowHandler(logging.Handler):
    def emit(self, record):
        says.holds(self.lock)
        says.waits("sleep", timeout=True)
        emitting.set()
        while True:
            time.sleep(0.5)


emitting = threading.Event()


@scenario("none", kind="none")
def logging_handler():
    """A thread logs while another's record is written, which takes its time."""
    handler = SlowHandler()
    logging.getLogger().addHandler(handler)

    def second():
        emitting.wait()
        says.thread()
        says.waits("python_rlock", handler.lock, label="logging.Handler SlowHandler")
        logging.warning("second")

    says.start(second, daemon=True)
    says.thread(SLEEPS)
    threading.Thread(target=says.ready, args=(2,), daemon=True).start()
    logging.warning("first")


@scenario("none", kind="none", since=(3, 8), before=(3, 12))
def cached_property():
    """Two threads ask for the same cached value, which takes its time."""
    import functools
    asked = threading.Event()

    class Report:
        @functools.cached_property
        def total(self):
            asked.set()
            says.ready(2)
            while True:
                time.sleep(0.5)

    report, lock = Report(), Report.__dict__["total"].lock

    def second():
        asked.wait()
        says.thread()
        says.waits("python_rlock", lock, label="functools.cached_property total")
        report.total

    says.start(second, daemon=True)
    says.thread(SLEEPS)
    says.holds(lock)
    says.waits("sleep", timeout=True)
    report.total


@scenario("none", kind="none")
def several_futures():
    """Waits for several futures at once, whose tasks take their time."""
    workers = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="slow")
    futures = [workers.submit(sleep_for_ever) for _ in range(2)]

    def all_of_them():
        says.thread()
        says.waits("future", futures[0], label="sleep_for_ever")
        concurrent.futures.wait(futures)

    def first_of_them():
        says.thread()
        says.waits("future", futures[1], label="sleep_for_ever", timeout=True)
        concurrent.futures.wait(futures, 3600, concurrent.futures.FIRST_COMPLETED)

    def one_by_one():
        says.thread()
        says.waits("future", futures[0], label="sleep_for_ever")
        for _ in concurrent.futures.as_completed(futures):
            pass

    says.start(all_of_them, first_of_them, one_by_one, daemon=True)
    says.thread()
    says.waits("thread_exit", then="slow_0")
    says.ready(6)
    workers.shutdown()


@scenario("none", kind="none")
def children():
    """Main waits for a child, others for one of multiprocessing's and for what a child says."""
    def of_multiprocessing():
        says.thread("wait4")
        says.waits("process_exit")
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,),
                                                             name="Sleeper", daemon=True)
        worker.start()
        worker.join()

    def communicating():
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        says.thread("poll|ppoll")
        says.waits("io|pipe|process_exit")
        child.communicate()

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    says.start(of_multiprocessing, communicating, daemon=True)
    says.thread("wait4")
    says.waits("process_exit")
    says.ready(3)
    child.wait()


@scenario("none", kind="none")
def busy_database():
    """SQLite waits for a database that another connection has locked."""
    import sqlite3
    path = os.path.join(os.getcwd(), "orders.db")
    first = sqlite3.connect(path, isolation_level=None)
    first.execute("BEGIN EXCLUSIVE")

    def second():
        says.thread(SLEEPS)
        says.waits("file_lock", label="SQLite", timeout=True)
        sqlite3.connect(path, timeout=3600).execute("CREATE TABLE orders (id)")

    says.start(second, daemon=True)
    says.thread(SLEEPS)
    says.waits("sleep", timeout=True)
    says.ready(2)
    while True:
        time.sleep(3600)


@scenario("none", kind="none")
def import_lock():
    """The interpreter's global import lock is held for a while."""
    import _imp

    def second():
        says.thread()
        says.waits("import_lock", label="global import lock")
        _imp.acquire_lock()

    _imp.acquire_lock()
    says.start(second, daemon=True)
    says.thread(SLEEPS)
    says.holds(None, kind="import_lock")
    says.waits("sleep", timeout=True)
    says.ready(2)
    while True:
        time.sleep(0.5)


@scenario("none", kind="none")
def process_locks():
    """multiprocessing's locks, held by a thread that sleeps, wanted by others."""
    guard, again = multiprocessing.Lock(), multiprocessing.RLock()

    def with_block():
        says.thread()
        says.waits("semlock", label="multiprocessing.Lock")
        with guard:
            pass

    def by_call():
        says.thread()
        says.waits("semlock", label="multiprocessing.Lock")
        guard.acquire()

    def recursive():
        says.thread()
        says.waits("semlock", label="multiprocessing.RLock")
        with again:
            pass

    with guard, again:
        says.start(with_block, by_call, recursive, daemon=True)
        says.thread(SLEEPS)
        says.waits("sleep", timeout=True)
        says.ready(4)
        while True:
            time.sleep(0.5)


if __name__ == "__main__":
    says.run()
