"""Scenarios of programs that have finished and cannot exit, and their healthy twins."""
import atexit
import concurrent.futures
import queue
import socket
import threading

import says
from says import scenario


def main_ends(other):
    """Main has nothing more to do; it waits for this thread on the way out."""
    says.thread()
    says.waits("thread_exit", then=other)


@scenario("exit-blocked", kind="hang")
def worker_at_exit():
    """A thread that is no daemon waits for orders, which main gave."""
    orders = queue.Queue()

    def deliver():
        says.thread()
        says.waits("queue", orders, label="orders")
        orders.get()  # mark: deliver

    says.start(deliver)
    says.site("deliver", "deliver", "deliver")
    main_ends("deliver")
    says.ready(2)


@scenario("exit-blocked", kind="hang")
def task_at_exit():
    """An executor's task waits for an event that main would have set."""
    stop = threading.Event()
    workers = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="serve")

    def serve():
        says.thread()
        says.waits("python_condition", stop, label="stop")
        stop.wait()  # mark: serve

    workers.submit(serve)
    says.until(1)
    says.site("serve_0", "serve", "serve")
    main_ends("serve_0")
    says.ready(2)


@scenario("exit-blocked", kind="hang")
def joined_by_atexit():
    """A daemon waits for orders, and a function of atexit waits for its end."""
    orders = queue.Queue()

    def deliver():
        says.thread()
        says.waits("queue", orders, label="orders")
        orders.get()  # mark: deliver_daemon

    (deliverer,) = says.start(deliver, daemon=True)

    def stop():
        main_ends("deliver")
        says.ready(2)
        deliverer.join()  # mark: stop

    says.site("deliver", "deliver", "deliver_daemon")
    says.site("MainThread", "stop", "stop")
    atexit.register(stop)


@scenario("exit-blocked", kind="hang")
def lock_left_taken():
    """Main ended and never released the lock that a thread wants."""
    guard = threading.Lock()

    def save():
        says.thread()
        says.waits("python_lock", guard, label="guard")
        with guard:  # mark: save
            pass

    guard.acquire()
    says.start(save)
    says.site("save", "save", "save")
    main_ends("save")
    says.ready(2)


@scenario("exit-blocked", kind="hang")
def answer_at_exit():
    """A thread waits for an answer without a timeout, after main has ended."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    connection = socket.create_connection(listener.getsockname())

    def ask():
        says.thread(settles="recvfrom")
        says.waits("socket|io")
        connection.recv(100)  # mark: ask
        listener.close()

    says.start(ask)
    says.site("ask", "ask", "ask")
    main_ends("ask")
    says.ready(2)


@scenario("none", kind="none")
def busy_at_exit():
    """Healthy: main has ended, and a worker computes on."""
    def compute():
        says.thread(settles="")
        while True:
            pass

    says.start(compute)
    main_ends("compute")
    says.ready(2)


@scenario("none", kind="none")
def server_at_exit():
    """Healthy: main has ended, and a thread accepts connections."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(5)

    def serve():
        says.thread(settles="accept|accept4")
        listener.accept()

    says.start(serve)
    main_ends("serve")
    says.ready(2)


@scenario("none", kind="none")
def timer_at_exit():
    """Healthy: main has ended, and a timer has not expired."""
    timer = threading.Timer(3600, print)
    timer.start()
    main_ends("")
    says.ready(1)


if __name__ == "__main__":
    says.run()
