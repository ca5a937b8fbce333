"""A publisher keeps a ZeroMQ context and three sockets and is part of a reference cycle. Some time
after its last use the cyclic collector runs, at whatever line allocates next, and finalizes the
context first: zmq_ctx_term waits for sockets that only this collection could close."""
import socket
import threading

import zmq

from truth import Truth

truth = Truth(__file__, "blocking-finalizer", "hang")


class Publisher:
    def __init__(self, port: int) -> None:
        self.me = self  # the cycle
        self.context = zmq.Context()
        self.push = self.context.socket(zmq.PUSH)
        self.push.connect("tcp://127.0.0.1:%d" % port)
        self.push.send(b"nobody will ever read this", zmq.NOBLOCK)
        self.subscriber = self.context.socket(zmq.SUB)
        self.subscriber.connect("ipc:///tmp/coldcase-nobody-binds-this")
        self.request = self.context.socket(zmq.REQ)
        self.request.bind("inproc://coldcase-private")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tidy_up() -> None:
    rows = []
    # On one line: to 3.11 the collector begins in an allocation, from 3.12 at a jump or a call.
    while True: rows.append({"row": len(rows)})  # mark: allocation


def idle(stop: threading.Event) -> None:
    truth.thread("futex")
    stop.wait()


def main() -> None:
    truth.thread("poll")
    port = free_port()
    Publisher(port)
    threading.Thread(target=idle, args=(threading.Event(),), name="bystander", daemon=True).start()
    truth.wait_for(2)
    truth.zmq(port, ["PUSH", "SUB", "REQ"])
    truth.finalizer("Context.__del__", "tidy_up", "allocation")
    truth.ready()
    tidy_up()


main()
