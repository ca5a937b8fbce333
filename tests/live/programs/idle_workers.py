"""Healthy: an idle pool, an idle event loop, and a main thread that looks up now and then."""
import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from truth import Truth

truth = Truth(__file__, "none", "none")
stop = threading.Event()
all_busy = threading.Barrier(4)


def warm_up() -> None:
    truth.thread("futex")
    all_busy.wait()


def run_loop() -> None:
    loop = asyncio.new_event_loop()
    loop.call_soon(truth.thread, "epoll_wait")
    loop.run_forever()


def main() -> None:
    pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="pool")
    for job in [pool.submit(warm_up) for _ in range(4)]:
        job.result()
    threading.Thread(target=run_loop, name="event-loop", daemon=True).start()
    truth.wait_for(5)
    truth.thread("futex")
    truth.ready()
    while not stop.wait(timeout=0.2):
        pass


main()
