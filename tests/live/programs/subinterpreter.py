"""The worker runs an interpreter that main made, and takes a lock twice there. To 3.12 such an
interpreter's thread state keeps the numbers of the thread that made it."""
import os
import sys
import threading


def block(pipe: int) -> None:
    lock = threading.Lock()
    with lock:
        os.write(pipe, b"x")
        with lock:  # mark: block
            print("never")


def main() -> None:
    try:
        import _interpreters as interpreters
    except ImportError:  # 3.8 to 3.12
        import _xxsubinterpreters as interpreters
    from truth import Truth
    truth = Truth(__file__, "self-deadlock", "deadlock")
    truth.thread("futex")
    reader, writer = os.pipe()
    inner = interpreters.create()
    script = "exec(compile(open(%r).read(), %r, 'exec'), {'__name__': 'inner', 'pipe': %d})" % (
        __file__, __file__, writer)

    def work() -> None:
        truth.thread("futex")
        interpreters.run_string(inner, script)

    worker = threading.Thread(target=work, name="worker")
    worker.start()
    os.read(reader, 1)
    truth.site("worker", "block", "block")
    truth.edge("worker", "python_lock", "worker")
    truth.ready()
    worker.join()


if __name__ == "__main__":
    main()
else:
    block(globals()["pipe"])
