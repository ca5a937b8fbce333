"""Two threads take two threading.Lock in opposite order, in `with` blocks; main joins."""
import threading

from truth import Truth

truth = Truth(__file__, "lock-cycle", "deadlock")
accounts = threading.Lock()
ledger = threading.Lock()
both = threading.Barrier(2)


class Bank:
    def transfer(self) -> None:
        with accounts:
            both.wait()
            self.post(1)

    def post(self, amount: int) -> None:
        truth.thread("futex")
        with ledger:  # mark: post
            print(amount)


def audit() -> None:
    with ledger:
        both.wait()
        truth.thread("futex")
        with accounts:  # mark: audit
            print("audited")


def main() -> None:
    truth.thread("futex")
    teller = threading.Thread(target=Bank().transfer, name="teller")
    auditor = threading.Thread(target=audit, name="auditor")
    teller.start()
    auditor.start()
    truth.wait_for(3)
    truth.site("teller", "Bank.post", "post")
    truth.site("auditor", "audit", "audit")
    truth.edge("teller", "python_lock", "auditor")
    truth.edge("auditor", "python_lock", "teller")
    truth.ready()
    teller.join()
    auditor.join()


main()
