"""One thread takes the same threading.Lock twice, in nested `with` blocks; main joins."""
import threading

from truth import Truth

truth = Truth(__file__, "self-deadlock", "deadlock")


class Journal:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines = []

    def append(self, line: str) -> None:
        with self._lock:
            self._lines.append(line)
            self.flush()

    def flush(self) -> None:
        truth.thread("futex")
        with self._lock:  # mark: flush
            self._lines.clear()


def main() -> None:
    truth.thread("futex")
    writer = threading.Thread(target=Journal().append, args=("line",), name="journal-writer")
    writer.start()
    truth.wait_for(2)
    truth.site("journal-writer", "Journal.flush", "flush")
    truth.edge("journal-writer", "python_lock", "journal-writer")
    truth.ready()
    writer.join()


main()
