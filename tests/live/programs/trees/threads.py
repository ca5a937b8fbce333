"""One Python process: exits that wait, holders that wait outside, joins, forks, healthy twins."""
import asyncio
import concurrent.futures
import ctypes
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import tree

orders = queue.Queue()
cache = threading.Lock()
near, far = socket.socketpair()


def leave_alone(theirs: int) -> None:
    """The other end belongs to a process of its own, which says nothing."""
    if os.fork() == 0:
        os.close(near.fileno())
        while True:
            signal.pause()
    os.close(theirs)


def start(target, name: str, daemon: bool = False) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=daemon)
    thread.start()
    return thread


def next_order() -> None:
    tree.site("worker", "futex", "next order")
    orders.get()  # mark: next order


def exit_worker() -> None:
    """main has ended; a thread that is no daemon waits for orders."""
    tree.edge("main", "thread_exit", "worker")
    tree.edge("worker", "queue")
    tree.ready("exit-blocked", "hang", 2)
    start(next_order, "worker")
    tree.site("main", "futex")


def await_event(event: threading.Event) -> None:
    tree.site("worker", "futex", "await event")
    event.wait()  # mark: await event


def exit_pool() -> None:
    """main has ended; an executor's task waits for an event that main would have set."""
    tree.edge("main", "thread_exit", "worker")
    tree.edge("worker", "python_condition")
    tree.ready("exit-blocked", "hang", 2)
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.submit(await_event, threading.Event())
    tree.site("main", "futex")


