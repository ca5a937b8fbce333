"""Scenarios of whole patterns and of their healthy twins; those with extensions: natives.py."""
import ctypes
import gc
import logging
import os
import queue
import signal
import socket
import threading
import time
import weakref

import says
from says import scenario

SLEEPS = "select|pselect6|clock_nanosleep|nanosleep"
libc = ctypes.CDLL(None)


def new_mutex():
    """A pthread_mutex_t of the default kind."""
    mutex = ctypes.create_string_buffer(40)
    libc.pthread_mutex_init(mutex, None)
    return mutex


class Account:
    def __init__(self):
        self.lock = threading.Lock()
        self.entries = [Entry(self)]


class Entry:
    """Takes its account's lock when it goes away."""

    def __init__(self, account):
        self.account = account

    def __del__(self):
        says.waits("python_lock", self.account.lock, label="lock")
        with self.account.lock:  # mark: __del__
            pass


@scenario("lock-cycle")
def three_parties():
    """A ring of three threads: a Lock, an RLock and a native mutex."""
    ledger, archive, table = threading.Lock(), threading.RLock(), new_mutex()
    address = ctypes.addressof(table)
    all_hold = threading.Barrier(3)

    def write():
        with ledger:
            says.holds(ledger)
            all_hold.wait()
            says.thread()
            says.waits("mutex", address=address)
            libc.pthread_mutex_lock(table)  # mark: write

    def index():
        libc.pthread_mutex_lock(table)
        says.holds(address=address, kind="mutex")
        all_hold.wait()
        says.thread()
        says.waits("python_rlock", archive)
        with archive:  # mark: index
            pass

    def store():
        with archive:
            says.holds(archive)
            all_hold.wait()
            says.thread()
            says.waits("python_lock", ledger)
            with ledger:  # mark: store
                pass

    threads = says.start(write, index, store)
    for name in ("write", "index", "store"):
        says.site(name, name, name)
    says.thread()
    says.waits("thread_exit", then="write")
    says.ready(4)
    threads[0].join()


@scenario("lock-cycle")
def python_and_native():
    """A ring of two: a Lock of Python's and a mutex of a library's."""
    guard, table = threading.Lock(), new_mutex()
    address = ctypes.addressof(table)
    both_hold = threading.Barrier(2)

    def load():
        with guard:
            says.holds(guard)
            both_hold.wait()
            says.thread()
            says.waits("mutex", address=address)
            libc.pthread_mutex_lock(table)  # mark: load

    def flush():
        libc.pthread_mutex_lock(table)
        says.holds(address=address, kind="mutex")
        both_hold.wait()
        says.thread()
        says.waits("python_lock", guard)
        with guard:  # mark: flush
            pass

    threads = says.start(load, flush)
    for name in ("load", "flush"):
        says.site(name, name, name)
    says.thread()
    says.waits("thread_exit", then="load")
    says.ready(3)
    threads[0].join()


@scenario("lock-cycle")
def philosophers():
    """A ring of five: each has the fork on the left and wants the one on the right."""
    forks = [threading.Lock() for _ in range(5)]
    all_hold = threading.Barrier(5)

    def dine(seat):
        left, right = forks[seat], forks[(seat + 1) % 5]
        with left:
            says.holds(left)
            all_hold.wait()
            says.thread(name="seat-%d" % seat)
            says.waits("python_lock", right)
            with right:  # mark: dine
                pass

    threads = [threading.Thread(target=dine, args=(seat,), name="seat-%d" % seat)
               for seat in range(5)]
    for thread in threads:
        thread.start()
    for seat in range(5):
        says.site("seat-%d" % seat, "dine", "dine")
    says.thread()
    says.waits("thread_exit", then="seat-0")
    says.ready(6)
    threads[0].join()


@scenario("none", kind="none")
def same_order():
    """Healthy: three threads want two locks in the same order; the first has both and computes."""
    first, second = threading.Lock(), threading.RLock()
    taken = threading.Event()

    def compute():
        with first:
            with second:
                says.holds(first)
                says.holds(second)
                says.thread(settles="")
                taken.set()
                while True:
                    pass

    def wait():
        says.thread()
        says.waits("python_lock", first)
        with first:
            with second:
                pass

    (computer,) = says.start(compute)
    taken.wait()
    for number in range(2):
        threading.Thread(target=wait, name="wait-%d" % number).start()
    says.thread()
    says.waits("thread_exit", then="compute")
    says.ready(4)
    computer.join()


@scenario("self-deadlock")
def lock_twice():
    """A function that takes the lock calls another one that does."""
    account = Account()

    def balance():
        says.waits("python_lock", account.lock)
        says.ready(1)
        with account.lock:  # mark: balance
            return 0

    says.thread()
    says.site("MainThread", "balance", "balance")
    with account.lock:
        says.holds(account.lock)
        balance()


