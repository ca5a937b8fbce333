"""Scenarios of asyncio: tasks that wait for each other, loops whose own thread blocks, and health."""
import asyncio
import os
import subprocess
import sys
import threading
import time

import says
from says import scenario

SINCE = (3, 8)
FAR = 100000  # seconds: nobody waits so long


class Store:
    def __init__(self, name):
        self.name = name
        self.lock = asyncio.Lock()


class Meeting:
    """An asyncio.Barrier, which is of 3.11."""

    def __init__(self, parties):
        self.left = parties
        self.all_here = asyncio.Event()

    async def wait(self):
        self.left -= 1
        if self.left == 0:
            self.all_here.set()
        await self.all_here.wait()


def named(coroutine, name):
    return asyncio.get_running_loop().create_task(coroutine, name=name)


def soon(function):
    """Called when all tasks have gone as far as they come: after some rounds of the loop."""
    loop = asyncio.get_running_loop()

    def again(rounds):
        if rounds == 0:
            function()
        else:
            loop.call_soon(again, rounds - 1)
    again(20)


def idle_ready():
    """The loop's thread, main, will rest in its selector."""
    says.thread("epoll_wait")
    soon(lambda: says.ready(1))


@scenario("task-cycle", since=SINCE)
def task_crosswise():
    """Two tasks take two asyncio locks in opposite order."""
    async def main():
        source, target = Store("source"), Store("target")
        both = Meeting(2)

        async def push():
            async with source.lock:
                await both.wait()
                async with target.lock:  # mark: push
                    print("pushed")

        async def pull():
            async with target.lock:
                await both.wait()
                async with source.lock:  # mark: pull
                    print("pulled")

        tasks = [named(push(), "push"), named(pull(), "pull")]
        says.waits_task("push", "asyncio_lock", target.lock, "Lock", holder="pull")
        says.waits_task("pull", "asyncio_lock", source.lock, "Lock", holder="push")
        idle_ready()
        await asyncio.gather(*tasks)

    asyncio.run(main())


@scenario("task-cycle", since=SINCE)
def task_gather():
    """A task holds a lock and awaits its parts, which want the lock."""
    async def main():
        gate = asyncio.Lock()

        async def part():
            async with gate:
                print("part")

        async def whole():
            async with gate:
                parts = [named(part(), "part-%d" % i) for i in range(3)]
                await asyncio.gather(*parts)

        task = named(whole(), "whole")
        for i in range(3):
            says.waits_task("part-%d" % i, "asyncio_lock", gate, "Lock", holder="whole")
        says.waits_task("whole", "task", label="part-0")
        idle_ready()
        await task

    asyncio.run(main())


@scenario("task-cycle", since=SINCE)
def task_twice():
    """A task takes a lock that it holds already: asyncio.Lock is not reentrant."""
    async def main():
        gate = asyncio.Lock()

        async def inner():
            async with gate:  # mark: twice
                print("in")

        async def outer():
            async with gate:
                await inner()

        task = named(outer(), "outer")
        says.waits_task("outer", "asyncio_lock", gate, "Lock", holder="outer")
        idle_ready()
        await task

    asyncio.run(main())


@scenario("task-cycle", since=SINCE)
def task_mutual():
    """Two tasks await each other."""
    async def main():
        others = {}

        async def first():
            await asyncio.sleep(0)
            await others["second"]

        async def second():
            await asyncio.sleep(0)
            await others["first"]

        others["first"] = named(first(), "first")
        others["second"] = named(second(), "second")
        says.waits_task("first", "task", label="second")
        says.waits_task("second", "task", label="first")
        idle_ready()
        await asyncio.wait(list(others.values()))

    asyncio.run(main())


@scenario("task-cycle", since=SINCE)
def task_executor():
    """A task holds a lock and awaits a thread; the thread waits for a task that wants the lock."""
    async def main():
        gate = asyncio.Lock()
        loop = asyncio.get_running_loop()

        async def report():
            asyncio.current_task().set_name("report")
            async with gate:
                print("report")

        def work():
            threading.current_thread().name = "worker"
            future = asyncio.run_coroutine_threadsafe(report(), loop)
            says.thread()
            says.waits("future", future)
            future.result()

        async def job():
            async with gate:
                await loop.run_in_executor(None, work)

        task = named(job(), "job")
        says.waits_task("job", "future", holder="worker")
        says.waits_task("report", "asyncio_lock", gate, "Lock", holder="job")
        says.thread("epoll_wait")

        async def watch():
            while len(says._registered) < 2 or not gate._waiters:
                await asyncio.sleep(0.001)
            says.ready(2)

        await named(watch(), "watch")
        await task

    asyncio.run(main())


