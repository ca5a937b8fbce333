"""A program that ends its ZeroMQ context by hand while two of its sockets are still open; a third
was closed with a message that nobody fetches and the linger it was born with: without end."""
import zmq

from truth import Truth

truth = Truth(__file__, "blocked-holder", "hang")


def shut_down(context: zmq.Context) -> None:
    context.term()  # mark: term


def main() -> None:
    truth.thread("poll")
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.setsockopt(zmq.LINGER, -1)
    push.connect("tcp://127.0.0.1:1")
    push.send(b"for nobody", zmq.NOBLOCK)
    push.close()
    reply = context.socket(zmq.REP)
    port = reply.bind_to_random_port("tcp://127.0.0.1")
    publisher = context.socket(zmq.PUB)
    publisher.bind("inproc://private")
    truth.zmq(port, ["REP", "PUB"])
    truth.site("MainThread", "shut_down", "term")
    truth.ready()
    shut_down(context)


main()
