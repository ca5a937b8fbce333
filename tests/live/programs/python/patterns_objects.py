"""Scenarios of patterns of the standard library's objects, and their healthy twins."""
import concurrent.futures
import importlib
import os
import queue
import sys
import threading
import time

import says
from says import scenario

SLEEPS = "pselect6|select|clock_nanosleep|nanosleep"


def pool(workers, prefix="render"):
    return concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix=prefix)


# Pools


class Report:
    """Tasks of a pool that wait for tasks of the same pool."""

    def __init__(self, workers, tasks):
        self.workers = pool(workers)
        self.all_in = threading.Barrier(tasks)

    def page(self):
        self.all_in.wait()
        says.thread()
        picture = self.workers.submit(self.picture)
        says.waits("future", picture, label="picture")
        return picture.result()  # mark: page

    @staticmethod
    def picture():
        return "a picture"


@scenario("pool-starvation")
def nested_submit():
    """Both workers wait for work that stands in the queue of their own pool."""
    report = Report(2, 2)
    pages = [report.workers.submit(report.page) for _ in range(2)]
    says.site("render_0", "page", "page")
    says.site("render_1", "page", "page")
    says.thread()
    says.waits("future", pages[0], label="page")
    says.ready(3)
    pages[0].result()


@scenario("pool-starvation")
def nested_submit_alone():
    """A pool with one worker, which waits for the pool; main waits for all in as_completed."""
    report = Report(1, 1)
    pages = [report.workers.submit(report.page)]
    says.thread()
    says.waits("future", pages[0], label="page")
    says.ready(2)
    for _ in concurrent.futures.as_completed(pages):
        pass


@scenario("pool-starvation")
def starved_by_map():
    """A task maps over the pool that it runs in, and main waits in wait()."""
    workers = pool(1, "map")

    def rows():
        says.thread()
        says.waits("future", label="str")
        return list(workers.map(str, range(3)))

    done = workers.submit(rows)
    says.thread()
    says.waits("future", done, label="rows")
    says.ready(2)
    concurrent.futures.wait([done])


@scenario("pool-starvation")
def two_pools():
    """Each pool's only worker waits for work that stands in the other's queue."""
    left, right = pool(1, "left"), pool(1, "right")
    both = threading.Barrier(2)

    def ask(other):
        both.wait()
        says.thread()
        answer = other.submit(len, "x")
        says.waits("future", answer, label="len")
        return answer.result()

    first, second = left.submit(ask, right), right.submit(ask, left)
    says.thread()
    says.waits("future", label="ask")
    says.ready(3)
    concurrent.futures.wait([first, second])


@scenario("pool-starvation")
def futures_cross():
    """Two tasks wait for each other's results, though the pool has idle workers."""
    workers = pool(4, "cross")
    futures = {}
    both = threading.Barrier(3)

    def wait_for(name):
        both.wait()
        says.thread()
        says.waits("future", futures[name], label="wait_for")
        return futures[name].result()

    futures["first"] = workers.submit(wait_for, "second")
    futures["second"] = workers.submit(wait_for, "first")
    both.wait()
    says.thread()
    says.waits("future", futures["first"], label="wait_for")
    says.ready(3)
    futures["first"].result()


@scenario("none", kind="none")
def idle_pool():
    """Healthy: workers without work, while main sleeps between rounds."""
    workers = pool(3, "idle")
    here = threading.Barrier(4)

    def greet():
        says.thread()
        says.waits("queue", workers, label="workers")
        here.wait()

    for _ in range(3):
        workers.submit(greet)
    here.wait()
    says.thread(SLEEPS)
    says.waits("sleep", timeout=True)
    says.ready(4)
    while True:
        time.sleep(3600)


@scenario("none", kind="none")
def busy_pool():
    """Healthy: one worker waits for work of its own pool, which the other will do when it wakes."""
    workers = pool(2, "busy")

    def long_one():
        says.thread(SLEEPS)
        says.waits("sleep", timeout=True)
        while True:
            time.sleep(3600)

    def outer():
        says.thread()
        inner = workers.submit(str)
        says.waits("future", inner, label="str")
        return inner.result()

    workers.submit(long_one)
    done = workers.submit(outer)
    says.thread()
    says.waits("future", done, label="outer")
    says.ready(3)
    done.result()


