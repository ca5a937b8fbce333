"""A cache is being filled under its lock when the garbage collector begins, at an allocation inside
the lock's block; a finalizer wants to take its entry out of that cache, and so the same lock."""
import threading

from truth import Truth

truth = Truth(__file__, "self-deadlock", "deadlock")


class Cache:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows = []

    def fill(self) -> None:
        with self._lock:
            while True:
                self._rows.append([len(self._rows)])

    def forget(self, name: str) -> None:
        with self._lock:  # mark: forget
            self._rows.clear()


class Entry:
    def __init__(self, cache: Cache) -> None:
        self.me = self
        self.cache = cache

    def __del__(self) -> None:
        self.cache.forget("entry")


def main() -> None:
    truth.thread("futex")
    cache = Cache()
    truth.site("MainThread", "Cache.forget", "forget")
    truth.edge("MainThread", "python_lock", "MainThread")
    truth.ready()
    Entry(cache)
    cache.fill()


main()
