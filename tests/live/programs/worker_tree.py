"""A parent and two workers that go on for ever, with what a core cannot tell: open files and their
other ends, a file lock and who waits for it, names of threads, a child that was not waited for."""
import ctypes
import fcntl
import json
import multiprocessing
import os
import select
import socket
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
folder = sys.argv[2] if len(sys.argv) > 2 else "."


def name_thread(name: str) -> int:
    libc.prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
    return threading.get_native_id()


def count() -> None:
    """One byte more every 10 ms: whether this process goes on is the size of a file."""
    with open(os.path.join(folder, "count.%d" % os.getpid()), "wb", buffering=0) as file:
        while True:
            file.write(b".")
            time.sleep(0.01)


def take_lock(path: str, tell) -> None:
    name_thread("lock) R 1 (user")
    file = open(path, "wb")
    tell(threading.get_native_id())
    fcntl.flock(file, fcntl.LOCK_EX)
    time.sleep(3600)


def work(index: int, semaphore, pipe) -> None:
    tids = {}
    threading.Thread(target=semaphore.acquire, daemon=True).start()
    if index == 0:  # the first has it before the second asks
        lock = open(os.path.join(folder, "lock"), "wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
    else:
        threading.Thread(target=take_lock, daemon=True,
                         args=(os.path.join(folder, "lock"),
                               lambda tid: tids.__setitem__("lock) R 1 (user", tid))).start()
        while not tids:
            time.sleep(0.001)
        time.sleep(0.1)
    pipe.send({"pid": os.getpid(), "tids": tids})
    count()


def main() -> None:
    context = multiprocessing.get_context("fork")
    semaphore = context.Semaphore(0)
    workers, pipes = [], []
    for index in range(2):
        ours, theirs = context.Pipe()
        worker = context.Process(target=work, args=(index, semaphore, theirs), daemon=True)
        worker.start()
        workers.append(ours.recv())
        pipes.append(ours)
    dead = os.fork()
    if dead == 0:
        os._exit(3)
    left, right = socket.socketpair()
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    client = socket.create_connection(server.getsockname())
    accepted = server.accept()[0]  # else the poll below would end at once
    poll = select.epoll()
    poll.register(left, select.EPOLLIN)
    poll.register(server, select.EPOLLIN)
    counter = os.eventfd(31) if hasattr(os, "eventfd") else -1
    tids = {}

    def collect() -> None:
        tids["collector"] = name_thread("collector")
        poll.poll()

    threading.Thread(target=collect, daemon=True).start()
    time.sleep(0.2)
    print("READY " + json.dumps({
        "pid": os.getpid(), "workers": workers, "zombie": dead, "tids": tids,
        "pair": [left.fileno(), right.fileno()], "server": server.fileno(),
        "client": client.fileno(), "accepted": accepted.fileno(),
        "address": "127.0.0.1:%d" % server.getsockname()[1],
        "poll": poll.fileno(), "counter": counter,
        "pipes": [pipe.fileno() for pipe in pipes]}), flush=True)
    count()


main()
