"""As abba_lock, but the second lock is taken in a lambda: its name needs the function around it."""
import threading

from truth import Truth

truth = Truth(__file__, "lock-cycle", "deadlock")
both = threading.Barrier(2)


def worker(first, second):
    def take() -> None:
        with first:
            both.wait()
            truth.thread("futex")
            (lambda: second.acquire())()  # mark: lambda

    return take


def main() -> None:
    truth.thread("futex")
    left, right = threading.Lock(), threading.Lock()
    one = threading.Thread(target=worker(left, right), name="one")
    other = threading.Thread(target=worker(right, left), name="other")
    one.start()
    other.start()
    truth.wait_for(3)
    truth.site("one", "take.<locals>.<lambda>", "lambda")
    truth.site("other", "take.<locals>.<lambda>", "lambda")
    truth.edge("one", "python_lock", "other")
    truth.edge("other", "python_lock", "one")
    truth.ready()
    one.join()
    other.join()


main()
