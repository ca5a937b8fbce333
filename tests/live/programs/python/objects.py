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


def hopes(condition):
    with condition:
        condition.wait_for(lambda: False)


def idle(clerks):
    """All of them stand where they wait; main sleeps as a timer does, which keeps them alive."""
    for clerk in clerks:
        clerk.start()
    says.thread(SLEEPS)
    says.waits("sleep", timeout=True)
    says.ready(len(clerks) + 1)
    while True:
        time.sleep(0.5)


@scenario("none", kind="none")
def objects():
    """Consumers, waiters and a barrier that is still filling, while main lives."""
    shop = Shop()
    for item in range(2):
        shop.shelf.put(item)
    shop.tills.acquire()
    says.holds(shop.tills, sure="likely")
    idle([
        Clerk("gets", "queue", "orders", shop.orders, shop.orders.get),
        Clerk("puts", "queue", "shelf", shop.shelf, lambda: shop.shelf.put(3)),
        Clerk("drains", "queue", "shelf", shop.shelf, shop.shelf.join),
        Clerk("hears", "queue", "news", shop.news, shop.news.get),
        Clerk("notified", "python_condition", "changed", shop.changed,
              lambda: notified(shop.changed)),
        Clerk("hopes", "python_condition", "changed", shop.changed, lambda: hopes(shop.changed)),
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
    says.waits("thread_exit", then=next(iter(workers._threads)).name)  # of a set
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
        says.thread("poll|ppoll")
        says.waits("io|pipe|process_exit", label="the child %s, pid %d" %
                   (os.path.basename(sys.executable), talker.pid))
        talker.communicate()

    # Both before the fork: a child forked meanwhile keeps the pipe open that Popen reads to its end.
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    talker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
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
        says.waits("file_lock", label="orders.db", timeout=True)
        sqlite3.connect(path, timeout=3600).execute("CREATE TABLE orders (id)")

    says.start(second, daemon=True)
    says.thread(SLEEPS)
    says.holds(kind="file_lock", sure="likely")
    says.waits("sleep", timeout=True)
    says.ready(2)
    while True:
        time.sleep(0.5)


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


def handle(semaphore):
    """Where the sem_t of one of multiprocessing's objects is mapped."""
    return semaphore._semlock.handle


def takes_block(lock):
    with lock:
        pass


@scenario("none", kind="none")
def process_locks():
    """multiprocessing's locks, held by a thread that sleeps, wanted by others."""
    guard, again = multiprocessing.Lock(), multiprocessing.RLock()

    def with_block():
        says.thread()
        says.waits("semlock", address=handle(guard), label="multiprocessing.Lock guard")
        with guard:
            pass

    def by_call():
        says.thread()
        says.waits("semlock", address=handle(guard), label="multiprocessing.Lock guard")
        guard.acquire()

    def recursive():
        says.thread()
        says.waits("semlock", address=handle(again), label="multiprocessing.RLock again")
        with again:
            pass

    with guard, again:
        says.start(with_block, by_call, recursive, daemon=True)
        says.thread(SLEEPS)
        says.holds(address=handle(guard))
        says.holds(address=handle(again), sure="proved")
        says.waits("sleep", timeout=True)
        says.ready(4)
        while True:
            time.sleep(0.5)


class Office:
    """What multiprocessing has of threading's, and its queues."""

    def __init__(self):
        self.changed = multiprocessing.Condition()
        self.opened = multiprocessing.Event()
        self.meeting = multiprocessing.Barrier(5)
        self.desks = multiprocessing.Semaphore(0)
        self.phones = multiprocessing.BoundedSemaphore(2)
        self.shelf = multiprocessing.Queue(maxsize=2)
        self.tasks = multiprocessing.JoinableQueue()
        self.post = multiprocessing.SimpleQueue()


@scenario("none", kind="none")
def process_objects():
    """multiprocessing's objects in one process, each waited for by a thread."""
    office = Office()
    for item in range(2):
        office.shelf.put(item)
        office.phones.acquire()
    office.tasks.put(1)

    def clerk(name, label, semaphore, wait):
        def run():
            says.thread()
            says.waits("semlock", address=handle(semaphore), label=label)
            wait()
        return threading.Thread(target=run, name=name, daemon=True)

    idle([
        clerk("notified", "multiprocessing.Condition Office.changed",
              office.changed._wait_semaphore, lambda: notified(office.changed)),
        clerk("hopes", "multiprocessing.Condition Office.changed",
              office.changed._wait_semaphore, lambda: hopes(office.changed)),
        clerk("opens", "multiprocessing.Event Office.opened",
              office.opened._cond._wait_semaphore, lambda: office.opened.wait()),
        clerk("meets", "multiprocessing.Barrier Office.meeting",
              office.meeting._cond._wait_semaphore, lambda: office.meeting.wait()),
        clerk("sits", "multiprocessing.Semaphore", office.desks, lambda: office.desks.acquire()),
        clerk("calls", "multiprocessing.BoundedSemaphore Office.phones", office.phones,
              lambda: takes_block(office.phones)),
        clerk("puts", "the size limit of multiprocessing.Queue Office.shelf", office.shelf._sem,
              lambda: office.shelf.put(3)),
        clerk("drains", "multiprocessing.JoinableQueue Office.tasks",
              office.tasks._cond._wait_semaphore, lambda: office.tasks.join()),
    ])


@scenario("none", kind="none")
def process_queue():
    """Two threads at an empty queue of processes: one reads its pipe, one waits for its turn."""
    jobs = multiprocessing.Queue()

    def first():
        says.thread("read")
        says.waits("queue", jobs, label="jobs")
        says.holds(address=handle(jobs._rlock))
        jobs.get()

    def second():
        says.thread()
        says.waits("semlock", address=handle(jobs._rlock),
                   label="the read lock of multiprocessing.Queue jobs")
        jobs.get()

    says.start(first, daemon=True)
    while not jobs._rlock._semlock._is_zero():
        time.sleep(0.001)
    says.start(second, daemon=True)
    says.thread(SLEEPS)
    says.waits("sleep", timeout=True)
    says.ready(3)
    while True:
        time.sleep(0.5)


@scenario("none", kind="inconclusive")
def lock_of_child():
    """A forked child holds a lock of multiprocessing's that its parent waits for: of the parent's
    core alone nothing follows about the holder."""
    fork = multiprocessing.get_context("fork")
    guard, taken = fork.Lock(), fork.Event()

    def child():
        with guard:
            taken.set()
            time.sleep(3600)

    def waiter():
        says.thread()
        says.waits("semlock", address=handle(guard), label="multiprocessing.Lock guard")
        with guard:
            pass

    fork.Process(target=child, daemon=True).start()
    taken.wait()
    says.start(waiter, daemon=True)
    says.thread(SLEEPS)
    says.waits("sleep", timeout=True)
    says.ready(2)
    while True:
        time.sleep(0.5)


@scenario("none", kind="none")
def logging_to_stderr():
    """The lock of logging's own handler, held for a while."""
    handler = logging.StreamHandler()
    log = logging.getLogger("shop")
    log.addHandler(handler)

    def second():
        says.thread()
        says.waits("python_rlock", handler.lock, label="logging.StreamHandler <stderr>")
        log.warning("second")

    handler.acquire()
    says.start(second, daemon=True)
    says.thread(SLEEPS)
    says.holds(handler.lock)
    says.waits("sleep", timeout=True)
    says.ready(2)
    while True:
        time.sleep(0.5)


@scenario("none", kind="none")
def logging_to_file():
    """The same of a file's handler."""
    handler = logging.FileHandler("orders.log")
    log = logging.getLogger("shop")
    log.addHandler(handler)

    def second():
        says.thread()
        says.waits("python_rlock", handler.lock, label="logging.FileHandler orders.log")
        log.warning("second")

    handler.acquire()
    says.start(second, daemon=True)
    says.thread(SLEEPS)
    says.holds(handler.lock)
    says.waits("sleep", timeout=True)
    says.ready(2)
    while True:
        time.sleep(0.5)


@scenario("self-deadlock")
def lru_cache_recursion():
    """functools.lru_cache has no lock of its own: what recurs through it meets the program's."""
    import functools
    prices = threading.Lock()

    @functools.lru_cache(maxsize=None)
    def price(depth):
        if depth == 0:
            says.waits("python_lock", prices, label="prices")
            says.ready(1)
        with prices:  # mark: price
            return 1 if depth == 0 else price(depth - 1)

    says.thread()
    says.holds(prices)
    price(1)


@scenario("none", kind="none")
def python_exit():
    """Main has ended, and waits at exit for a worker of a pool that is busy."""
    workers = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="last")

    def last():
        says.thread(SLEEPS)
        says.waits("sleep", timeout=True)
        while True:
            time.sleep(0.5)

    workers.submit(last)
    says.until(1)
    says.thread()
    says.waits("thread_exit", then="last_0")
    says.ready(2)


@scenario("none", kind="none")
def shared_names():
    """One lock with several names, and locks that are only reached through containers."""
    class Account:
        lock = till_lock

    account, drawers = Account(), [threading.Lock(), threading.Lock()]
    by_city = {"Bonn": threading.Lock()}

    def clerk(name, lock, labels, takes):
        def run():
            says.thread()
            for label in labels:
                says.waits("python_lock", lock, label=label)
            takes()
        return threading.Thread(target=run, name=name, daemon=True)

    with till_lock, drawers[1], by_city["Bonn"]:
        for lock in (till_lock, drawers[1], by_city["Bonn"]):
            says.holds(lock)
        idle([
            clerk("by class", till_lock, ("Account.lock", "till_lock"),
                  lambda: takes_block(account.lock)),
            clerk("by place", drawers[1], ("drawers[1]",), lambda: takes_block(drawers[1])),
            clerk("by key", by_city["Bonn"], ("by_city[...]",),
                  lambda: takes_block(by_city["Bonn"])),
        ])


@scenario("blocked-holder", kind="hang", least="silent")
def full_pipe():
    """One thread writes to a pipe that nobody reads; another to the same buffered file."""
    read_end, write_end = os.pipe()
    out = os.fdopen(write_end, "wb", buffering=4096)

    def first():
        says.thread("write")
        says.waits("pipe|io", label="")
        out.write(bytes(1 << 20))

    def second():
        says.thread()
        says.waits("python_lock", out, label="io.BufferedWriter")
        out.write(b"x")

    one, = says.start(first)
    while not out_is_busy(one):
        time.sleep(0.001)
    two, = says.start(second)
    says.holds(out, thread="first", sure="proved")
    says.thread()
    says.waits("thread_exit", then="first")
    says.ready(3)
    one.join()


def out_is_busy(thread):
    """The thread is in the kernel's write()."""
    tids = [int(tid) for tid in os.listdir("/proc/self/task") if int(tid) != says.gettid()]
    for tid in tids:
        with open("/proc/self/task/%d/syscall" % tid) as file:
            if file.read().startswith("1 "):
                return True
    return not thread.is_alive()


till_lock = threading.Lock()


if __name__ == "__main__":
    says.run()