# Signals that nobody gives


class Line:
    """A producer that ends too early, and the thread that waits for it."""

    def __init__(self):
        self.opened = threading.Event()
        self.changed = threading.Condition()
        self.orders = queue.Queue()
        self.start = threading.Barrier(3)


def ended(function, name):
    thread = threading.Thread(target=function, name=name)
    thread.start()
    thread.join()
    return thread


def wait_for(thread):
    """Main joins the one that waits."""
    says.thread()
    says.waits("thread_exit", then=thread.name)
    says.ready(2)
    thread.join()


@scenario("lost-wakeup", kind="hang")
def event_nobody_sets():
    """The thread that should have set the event has ended without doing so."""
    line = Line()

    def waiter():
        says.thread()
        says.waits("python_condition", line.opened, label="opened")
        line.opened.wait()  # mark: event

    gone = ended(lambda: None, "opener")
    says.site("waiter", "waiter", "event")
    thread, = says.start(waiter)
    wait_for(thread)
    return gone


@scenario("lost-wakeup", kind="hang")
def notifier_ended():
    """It was notified before it waited: nobody will do it again."""
    line = Line()

    def notify():
        with line.changed:
            line.changed.notify()

    def waiter():
        says.thread()
        says.waits("python_condition", line.changed, label="changed")
        with line.changed:
            line.changed.wait()  # mark: condition

    gone = ended(notify, "notifier")
    says.site("waiter", "waiter", "condition")
    thread, = says.start(waiter)
    wait_for(thread)
    return gone


class Producer(threading.Thread):
    def __init__(self, orders):
        super().__init__(name="producer")
        self.orders = orders

    def run(self):
        self.orders.put("the only order")


@scenario("lost-wakeup", kind="hang")
def producer_ended():
    """A consumer waits for more than the producer has put, without a sentinel."""
    line = Line()

    def consumer():
        line.orders.get()
        says.thread()
        says.waits("queue", line.orders, label="orders")
        line.orders.get()  # mark: consume

    producer = Producer(line.orders)
    producer.start()
    producer.join()
    says.site("consumer", "consumer", "consume")
    thread, = says.start(consumer)
    wait_for(thread)


@scenario("lost-wakeup", kind="hang")
def main_consumes_alone():
    """The only thread that is left waits for an item."""
    line = Line()
    producer = Producer(line.orders)
    producer.start()
    producer.join()
    line.orders.get()
    says.thread()
    says.waits("queue", line.orders, label="orders")
    says.ready(1)
    line.orders.get()


@scenario("lost-wakeup", kind="hang")
def barrier_one_short():
    """Two of three come to the barrier; the third has ended on its way."""
    line = Line()

    def first():
        says.thread()
        says.waits("barrier", line.start, label="start")
        line.start.wait()

    def second():
        says.thread()
        says.waits("barrier", line.start, label="start")
        line.start.wait()

    gone = ended(lambda: None, "third")
    threads = says.start(first, second)
    says.thread()
    says.waits("thread_exit", then="first")
    says.ready(3)
    threads[0].join()
    return gone


@scenario("lost-wakeup", kind="hang")
def items_never_done():
    """Main waits until all items are done, and the worker that took one has ended without that."""
    line = Line()
    line.orders.put("order")
    gone = ended(line.orders.get, "worker")
    says.thread()
    says.waits("queue", line.orders, label="orders")
    says.ready(1)
    line.orders.join()
    return gone


@scenario("lost-wakeup", kind="hang")
def result_nobody_gives():
    """A future made by hand, which nobody fills; the pool beside it idles."""
    workers = pool(1, "beside")
    workers.submit(len, "x").result()
    answer = concurrent.futures.Future()
    says.thread()
    says.waits("future", answer, label="answer")
    says.ready(1)
    answer.result()


