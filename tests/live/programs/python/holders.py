"""Scenarios of who holds a lock that records no owner: every way to take one, and what only looks
like it. In most of them `keeper` has taken `wanted` in the way that the scenario's name tells and
waits for `other`; `waiter` has `other` and waits for `wanted`."""
import contextlib
import multiprocessing
import os
import threading
import time

import says
from says import scenario


def crosswise(take, sure="very_likely", wanted=None, kind="python_lock"):
    """`take(wanted, inside)` has to call `inside` with the lock taken."""
    wanted = wanted or threading.Lock()
    other = threading.Lock()
    both = threading.Barrier(2)

    def inside():
        says.holds(wanted, sure=sure)
        both.wait()
        says.thread()
        says.waits("python_lock", other)
        with other:
            print("both")

    def keeper():
        take(wanted, inside)

    def waiter():
        with other:
            says.holds(other)
            both.wait()
            says.thread()
            says.waits(kind, wanted)
            with wanted:
                print("both")

    first, second = says.start(keeper, waiter)
    says.thread()
    says.waits("thread_exit", then="keeper")
    says.ready(3)
    first.join()
    second.join()


# ---- with blocks through managers


@contextlib.contextmanager
def locked(lock):
    with lock:
        yield lock


@contextlib.contextmanager
def twice(lock):
    with contextlib.suppress(KeyError), locked(lock):
        yield lock


@contextlib.contextmanager
def by_hand(lock):
    lock.acquire()
    try:
        yield lock
    finally:
        lock.release()


class Gate:
    """Takes its attribute's lock."""

    def __init__(self, lock):
        self._lock = lock

    def __enter__(self):
        self._lock.acquire()
        return self

    def __exit__(self, *error):
        self._lock.release()


class Narrow:
    """The same with slots, and through methods of its own."""
    __slots__ = ("name", "guard")

    def __init__(self, lock):
        self.name = "narrow"
        self.guard = lock

    def acquire(self):
        return self.guard.acquire()

    def release(self):
        self.guard.release()

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *error):
        self.release()


class Wide(Gate):
    def __enter__(self):
        super().__enter__()
        return "wide"


class Stacked:
    """Keeps an ExitStack as long as it is open."""

    def __init__(self, lock):
        self._lock = lock
        self._stack = None

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(self._lock)
        return self

    def __exit__(self, *error):
        self._stack.close()


@scenario("lock-cycle")
def nested_blocks():
    def take(lock, inside):
        with threading.Lock(), lock, contextlib.suppress(KeyError):
            inside()
    crosswise(take)


@scenario("lock-cycle")
def context_manager():
    def take(lock, inside):
        with locked(lock):
            inside()
    crosswise(take)


@scenario("lock-cycle")
def context_manager_in_another():
    def take(lock, inside):
        with twice(lock):
            inside()
    crosswise(take)


@scenario("lock-cycle")
def context_manager_by_hand():
    def take(lock, inside):
        with by_hand(lock):
            inside()
    crosswise(take, sure="likely")


@scenario("lock-cycle")
def exit_stack():
    def take(lock, inside):
        with contextlib.ExitStack() as stack:
            stack.enter_context(threading.Lock())
            stack.enter_context(lock)
            inside()
    crosswise(take)


@scenario("lock-cycle")
def exit_stack_of_managers():
    def take(lock, inside):
        with contextlib.ExitStack() as stack:
            stack.enter_context(locked(lock))
            inside()
    crosswise(take)


@scenario("lock-cycle")
def exit_stack_callback():
    def take(lock, inside):
        with contextlib.ExitStack() as stack:
            lock.acquire()
            stack.callback(lock.release)
            inside()
    crosswise(take)


@scenario("lock-cycle")
def class_of_its_own():
    def take(lock, inside):
        with Gate(lock):
            inside()
    crosswise(take)


@scenario("lock-cycle")
def class_with_slots():
    def take(lock, inside):
        with Narrow(lock) as narrow:
            inside()
            print(narrow)
    crosswise(take)


@scenario("lock-cycle")
def class_with_a_base():
    def take(lock, inside):
        with Wide(lock):
            inside()
    crosswise(take)


@scenario("lock-cycle")
def class_with_a_stack():
    def take(lock, inside):
        with Stacked(lock):
            inside()
    crosswise(take)


@scenario("lock-cycle")
def condition_of_the_lock():
    def take(lock, inside):
        with threading.Condition(lock):
            inside()
    crosswise(take)


# ---- generators


def rows(lock):
    with lock:
        for number in range(10):
            yield number


def delegated(lock):
    yield from rows(lock)


@scenario("lock-cycle")
def generator_in_a_loop():
    def take(lock, inside):
        for _ in rows(lock):
            inside()
    crosswise(take)


@scenario("lock-cycle")
def generator_in_nested_loops():
    def take(lock, inside):
        for _ in range(3):
            with contextlib.suppress(KeyError):
                for _ in delegated(lock):
                    inside()
    crosswise(take)