@scenario("self-deadlock")
def through_gc():
    """The collector, run by an allocation under the lock, runs a __del__ that takes it."""
    gc.disable()
    account = Account()
    circle = [Entry(account)]
    circle.append(circle)
    del circle  # only the collector can free it
    says.thread()
    says.site("MainThread", "__del__", "__del__")
    with account.lock:
        says.holds(account.lock)
        says.ready(1)
        gc.enable()
        rows = []
        while True:
            rows.append([])


@scenario("self-deadlock")
def through_signal_handler():
    """A handler of Python's takes the lock that the interrupted code holds."""
    settings = threading.Lock()

    def reload(number, frame):
        says.waits("python_lock", settings)
        with settings:  # mark: reload
            pass

    signal.signal(signal.SIGUSR1, reload)
    says.thread()
    says.site("MainThread", "reload", "reload")
    with settings:
        says.holds(settings)
        says.ready(1)
        os.kill(os.getpid(), signal.SIGUSR1)
        while True:
            time.sleep(0.01)


@scenario("self-deadlock")
def through_last_reference():
    """The last reference goes under the lock, and the __del__ takes it."""
    account = Account()
    says.thread()
    says.site("MainThread", "__del__", "__del__")
    with account.lock:
        says.holds(account.lock)
        says.ready(1)
        account.entries.clear()


class Forward(logging.Handler):
    """Guards its connection with a lock of its own, and logs while it sends."""

    def __init__(self):
        super().__init__()
        self.guard = threading.Lock()

    def emit(self, record):
        if record.name == "net":
            says.waits("python_lock", self.guard, label="guard")
            says.ready(1)
        with self.guard:  # mark: emit
            says.holds(self.guard)
            logging.getLogger("net").warning("slow")


@scenario("self-deadlock")
def through_logging():
    """A handler logs while it emits, under a lock of its own."""
    logging.getLogger().addHandler(Forward())
    says.thread()
    says.site("MainThread", "emit", "emit")
    logging.getLogger("app").warning("started")


class Order:
    """Makes objects while it is compared, and so runs the collector inside a queue's methods."""

    def __lt__(self, other):
        gc.enable()
        rows = []
        while True:
            rows.append([])


@scenario("self-deadlock")
def through_queue():
    """A __del__ puts into the queue into which its thread is putting."""
    gc.disable()
    orders = queue.PriorityQueue()
    orders.put(Order())

    class Session:
        def __init__(self):
            self.me = self  # only the collector can free it

        def __del__(self):
            says.waits("python_lock", orders.mutex)
            says.ready(1)
            orders.put("closed")  # mark: session

    Session()
    says.thread()
    says.site("MainThread", "__del__", "session")
    says.holds(orders.mutex)
    orders.put(Order())


@scenario("self-deadlock")
def through_weakref():
    """A weak reference's callback takes the lock under which its object went away."""
    account = Account()
    account.entries[0] = type("Row", (), {})()
    cache = {}

    def evict(reference):
        says.waits("python_lock", account.lock)
        with account.lock:  # mark: evict
            cache.pop(reference)

    cache[weakref.ref(account.entries[0], evict)] = "row"
    says.thread()
    says.site("MainThread", "evict", "evict")
    with account.lock:
        says.holds(account.lock)
        says.ready(1)
        account.entries.clear()


@scenario("none", kind="none")
def rlock_twice():
    """Healthy: an RLock may be taken again; the thread computes."""
    guard = threading.RLock()
    says.thread(settles="")
    with guard:
        with guard:
            says.holds(guard)
            says.ready(1)
            while True:
                pass


@scenario("join-cycle")
def join_each_other():
    """Two threads join each other."""
    threads = []
    started = threading.Barrier(3)

    def left():
        started.wait()
        says.thread()
        says.waits("thread_exit", then="right")
        threads[1].join()  # mark: left

    def right():
        started.wait()
        says.thread()
        says.waits("thread_exit", then="left")
        threads[0].join()  # mark: right

    threads += says.start(left, right)
    says.site("left", "left", "left")
    says.site("right", "right", "right")
    started.wait()
    says.thread()
    says.waits("thread_exit", then="left")
    says.ready(3)
    threads[0].join()


@scenario("join-cycle")
def join_under_lock():
    """Main joins a worker under the lock that the worker needs to end."""
    guard = threading.Lock()

    def work():
        says.thread()
        says.waits("python_lock", guard)
        with guard:  # mark: work
            pass

    says.thread()
    says.waits("thread_exit", then="work")
    says.site("work", "work", "work")
    says.site("MainThread", "join_under_lock", "join")
    with guard:
        says.holds(guard)
        (worker,) = says.start(work)
        says.ready(2)
        worker.join()  # mark: join