@scenario("none", kind="none")
def parked_main():
    """Healthy: main waits for an event that a handler for a signal sets; its workers idle."""
    line = Line()

    def consumer():
        says.thread()
        says.waits("queue", line.orders, label="orders")
        line.orders.get()

    says.start(consumer, daemon=True)
    says.thread()
    says.waits("python_condition", line.opened, label="opened")
    says.ready(2)
    line.opened.wait()


@scenario("none", kind="none")
def filling_barrier():
    """Healthy: the third party is still on its way."""
    line = Line()

    def early():
        says.thread()
        says.waits("barrier", line.start, label="start")
        line.start.wait()

    def late():
        says.thread(SLEEPS)
        says.waits("sleep", timeout=True)
        while True:
            time.sleep(3600)

    threads = says.start(early, late)
    says.thread()
    says.waits("thread_exit", then="early")
    says.ready(3)
    threads[0].join()


# Imports


def new_module(name, body):
    """A module beside the core, with `says` in it; `patterns` is this file."""
    with open(name + ".py", "w") as source:
        source.write("import says\npatterns = says.sys.modules['__main__']\n" + body)
    sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()


def module_lock(name):
    """That of a module which is being imported; its owner is recorded in it."""
    return importlib._bootstrap._module_locks[name]()


def imports(name):
    """Said in a module's body, by the thread that imports it."""
    says.holds(module_lock(name), sure="proved")


def import_it(name, label, other=None):
    says.thread()
    says.waits("import_lock", module_lock(name), label=label)
    if other is not None:
        other.wait()
    importlib.import_module(name)


@scenario("import-lock-cycle")
def import_joins_importer():
    """A module starts a thread while it is imported and joins it; the thread imports the module."""
    new_module("plugin", """
patterns.imports("plugin")

def load():
    patterns.import_it("plugin", "plugin")

loader, = says.start(load)
says.thread()
says.waits("thread_exit", then="load")
says.ready(2)
loader.join()
""")
    importlib.import_module("plugin")


@scenario("import-lock-cycle")
def import_under_lock():
    """One thread imports under a lock that the module takes while another imports it."""
    new_module("settings", """
patterns.imports("settings")
with patterns.registry_lock:
    values = {}
""")
    taken, met = threading.Event(), threading.Event()

    def reader():
        with registry_lock:
            says.holds(registry_lock)
            taken.set()
            in_body.wait()
            import_it("settings", "settings", met)

    def importer():
        taken.wait()
        says.thread()
        says.waits("python_lock", registry_lock, label="registry_lock")
        in_body.set()
        met.set()
        importlib.import_module("settings")

    threads = says.start(reader)
    importer_thread, = says.start(importer)
    # The importer has to be in the module's body, at the lock, before the reader imports it.
    while "settings" not in sys.modules:
        time.sleep(0.001)
    says.thread()
    says.waits("thread_exit", then="reader")
    says.ready(3)
    threads[0].join()
    importer_thread.join()


@scenario("import-lock-cycle")
def import_waits_for_result():
    """A module waits while it is imported for a task of a pool that imports the module."""
    new_module("catalogue", """
import concurrent.futures
patterns.imports("catalogue")

workers = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="catalogue")
says.thread()
entries = workers.submit(patterns.import_it, "catalogue", "catalogue")
says.waits("future", entries, label="import_it")
says.ready(2)
entries.result()
""")
    importlib.import_module("catalogue")


@scenario("none", kind="none")
def slow_import():
    """Healthy: a thread waits for an import that takes its time in another."""
    new_module("large", """
import time
patterns.imports("large")
says.start(patterns.import_large, daemon=True)
says.thread(patterns.SLEEPS)
says.waits("sleep", timeout=True)
says.ready(2)
while True:
    time.sleep(0.5)
""")
    importlib.import_module("large")


def import_large():
    import_it("large", "large")


registry_lock = threading.Lock()
in_body = threading.Event()


if __name__ == "__main__":
    says.run()