@scenario("event-loop-blocked", since=SINCE)
def loop_result():
    """A coroutine waits, as a thread does, for a result that its own loop would have to produce."""
    async def fetch():
        return 1

    def ask(loop):
        future = asyncio.run_coroutine_threadsafe(fetch(), loop)
        says.thread()
        says.waits("future", future)
        says.site("MainThread", "ask", "ask")
        says.ready(1)
        return future.result()  # mark: ask

    async def main():
        ask(asyncio.get_running_loop())

    asyncio.run(main())


@scenario("event-loop-blocked", since=SINCE)
def loop_lock():
    """A coroutine keeps a threading.Lock over an await; another blocks on it in the same loop."""
    async def main():
        table = threading.Lock()
        inside = asyncio.Event()

        async def writer():
            with table:
                inside.set()
                await asyncio.sleep(0.01)

        async def reader():
            await inside.wait()
            says.thread()
            says.waits("python_lock", table)
            says.site("MainThread", "loop_lock.<locals>.main.<locals>.reader", "reader")
            says.ready(1)
            with table:  # mark: reader
                print("read")

        await asyncio.gather(named(writer(), "writer"), named(reader(), "reader"))

    asyncio.run(main())


@scenario("event-loop-blocked", since=SINCE)
def loop_and_thread():
    """A thread holds a lock and waits for a task; the task's loop blocks on that lock."""
    cache = threading.Lock()
    held = threading.Event()

    async def refresh():
        return 1

    def helper(loop):
        with cache:
            says.holds(cache)
            future = asyncio.run_coroutine_threadsafe(refresh(), loop)
            says.thread()
            says.waits("future", future)
            held.set()
            future.result()

    async def main():
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=helper, args=(loop,), name="helper", daemon=True)
        thread.start()
        held.wait()
        says.thread()
        says.waits("python_lock", cache)
        says.ready(2)
        with cache:  # mark: cache
            print("main")

    asyncio.run(main())


@scenario("event-loop-blocked", since=(3, 9))
def loop_shutdown():
    """asyncio.run waits at its end for a thread of its executor, which waits for work for ever."""
    import queue
    jobs = queue.Queue()

    def consume():
        threading.current_thread().name = "consumer"
        says.thread()
        says.waits("queue", jobs)
        jobs.get()

    async def main():
        asyncio.get_running_loop().run_in_executor(None, consume)
        while not says._registered:
            await asyncio.sleep(0.001)
        says.thread("epoll_wait")
        says.ready(2)

    asyncio.run(main())


@scenario("lost-wakeup", "hang", since=SINCE)
def loop_not_run():
    """A thread waits for a result of a loop that nobody runs."""
    loop = asyncio.new_event_loop()

    async def fetch():
        return 1

    future = asyncio.run_coroutine_threadsafe(fetch(), loop)
    says.thread()
    says.waits("future", future)
    says.site("MainThread", "loop_not_run", "not_run")
    says.ready(1)
    future.result()  # mark: not_run


@scenario("lost-wakeup", "hang", since=SINCE)
def loop_stopped():
    """A thread waits for a task whose loop has stopped under it."""
    loop = asyncio.new_event_loop()

    async def fetch():
        asyncio.current_task().set_name("fetch")
        await asyncio.sleep(FAR)

    def run_loop():
        loop.run_forever()

    runner = threading.Thread(target=run_loop, name="runner")
    runner.start()
    future = asyncio.run_coroutine_threadsafe(fetch(), loop)
    while not future._done_callbacks:
        time.sleep(0.001)
    loop.call_soon_threadsafe(loop.stop)
    runner.join()
    says.thread()
    says.waits("future", future)
    says.waits_task("fetch", "sleep")
    says.ready(1)
    future.result()


@scenario("blocked-holder", "hang", since=SINCE)
def loop_recv():
    """A coroutine reads a socket as a thread does: no other task runs."""
    import socket
    ours, theirs = socket.socketpair()

    async def main():
        async def tick():
            while True:
                await asyncio.sleep(0)

        async def read():
            await asyncio.sleep(0)
            says.thread("recvfrom")
            says.site("MainThread", "loop_recv.<locals>.main.<locals>.read", "recv")
            says.ready(1)
            ours.recv(10)  # mark: recv

        await asyncio.gather(named(tick(), "tick"), named(read(), "read"))

    asyncio.run(main())
    theirs.close()


# Health


@scenario("none", "none", since=SINCE)
def tasks_server():
    """A server with connections that are quiet."""
    async def main():
        async def serve(reader, writer):
            while await reader.readline():
                writer.write(b"ok\n")

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await asyncio.sleep(0.05)
        idle_ready()
        async with server:
            await server.serve_forever()
        print(clients)

    asyncio.run(main())


