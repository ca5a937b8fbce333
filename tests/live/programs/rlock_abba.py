"""Two threads take two threading.RLock in opposite order; main joins. An RLock names its owner."""
import threading

from truth import Truth

truth = Truth(__file__, "lock-cycle", "deadlock")
catalog = threading.RLock()
prices = threading.RLock()
both = threading.Barrier(2)


def reprice() -> None:
    with catalog:
        with catalog:  # twice: the count is 2
            both.wait()
            truth.thread("futex")
            with prices:  # mark: reprice
                print("repriced")


def reindex() -> None:
    prices.acquire()
    both.wait()
    truth.thread("futex")
    catalog.acquire()  # mark: reindex
    print("reindexed")


def main() -> None:
    truth.thread("futex")
    workers = [threading.Thread(target=reprice, name="repricer"),
               threading.Thread(target=reindex, name="reindexer")]
    for worker in workers:
        worker.start()
    truth.wait_for(3)
    truth.site("repricer", "reprice", "reprice")
    truth.site("reindexer", "reindex", "reindex")
    truth.edge("repricer", "python_rlock", "reindexer")
    truth.edge("reindexer", "python_rlock", "repricer")
    truth.ready()
    for worker in workers:
        worker.join()


main()
