"""Healthy: two threads compute and take turns with the GIL; main looks after them."""
import threading

from truth import Truth

truth = Truth(__file__, "none", "none")


def count_primes() -> None:
    truth.thread()
    found, number = 0, 2
    while True:
        found += all(number % divisor for divisor in range(2, int(number ** 0.5) + 1))
        number += 1


def main() -> None:
    truth.thread()
    workers = [threading.Thread(target=count_primes, name="primes-%d" % i, daemon=True)
               for i in range(2)]
    for worker in workers:
        worker.start()
    truth.wait_for(3)
    truth.ready()
    while True:
        for worker in workers:
            worker.join(timeout=0.5)


main()