@scenario("lock-cycle")
def generator_in_a_local():
    def take(lock, inside):
        numbers = rows(lock)
        next(numbers)
        inside()
        numbers.close()
    crosswise(take, sure="likely")


STRAYS = []


@scenario("none", kind="none", least="weaker")
def generator_of_nobody():
    """The lock is held by a generator that lies in a list; no thread goes on with it."""
    lock = threading.Lock()
    STRAYS.append(rows(lock))
    next(STRAYS[0])

    def waiter():
        says.thread()
        says.waits("python_lock", lock)
        with lock:
            print("never")

    first, = says.start(waiter)
    says.thread()
    says.waits("thread_exit", then="waiter")
    says.ready(2)
    first.join()


# ---- acquire() by hand


@scenario("lock-cycle")
def acquire_and_finally():
    def take(lock, inside):
        lock.acquire()
        try:
            inside()
        finally:
            lock.release()
    crosswise(take, sure="likely")


@scenario("lock-cycle")
def acquire_alone():
    def take(lock, inside):
        lock.acquire()
        inside()
        lock.release()
    crosswise(take, sure="likely")


@scenario("lock-cycle")
def acquire_through_methods():
    def take(lock, inside):
        narrow = Narrow(lock)
        narrow.acquire()
        inside()
        narrow.release()
    crosswise(take, sure="likely")


@scenario("lock-cycle")
def acquire_with_timeout():
    def take(lock, inside):
        while not lock.acquire(timeout=0.5):
            print("again")
        inside()
        lock.release()
    crosswise(take, sure="likely")


@scenario("lock-cycle")
def acquire_with_answer():
    def take(lock, inside):
        done = lock.acquire(True, 30)
        if not done:
            raise TimeoutError
        inside()
        lock.release()
    crosswise(take, sure="likely")


# ---- permits, and locks of several processes


@scenario("lock-cycle", least="weaker")
def bounded_semaphore():
    """Of one: anybody may give it back, so this is never sure."""
    def take(lock, inside):
        with lock:
            inside()
    crosswise(take, sure="likely", wanted=threading.BoundedSemaphore(1),
              kind="semaphore|python_condition")


@scenario("lock-cycle", least="weaker")
def last_permits():
    """Of two, each with one that wants another: no ring of one waits for itself."""
    permits = threading.BoundedSemaphore(2)
    both = threading.Barrier(2)

    def keep():
        with permits:
            says.holds(permits, sure="likely")
            both.wait()
            says.thread()
            says.waits("semaphore|python_condition", permits)
            with permits:
                print("both")

    def keeper():
        keep()

    def waiter():
        keep()

    first, second = says.start(keeper, waiter)
    says.thread()
    says.waits("thread_exit", then="keeper")
    says.ready(3)
    first.join()
    second.join()


@scenario("lock-cycle", least="silent")
def semaphore_of_unknown_size():
    def take(lock, inside):
        with lock:
            inside()
    crosswise(take, sure="hypothesis", wanted=threading.Semaphore(1),
              kind="semaphore|python_condition")


@scenario("lock-cycle")
def shared_lock():
    """multiprocessing's, whose semaphore lies elsewhere than the object."""
    lock = multiprocessing.get_context("fork").Lock()
    at = lock._semlock.handle
    other = threading.Lock()
    both = threading.Barrier(2)

    def keeper():
        with lock:
            says.holds(address=at, kind="semlock", sure="very_likely")
            both.wait()
            says.thread()
            says.waits("python_lock", other)
            with other:
                print("both")

    def waiter():
        with other:
            says.holds(other)
            both.wait()
            says.thread()
            says.waits("semlock", address=at)
            with lock:
                print("both")

    first, second = says.start(keeper, waiter)
    says.thread()
    says.waits("thread_exit", then="keeper")
    says.ready(3)
    first.join()
    second.join()


# ---- what only looks like it


class Stage:
    """Threads that rest in a read, and one that waits for the lock."""

    def __init__(self):
        self.lock = threading.Lock()
        self.reading, self.writing = os.pipe()

    def rest(self, kind="io|pipe"):
        says.thread("read")
        says.waits(kind)
        os.read(self.reading, 1)

    def run(self, expects, *functions):
        """Each begins when the one before has said what it is."""
        threads = []
        for function in functions + (self.waiter,):
            threads += says.start(function, daemon=True)
            says.until(len(threads))
        says.thread()
        says.waits("thread_exit", then="waiter")
        says.ready(expects)
        threads[-1].join()

    def waiter(self):
        says.thread()
        says.waits("python_lock", self.lock)
        with self.lock:
            print("never")


@scenario("blocked-holder|lock-convoy|none", kind="hang|none|inconclusive")
def released_in_the_body():
    """Its with block is open, and its body has given the lock back; another took it by hand."""
    stage = Stage()

    def former():
        with stage.lock:
            stage.lock.release()
            stage.rest()
            stage.lock.acquire()

    def holder():
        stage.lock.acquire()
        says.holds(stage.lock, sure="hypothesis")
        stage.rest()

    stage.run(4, former, holder)


