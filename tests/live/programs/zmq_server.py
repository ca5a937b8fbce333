"""Healthy: a server idle in recv, another thread in a poll over two sockets without a timeout, and a
finalizer that ended a context some time ago."""
import gc
import threading

import zmq

from truth import Truth

truth = Truth(__file__, "none", "none")


class Past:
    def __init__(self) -> None:
        self.me = self
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.PAIR)

    def __del__(self) -> None:
        self.socket.close(0)
        self.context.term()


def poll_two(context: zmq.Context) -> None:
    truth.thread("poll")
    poller = zmq.Poller()
    for kind in (zmq.PULL, zmq.SUB):
        one = context.socket(kind)
        one.bind_to_random_port("tcp://127.0.0.1")
        poller.register(one, zmq.POLLIN)
    poller.poll()


def main() -> None:
    Past()
    gc.collect()
    context = zmq.Context()
    truth.thread("poll")
    server = context.socket(zmq.REP)
    server.bind_to_random_port("tcp://127.0.0.1")
    threading.Thread(target=poll_two, args=(context,), name="poller", daemon=True).start()
    truth.wait_for(2)
    truth.ready()
    server.recv()


main()