def exit_server() -> None:
    """Healthy: the server's thread accepts after main has ended."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        tree.site("server", "accept4", "accept")
        listener.accept()  # mark: accept

    tree.ready("none", "none", 2)
    start(serve, "server")
    tree.site("main", "futex")


def event_main() -> None:
    """Healthy: main waits for an event that a timer will set."""
    stop = threading.Event()
    threading.Timer(3600, stop.set).start()
    tree.ready("none", "none", 1)
    tree.site("main", "futex", "wait for timer")
    stop.wait()  # mark: wait for timer


def barrier() -> None:
    """Healthy: a barrier that one more has to reach, who computes."""
    line = threading.Barrier(3)

    def line_up() -> None:
        tree.site(threading.current_thread().name, "futex", "line up")
        line.wait()  # mark: line up

    tree.ready("none", "none", 3)
    start(line_up, "first")
    start(line_up, "second")
    tree.site("main", "", "load")
    while True:
        sum(range(1000))  # mark: load


def lost_event() -> None:
    """main joins a thread that waits for an event nobody sets."""
    tree.edge("main", "thread_exit", "worker")
    tree.edge("worker", "python_condition")
    tree.ready("lost-wakeup", "hang", 2)
    worker = start(lambda: await_event(threading.Event()), "worker")
    tree.site("main", "futex", "join worker")
    worker.join()  # mark: join worker


def look_up() -> None:
    tree.site(threading.current_thread().name, "futex", "look up")
    with cache:  # mark: look up
        pass


def hold(waits, pattern: str, kind: str, sites: int = 3) -> None:
    taken = threading.Event()

    def holder() -> None:
        with cache:
            taken.set()
            waits()

    tree.ready(pattern, kind, sites)
    if kind != "none":
        tree.edge("waiter-0", "python_lock", "holder")
        tree.edge("waiter-1", "python_lock", "holder")
    threads = [start(holder, "holder")]
    taken.wait()
    threads += [start(look_up, "waiter-%d" % i) for i in range(2)]
    for thread in threads:
        thread.join()


def hold_recv() -> None:
    leave_alone(far.detach())

    def fetch() -> None:
        tree.site("holder", "recvfrom", "fetch")
        near.recv(1)  # mark: fetch

    hold(fetch, "blocked-holder", "hang")


def hold_timed_recv() -> None:
    """Healthy: with a timeout, again and again."""
    def fetch() -> None:
        near.settimeout(0.5)
        tree.site("holder", "poll", "timed fetch")
        while True:
            try:
                near.recv(1)  # mark: timed fetch
            except socket.timeout:
                continue

    hold(fetch, "none", "none")


def hold_select() -> None:
    def back_off() -> None:
        tree.site("holder", "", "back off")
        select.select([], [], [], 3600)  # mark: back off

    hold(back_off, "blocked-holder", "hang")


def hold_short() -> None:
    """Healthy: 50 ms at a time."""
    def pace() -> None:
        tree.site("holder", "", "pace")
        while True:
            time.sleep(0.05)  # mark: pace

    hold(pace, "none", "none")


BUSY = "import sys; sys.path.insert(0, %r); import tree; tree.site('child', '')\nwhile True: pass"


def run_child() -> None:
    """Healthy: main waits for a program that computes."""
    tree.ready("none", "none", 2)
    tree.site("main", "wait4", "run child")
    code = BUSY % os.path.dirname(os.path.abspath(__file__))
    subprocess.run([sys.executable, "-c", code], check=False)  # mark: run child


def gil_pipe() -> None:
    """C code that reads a pipe and keeps the GIL."""
    reader, writer = os.pipe()
    leave_alone(writer)
    libc = ctypes.PyDLL(None)
    started = threading.Event()

    def poll_sensor() -> None:
        buffer = ctypes.create_string_buffer(1)
        tree.site("sensor", "read", "sensor")
        started.set()
        libc.read(reader, buffer, 1)  # mark: sensor

    tree.edge("main", "gil", "sensor")
    tree.ready("blocked-holder", "hang", 2)
    tree.site("main", "futex")
    start(poll_sensor, "sensor")
    started.wait()
    while True:
        sum(range(1000))


def alone() -> None:
    """The only thread waits for one answer, without a timeout."""
    leave_alone(far.detach())
    tree.edge("main", "socket")
    tree.ready("blocked-holder", "hang", 1)
    tree.site("main", "recvfrom", "ask")
    near.recv(1)  # mark: ask


def join_held() -> None:
    """main joins a thread while it holds the lock that the thread needs."""
    tree.edge("main", "thread_exit", "worker")
    tree.edge("worker", "python_lock", "main")
    tree.ready("join-cycle", "deadlock", 2)

    def finish() -> None:
        tree.site("worker", "futex", "finish")
        with cache:  # mark: finish
            pass

    with cache:
        worker = start(finish, "worker")
        tree.site("main", "futex", "join finish")
        worker.join()  # mark: join finish


def forked() -> None:
    """A thread of the parent holds a lock at fork; the child takes it."""
    taken = threading.Event()

    def flush() -> None:
        with journal:
            taken.set()
            tree.site("flusher", "")
            while True:
                time.sleep(0.02)

    journal = threading.RLock()
    start(flush, "flusher", True)
    taken.wait()
    tree.edge("parent", "process_exit", "child")
    tree.edge("child", "python_rlock")
    tree.ready("fork-orphaned-lock", "deadlock", 3)
    child = os.fork()
    if child == 0:
        tree.site("child", "futex", "log start")
        with journal:  # mark: log start
            os._exit(0)
    tree.site("parent", "wait4", "reap")
    os.waitpid(child, 0)  # mark: reap


def read_rest(server) -> None:
    connection = server.accept()[0]
    connection.recv(5)
    tree.site("server", "recvfrom", "await rest")
    connection.recv(100)  # mark: await rest


def self_answer() -> None:
    """main asks its own server, which waits for the rest of the question."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    tree.edge("main", "socket")
    tree.ready("blocked-holder", "hang", 2)
    start(lambda: read_rest(server), "server", True)
    client = socket.create_connection(server.getsockname())
    client.sendall(b"GET /")
    tree.site("main", "recvfrom", "await own answer")
    client.recv(100)  # mark: await own answer


def take_job(jobs) -> None:
    tree.site("worker", "futex", "take job")
    while True:
        jobs.get()  # mark: take job


