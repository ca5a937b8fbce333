"""Healthy: two threads compute and take turns with the GIL; one says when they do."""
import signal
import sys
import threading
import time

sys.setswitchinterval(0.0005)


def count_primes() -> None:
    found, number = 0, 2
    while True:
        found += all(number % divisor for divisor in range(2, int(number ** 0.5) + 1))
        number += 1


workers = [threading.Thread(target=count_primes, daemon=True) for _ in range(2)]
for worker in workers:
    worker.start()
time.sleep(0.2)
signal.pthread_kill(workers[0].ident, signal.SIGUSR1)
for worker in workers:
    worker.join()