@scenario("none", kind="none")
def join_a_busy_one():
    """Healthy: main joins a worker that computes, under a lock that nobody else wants."""
    guard = threading.Lock()

    def work():
        says.thread(settles="")
        while True:
            pass

    says.thread()
    says.waits("thread_exit", then="work")
    with guard:
        says.holds(guard)
        (worker,) = says.start(work)
        says.ready(2)
        worker.join()


@scenario("lock-convoy", kind="none")
def convoy():
    """Four threads wait for a lock whose holder computes."""
    guard = threading.Lock()
    held = threading.Event()

    def compute():
        with guard:
            says.holds(guard)
            says.thread(settles="")
            held.set()
            while True:
                pass

    def wait():
        says.thread(name=threading.current_thread().name)
        says.waits("python_lock", guard)
        with guard:
            pass

    (holder,) = says.start(compute)
    held.wait()
    for number in range(4):
        threading.Thread(target=wait, name="wait-%d" % number).start()
    says.thread()
    says.waits("thread_exit", then="compute")
    says.ready(6)
    holder.join()


def connect_to_nobody():
    """A connection that nobody accepts, and so nobody answers."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    return listener, socket.create_connection(listener.getsockname())


@scenario("blocked-holder", kind="hang")
def lone_recv():
    """The only thread waits for an answer without a timeout."""
    _, connection = connect_to_nobody()
    says.thread(settles="recvfrom")
    says.waits("socket|io")
    says.site("MainThread", "lone_recv", "lone_recv")
    says.ready(1)
    connection.recv(100)  # mark: lone_recv


@scenario("blocked-holder", kind="hang")
def recv_under_lock():
    """A thread waits for an answer under a lock that two others want."""
    guard = threading.Lock()
    held = threading.Event()
    _, connection = connect_to_nobody()

    def fetch():
        with guard:
            says.holds(guard)
            held.set()
            says.thread(settles="recvfrom")
            says.waits("socket|io")
            connection.recv(100)  # mark: fetch

    def show():
        says.thread()
        says.waits("python_lock", guard)
        with guard:  # mark: show
            pass

    def save():
        says.thread()
        says.waits("python_lock", guard)
        with guard:  # mark: save
            pass

    (fetcher,) = says.start(fetch)
    held.wait()
    says.start(show, save)
    for name in ("fetch", "show", "save"):
        says.site(name, name, name)
    says.thread()
    says.waits("thread_exit", then="fetch")
    says.ready(4)
    fetcher.join()


@scenario("none", kind="none")
def server():
    """Healthy: a server waits for connections, its helper for work to do now and then."""
    stop = threading.Event()

    def clean_up():
        says.thread()
        says.waits("python_condition", stop, timeout=True)
        stop.wait(3600)

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(5)
    says.start(clean_up)
    says.thread(settles="accept|accept4")
    says.ready(2)
    listener.accept()


@scenario("none", kind="none")
def prompt():
    """Healthy: an interactive program waits for a person."""
    master, terminal = os.openpty()
    os.dup2(terminal, 0)
    os.close(terminal)
    says.thread(settles="read")
    says.ready(1)
    input()
    os.close(master)


@scenario("none", kind="none")
def timers():
    """Healthy: timers that have not expired, and a thread that sleeps between rounds."""
    def poll():
        says.thread(settles=SLEEPS)
        time.sleep(3600)

    def never():
        raise AssertionError

    timer = threading.Timer(3600, never)
    timer.start()
    says.start(poll)
    says.thread()
    says.waits("thread_exit", then="")
    says.ready(2)
    timer.join()


@scenario("none", kind="none")
def taking_turns():
    """Healthy: threads that compute and take turns with the GIL and with a lock."""
    guard = threading.Lock()
    counts = [0] * 4

    def count(number):
        says.thread(settles="", name="count-%d" % number)
        while True:
            with guard:
                counts[number] += 1

    threads = [threading.Thread(target=count, args=(number,), name="count-%d" % number)
               for number in range(4)]
    for thread in threads:
        thread.start()
    says.thread()
    says.waits("thread_exit", then="count-0")
    says.ready(5)
    threads[0].join()


@scenario("none", kind="none")
def collecting():
    """Healthy: objects with __del__ go away all the time, by the collector and otherwise."""
    guard = threading.Lock()
    gone = []

    class Row:
        def __init__(self):
            self.me = self

        def __del__(self):
            with guard:
                gone[:] = [1]

    says.thread(settles="")
    says.ready(1)
    while True:
        Row()
        if len(gone) > 10000:
            gc.collect()


if __name__ == "__main__":
    says.run()