@scenario("none", "none", since=SINCE)
def tasks_sleep():
    """A gather of sleeps."""
    async def main():
        async def nap():
            await asyncio.sleep(FAR)

        tasks = [named(nap(), "nap-%d" % i) for i in range(5)]
        says.waits_task("nap-0", "sleep")
        idle_ready()
        await asyncio.gather(*tasks)

    asyncio.run(main())


@scenario("none", "none", since=SINCE)
def tasks_consumers():
    """Consumers on a queue, and a producer that has nothing to put yet."""
    async def main():
        jobs = asyncio.Queue()

        async def consume():
            while True:
                await jobs.get()
                jobs.task_done()

        async def produce():
            await asyncio.sleep(FAR)
            await jobs.put(1)

        tasks = [named(consume(), "consume-%d" % i) for i in range(3)] + [named(produce(), "produce")]
        says.waits_task("consume-0", "queue", jobs, "Queue")
        says.waits_task("produce", "sleep")
        idle_ready()
        await asyncio.gather(*tasks)

    asyncio.run(main())


@scenario("none", "none", since=SINCE)
def tasks_lock_held():
    """A task sleeps inside a lock: the others wait, for no longer than that."""
    async def main():
        gate = asyncio.Lock()

        async def hold():
            async with gate:
                await asyncio.sleep(FAR)

        async def want():
            async with gate:
                print("in")

        tasks = [named(hold(), "hold")] + [named(want(), "want-%d" % i) for i in range(2)]
        says.waits_task("want-0", "asyncio_lock", gate, "Lock", holder="hold")
        says.waits_task("hold", "sleep")
        idle_ready()
        await asyncio.gather(*tasks)

    asyncio.run(main())


@scenario("none", "none", since=SINCE)
def tasks_thread_asks():
    """A thread waits for a task that sleeps; a task waits for a thread that sleeps."""
    async def main():
        loop = asyncio.get_running_loop()

        async def answer():
            asyncio.current_task().set_name("answer")
            await asyncio.sleep(FAR)

        def ask():
            future = asyncio.run_coroutine_threadsafe(answer(), loop)
            says.thread()
            says.waits("future", future)
            future.result()

        def work():
            threading.current_thread().name = "worker"
            says.thread("select|pselect6" if sys.version_info < (3, 11) else "clock_nanosleep")
            time.sleep(FAR)

        says.start(ask, daemon=True)

        async def job():
            await loop.run_in_executor(None, work)

        task = named(job(), "job")
        says.waits_task("job", "future", holder="worker")
        says.waits_task("answer", "sleep")
        says.thread("epoll_wait")

        async def watch():
            while len(says._registered) < 3:
                await asyncio.sleep(0.001)
            says.ready(3)

        await named(watch(), "watch")
        await task

    asyncio.run(main())


@scenario("none", "none", since=SINCE)
def tasks_primitives():
    """Tasks that wait for an event, a condition, a semaphore, a queue's room, a child, a timeout."""
    async def main():
        event, condition, semaphore = asyncio.Event(), asyncio.Condition(), asyncio.Semaphore(1)
        full = asyncio.Queue(1)
        full.put_nowait(0)

        async def on_event():
            await event.wait()

        async def on_condition():
            async with condition:
                await condition.wait()

        async def on_semaphore():
            async with semaphore:
                await asyncio.sleep(FAR)

        async def on_full():
            await full.put(1)

        async def on_timeout():
            try:
                await asyncio.wait_for(asyncio.Event().wait(), FAR)
            except asyncio.TimeoutError:
                pass

        async def on_shield():
            await asyncio.shield(event.wait())

        async def on_child():
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()",
                                                         stdin=subprocess.PIPE)
            await child.wait()

        async def release():
            await asyncio.sleep(FAR)
            event.set()

        functions = (on_event, on_condition, on_semaphore, on_full, on_timeout, on_shield, on_child,
                     release)
        tasks = [named(function(), function.__name__) for function in functions]
        tasks.append(named(on_semaphore(), "on_semaphore-2"))
        says.waits_task("on_event", "python_condition", event, "Event")
        says.waits_task("on_semaphore-2", "semaphore", semaphore, "Semaphore", "on_semaphore")
        says.waits_task("on_full", "queue", full, "Queue")
        says.waits_task("release", "sleep")
        await asyncio.sleep(0.2)
        idle_ready()
        await asyncio.gather(*tasks)

    asyncio.run(main())


@scenario("none", "none", since=SINCE)
def tasks_many():
    """As many tasks as COLDCASE_TASKS says; each sleeps."""
    async def main():
        async def nap():
            await asyncio.sleep(FAR)

        tasks = [named(nap(), "nap-%d" % i)
                 for i in range(int(os.environ.get("COLDCASE_TASKS", "1000")))]
        idle_ready()
        await asyncio.gather(*tasks)

    asyncio.run(main())


if __name__ == "__main__":
    says.run()
