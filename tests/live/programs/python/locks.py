"""Scenarios of plain locks."""
import threading

import says
from says import scenario


class Account:
    def __init__(self, name):
        self.name = name
        self.lock = threading.Lock()


@scenario("lock-cycle")
def crosswise():
    """Two threads take the locks of two accounts in opposite order; main joins the first."""
    savings, giro = Account("savings"), Account("giro")
    both = threading.Barrier(2)

    def pay_in():
        with giro.lock:
            says.holds(giro.lock)
            both.wait()
            says.thread()
            says.waits("python_lock", savings.lock)
            with savings.lock:  # mark: pay_in
                print("paid in")

    def pay_out():
        with savings.lock:
            says.holds(savings.lock)
            both.wait()
            says.thread()
            says.waits("python_lock", giro.lock)
            with giro.lock:  # mark: pay_out
                print("paid out")

    first, second = says.start(pay_in, pay_out)
    says.site("pay_in", "pay_in", "pay_in")
    says.site("pay_out", "pay_out", "pay_out")
    says.thread()
    says.waits("thread_exit", then="pay_in")
    says.ready(3)
    first.join()
    second.join()


if __name__ == "__main__":
    says.run()