def signal_worker() -> None:
    """Healthy: a signal's handler gives the worker its jobs, and main waits for its end."""
    jobs = getattr(queue, "SimpleQueue", queue.Queue)()  # 3.7 on
    signal.signal(signal.SIGUSR1, lambda *_: jobs.put("rotate"))
    tree.ready("none", "none", 2)
    worker = start(lambda: take_job(jobs), "worker")
    tree.site("main", "futex", "join signalled")
    worker.join()  # mark: join signalled


def try_both(first, second, name: str, both: threading.Barrier) -> None:
    with first:
        both.wait()
        tree.site(name, "futex", "try second")
        while not second.acquire(timeout=3600):  # mark: try second
            pass


def timed_ring() -> None:
    """A ring that timeouts open: no deadlock, and told in a note."""
    both = threading.Barrier(2)
    mine, theirs = threading.Lock(), threading.Lock()
    tree.ready("none", "none", 2)
    start(lambda: try_both(mine, theirs, "one", both), "one")
    start(lambda: try_both(theirs, mine, "two", both), "two")


def run_loop(coroutine) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    tree.site("main", "epoll_wait", "run the loop")
    loop.run_until_complete(coroutine)  # mark: run the loop


async def consume(items) -> None:
    while True:
        await items.get()


def loop_unwoken() -> None:
    """Another thread puts an item into asyncio's queue: the task is due, and the loop sleeps on."""
    taken = threading.Event()

    async def main() -> None:
        items = asyncio.Queue()

        def feed() -> None:
            time.sleep(0.3)
            items.put_nowait("item")
            tree.site("feeder", "futex", "fed")
            taken.wait()  # mark: fed

        start(feed, "feeder", True)
        await consume(items)

    tree.edge("main", "io")
    tree.ready("lost-wakeup", "hang", 2)
    run_loop(main())


async def break_down(items) -> None:
    await items.put(1)
    raise ConnectionResetError("peer")


def loop_lone() -> None:
    """The producer ended by an exception that nobody looks at."""
    async def main() -> None:
        items = asyncio.Queue()
        tasks = [asyncio.ensure_future(break_down(items)), asyncio.ensure_future(consume(items))]
        await asyncio.wait(tasks)

    tree.edge("main", "io")
    tree.ready("lost-wakeup", "hang", 1)
    run_loop(main())


def loop_polls() -> None:
    """A callback polls while a task is due: its loop is blocked, and nobody failed to wake it."""
    async def main() -> None:
        items = asyncio.Queue()
        asyncio.ensure_future(consume(items))
        await asyncio.sleep(0)
        items.put_nowait("item")
        select.select([near], [], [])  # mark: poll in the loop

    tree.edge("main", "socket|io")
    tree.ready("blocked-holder", "hang", 1)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    tree.site("main", "pselect6", "run the polling loop")
    loop.run_until_complete(main())  # mark: run the polling loop


def loop_parked() -> None:
    """Healthy: a coroutine that waits for the end, as programs park."""
    async def main() -> None:
        await asyncio.Event().wait()

    tree.ready("none", "none", 1)
    run_loop(main())


def loop_server() -> None:
    """Healthy: a consumer whose items come from clients."""
    async def main() -> None:
        items = asyncio.Queue()
        server = await asyncio.start_server(lambda reader, writer: items.put_nowait(writer),
                                            "127.0.0.1", 0)
        await consume(items)
        server.close()

    tree.ready("none", "none", 1)
    run_loop(main())


tree.run({"exit_worker": exit_worker, "exit_pool": exit_pool, "exit_server": exit_server,
          "event_main": event_main, "barrier": barrier, "lost_event": lost_event,
          "hold_recv": hold_recv, "hold_timed_recv": hold_timed_recv, "hold_select": hold_select,
          "hold_short": hold_short, "run_child": run_child, "gil_pipe": gil_pipe, "alone": alone,
          "join_held": join_held, "forked": forked,
          "signal_worker": signal_worker, "timed_ring": timed_ring, "self_answer": self_answer,
          "loop_unwoken": loop_unwoken, "loop_lone": loop_lone, "loop_parked": loop_parked, "loop_polls": loop_polls,
          "loop_server": loop_server})
