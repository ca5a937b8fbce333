"""Scenarios of patterns of the standard library's objects, and their healthy twins."""
import concurrent.futures
import queue
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


if __name__ == "__main__":
    says.run()
