"""The last reference to an object goes away, at a line of the program; its finalizer ends a ZeroMQ
context while a socket that somebody else keeps is open. No garbage collection has a part in it."""
import zmq

from truth import Truth

truth = Truth(__file__, "blocking-finalizer", "hang")
kept = []


class Link:
    def __init__(self) -> None:
        self.context = zmq.Context()
        dealer = self.context.socket(zmq.DEALER)
        self.port = dealer.bind_to_random_port("tcp://127.0.0.1")
        kept.append(dealer)

    def __del__(self) -> None:
        self.context.term()  # mark: term


def replace(links: dict) -> None:
    links["first"] = None  # mark: replace


def main() -> None:
    truth.thread("poll")
    links = {"first": Link()}
    truth.zmq(links["first"].port, ["DEALER"])
    truth.site("MainThread", "Link.__del__", "term")
    truth.finalizer("Link.__del__", "replace", "replace")
    truth.ready()
    replace(links)


main()
