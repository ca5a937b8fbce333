"""Scenarios of the synchronisation objects: one thread for each kind of wait, nothing wrong."""
import queue
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


if __name__ == "__main__":
    says.run()