@scenario("blocked-holder|lock-convoy|none", kind="hang|none|inconclusive")
def released_by_another():
    """Another thread gave the lock of an open with block back, and a third took it."""
    stage = Stage()

    def former():
        with stage.lock:
            stage.rest()

    def thief():
        stage.lock.release()
        stage.rest()

    def holder():
        stage.lock.acquire()
        says.holds(stage.lock, sure="hypothesis")
        stage.rest()

    stage.run(5, former, thief, holder)


@scenario("blocked-holder|lock-convoy|none", kind="hang|none|inconclusive")
def given_back_by_wait():
    """Inside wait() of a condition that was made of the lock, which is told as that lock alone."""
    stage = Stage()
    condition = threading.Condition(stage.lock)

    def former():
        with stage.lock:
            says.thread()
            says.waits("python_condition|condition", condition)
            condition.wait()

    def holder():
        with stage.lock:
            says.holds(stage.lock)
            stage.rest()

    stage.run(4, former, holder)


@scenario("none", kind="none", least="weaker")
def holder_that_ended():
    """Nothing of its holder is left: no one is to be named, and no verdict to be had."""
    stage = Stage()
    thread, = says.start(stage.lock.acquire)
    thread.join()
    stage.run(2)


@scenario("blocked-holder|lock-convoy|none", kind="hang|none|inconclusive")
def acquire_that_failed():
    """It asked for the lock and did not get it."""
    stage = Stage()

    def holder():
        with stage.lock:
            says.holds(stage.lock)
            stage.rest()

    def modest():
        if stage.lock.acquire(False):
            raise AssertionError
        done = stage.lock.acquire(timeout=0.01)
        stage.rest()
        print(done)

    stage.run(4, holder, modest)


@scenario("blocked-holder|lock-convoy|none", kind="hang|none|inconclusive")
def managers_that_take_nothing():
    stage = Stage()

    class Reader:
        def __init__(self, lock):
            self._lock = lock

        def __enter__(self):
            with self._lock:
                return self

        def __exit__(self, *error):
            with self._lock:
                pass

    def former():
        with Reader(stage.lock), contextlib.ExitStack() as stack:
            stack.enter_context(stage.lock)
            stack.pop_all().close()
            stage.rest()

    def holder():
        with stage.lock:
            says.holds(stage.lock)
            stage.rest()

    stage.run(4, former, holder)


@scenario("blocked-holder|lock-convoy|none", kind="hang|none|inconclusive")
def name_with_another_lock():
    """The name by which a lock was taken and given back has another one's value now."""
    stage = Stage()

    def former():
        lock = threading.Lock()
        lock.acquire()
        lock = stage.lock
        stage.rest()
        print(lock)

    def holder():
        with stage.lock:
            says.holds(stage.lock)
            stage.rest()

    stage.run(4, former, holder)


@scenario("blocked-holder|lock-convoy|none", kind="hang|none|inconclusive")
def leaving_a_block():
    """In __exit__, in front of the release."""
    stage = Stage()

    class Slow(Gate):
        def __exit__(self, *error):
            stage.rest()
            self._lock.release()

    def holder():
        with Slow(stage.lock):
            says.holds(stage.lock, sure="likely")

    stage.run(3, holder)


class Turns:
    """As importlib's module lock: who comes second takes `wakeup` and waits for it once more."""

    def __init__(self):
        self.mutex = threading.RLock()
        self.wakeup = threading.Lock()
        self.taken = False

    def acquire(self):
        with self.mutex:
            if not self.taken:
                self.taken = True
                return
            self.wakeup.acquire()
        says.thread()
        says.waits("python_lock", self.wakeup)
        self.wakeup.acquire()

    def release(self):
        self.taken = False
        self.wakeup.release()


class Turn:
    def __init__(self, turns):
        self._turns = turns

    def __enter__(self):
        self._turns.acquire()

    def __exit__(self, *error):
        self._turns.release()


@scenario("none|lock-convoy|blocked-holder", kind="none|hang|inconclusive", least="silent")
def manager_that_lets_the_first_pass():
    """The lock that the second waits for it has taken itself; the first never has."""
    turns = Turns()
    inside = threading.Event()

    def first():
        with Turn(turns):
            inside.set()
            says.thread("select|pselect6|clock_nanosleep")
            time.sleep(3600)

    def second():
        inside.wait()
        with Turn(turns):
            print("second")

    one, two = says.start(first, second)
    says.thread()
    says.waits("thread_exit", then="first")
    says.ready(3)
    one.join()
    two.join()


@scenario("none", kind="none", least="weaker")
def lock_as_signal():
    """Taken, and waited for by who took it: another thread releases it when its work is done."""
    done = threading.Lock()
    done.acquire()

    def worker():
        says.thread()
        threading.Event().wait(3600)
        done.release()

    says.start(worker, daemon=True)
    says.thread()
    says.waits("python_lock", done)
    says.ready(2)
    done.acquire()


if __name__ == "__main__":
    says.run()
