"""A finalizer run by the garbage collector takes a lock that another thread holds and will keep: the
collection, and whatever line it happened to start at, waits for that thread."""
import signal
import threading

from truth import Truth

truth = Truth(__file__, "blocking-finalizer", "hang")
registry_lock = threading.Lock()
taken = threading.Event()


class Handle:
    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        with registry_lock:  # mark: lock
            pass


def keep_lock() -> None:
    truth.thread("rt_sigtimedwait")
    with registry_lock:
        taken.set()
        wait_for_signal()


def wait_for_signal() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    signal.sigwait({signal.SIGUSR1})


def handle_request() -> None:
    rows = []
    # On one line: to 3.11 the collector begins in an allocation, from 3.12 at a jump or a call.
    while True: rows.append([len(rows)])  # mark: allocation


def main() -> None:
    truth.thread("futex")
    threading.Thread(target=keep_lock, name="keeper", daemon=True).start()
    taken.wait()
    truth.site("MainThread", "Handle.__del__", "lock")
    truth.edge("MainThread", "python_lock", "keeper")
    truth.finalizer("Handle.__del__", "handle_request", "allocation")
    truth.ready()
    Handle()
    handle_request()


main()
