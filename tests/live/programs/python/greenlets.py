"""Scenarios of greenlets: their stacks lie in the heap, and a core's threads do not show them."""
import says
from says import scenario


def patched():
    from gevent import monkey
    monkey.patch_all()


@scenario("inconclusive", "inconclusive", since=(3, 9), needs="pypi:gevent")
def gevent_crosswise():
    """Two greenlets take two locks in opposite order; the one thread idles in the hub."""
    patched()
    import gevent
    from gevent.lock import RLock
    first, second = RLock(), RLock()

    def left():
        with first:
            gevent.sleep(0)
            with second:
                print("left")

    def right():
        with second:
            gevent.sleep(0)
            with first:
                print("right")

    says.thread("epoll_wait|epoll_pwait")
    workers = [gevent.spawn(left), gevent.spawn(right), gevent.spawn(gevent.sleep, 100000)]
    gevent.spawn(lambda: says.ready(1))
    gevent.joinall(workers)


@scenario("inconclusive", "inconclusive", since=(3, 9), needs="pypi:gevent")
def gevent_idle():
    """A server of gevent without a client: looks the same, and is not called healthy."""
    patched()
    import gevent
    from gevent.server import StreamServer

    def serve(socket, _address):
        socket.recv(100)

    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    says.thread("epoll_wait|epoll_pwait")
    gevent.spawn(lambda: says.ready(1))
    server.serve_forever()


if __name__ == "__main__":
    says.run()
