"""multiprocessing's queues and pipes between parents, children and a pool's workers."""
import fcntl
import multiprocessing
import os
import signal
import struct
import termios
import threading
import time

import tree

context = multiprocessing.get_context("fork")
results = None


def take_results(queue) -> None:
    global results
    results = queue


def put_many(_number: int) -> None:
    for _ in range(300):
        results.put(b"x" * 1000)
    time.sleep(3600)


def write_results(queue, gate) -> None:
    gate.wait()
    tree.site("writer", "read", "next result")
    while True:
        item = queue.get()  # mark: next result
        if isinstance(item, str):
            return


def bytes_in(queue) -> int:
    word = fcntl.ioctl(queue._reader.fileno(), termios.FIONREAD, b"\0" * 4)
    return struct.unpack("i", word)[0]


def wait_until_full(queue) -> None:
    """A worker's feeder holds the write lock, asleep in its write to the full pipe."""
    last, still = -1, 0
    while still < 5:
        time.sleep(0.1)
        now = bytes_in(queue)
        still = still + 1 if now == last and now > 60000 else 0
        last = now


def feeder_site(queue) -> None:
    while queue._thread is None or queue._thread.native_id is None:
        time.sleep(0.01)
    tree.site("feeder", "futex", tid=queue._thread.native_id)


def orphaned_semaphore() -> None:
    """The pool's end kills a worker whose feeder holds the queue's write lock. Its messages are
    smaller than PIPE_BUF: the one that did not fit left nothing in the pipe."""
    queue, gate = context.Queue(), context.Event()
    writer = context.Process(target=write_results, args=(queue, gate), name="writer")
    writer.start()
    with context.Pool(2, initializer=take_results, initargs=(queue,)) as pool:
        pool.map_async(put_many, [1, 2])
        wait_until_full(queue)
    gate.set()
    queue.put("STOP")
    feeder_site(queue)
    tree.edge("parent", "process_exit", "writer")
    tree.edge("writer", "queue", "feeder")
    tree.edge("feeder", "semlock")
    tree.ready("orphaned-semaphore", "deadlock", 3)
    tree.site("parent", "wait4", "join writer")
    writer.join()  # mark: join writer


def produce_much(queue) -> None:
    tree.site("child", "futex")
    queue.put(b"x" * 1000000)


def undrained() -> None:
    """The child cannot end before its item is read; the parent joins it first."""
    queue = context.Queue()
    child = context.Process(target=produce_much, args=(queue,), name="producer")
    tree.edge("parent", "process_exit", "child")
    tree.edge("child", "thread_exit", "")
    tree.ready("join-undrained-queue", "deadlock", 2)
    child.start()
    tree.site("parent", "wait4", "join producer")
    child.join()  # mark: join producer
    queue.get()


def produce(queue, name: str) -> None:
    tree.site(name, "")
    while True:
        queue.put(b"x" * 1000)
        if queue.qsize() > 20:
            time.sleep(0.01)


def alive() -> None:
    """Healthy: two producers, one consumer that is slower than they are."""
    queue = context.Queue(50)
    tree.ready("none", "none", 3)
    for name in ("first", "second"):
        context.Process(target=produce, args=(queue, name), daemon=True).start()
    tree.site("parent", "")
    while True:
        queue.get()
        time.sleep(0.02)


def serve(orders, answers) -> None:
    tree.site("child", "read", "next order")
    while True:
        answers.send(orders.recv())  # mark: next order


def pipe_cycle() -> None:
    """Each side waits for the other's message: the parent forgot to send its order."""
    orders_in, orders_out = context.Pipe(False)
    answers_in, answers_out = context.Pipe(False)
    tree.edge("parent", "pipe", "child")
    tree.edge("child", "pipe", "parent")
    tree.ready("pipe-cycle", "deadlock", 2)
    child = context.Process(target=serve, args=(orders_in, answers_out), daemon=True)
    child.start()
    tree.site("parent", "read", "await answer")
    answers_in.recv()  # mark: await answer
    orders_out.close()


def work_slowly(answers) -> None:
    tree.site("child", "", "compute")
    while True:
        sum(range(1000))  # mark: compute
    answers.send(1)


def answering() -> None:
    """Healthy: the child computes what the parent waits for."""
    answers_in, answers_out = context.Pipe(False)
    tree.ready("none", "none", 2)
    context.Process(target=work_slowly, args=(answers_out,), daemon=True).start()
    tree.site("parent", "read", "await result")
    answers_in.recv()  # mark: await result


def wait_for_order(queue) -> None:
    tree.site("child", "read", "wait for order")
    queue.get()  # mark: wait for order


def exit_child() -> None:
    """The program ends, but a child that is no daemon waits for work."""
    queue = context.Queue()
    child = context.Process(target=wait_for_order, args=(queue,), name="worker")
    tree.edge("parent", "process_exit", "child")
    tree.edge("child", "queue")
    tree.ready("exit-blocked", "hang", 2)
    child.start()
    tree.site("parent", "wait4")


def pool_square(number: int) -> int:
    return number * number


def pool_site() -> None:
    tree.site("worker-%d" % (context.current_process()._identity[0]), "")


def pool_idle() -> None:
    """Healthy: a pool whose workers wait for tasks while main sleeps until a signal."""
    tree.ready("none", "none", 3)
    with context.Pool(2, initializer=pool_site) as pool:
        assert pool.map(pool_square, range(4)) == [0, 1, 4, 9]
        tree.site("parent", "futex", "wait for stop")
        threading.Event().wait()  # mark: wait for stop


def killed_site() -> None:
    number = context.current_process()._identity[0]
    if number == 4:  # in the place of the second: by then the others have done their work
        time.sleep(1)
    if number != 2:
        pool_site()


def die_in_second(number: int) -> int:
    """As the kernel ends the worker that needs most memory."""
    if context.current_process()._identity[0] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.1)
    return number


def pool_killed() -> None:
    """A worker dies with a piece of work in hand: the pool starts another, the work is lost."""
    tree.edge("parent", "future")
    tree.ready("lost-wakeup", "hang", 4)
    with context.Pool(3, initializer=killed_site) as pool:
        tree.site("parent", "futex", "wait for the pool")
        pool.map(die_in_second, range(6), 1)  # mark: wait for the pool


def first_site() -> None:
    if context.current_process()._identity[0] != 1:
        pool_site()


def die_in_first(number: int) -> int:
    if context.current_process()._identity[0] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.1)
    return number


def pool_first() -> None:
    """The one that dies has the lowest number: without the others' cores nothing shows it."""
    tree.edge("parent", "future")
    tree.ready("lost-wakeup", "hang", 4)
    with context.Pool(3, initializer=first_site) as pool:
        tree.site("parent", "futex", "wait for the others")
        pool.map(die_in_first, range(6), 1)  # mark: wait for the others


def set_items(items) -> None:
    global shared_items
    shared_items = items
    pool_site()


def take_items(_number: int) -> None:
    while True:
        shared_items.get()


def pool_consume() -> None:
    """Healthy: the tasks of a pool take items from a queue of the program's own."""
    items = context.Queue()
    tree.ready("none", "none", 3)
    with context.Pool(2, initializer=set_items, initargs=(items,)) as pool:
        tree.site("parent", "futex", "wait for consumers")
        pool.map(take_items, range(2))  # mark: wait for consumers


def pool_left() -> None:
    """A result is asked for when the pool's with block has been left."""
    tree.edge("parent", "future")
    tree.ready("lost-wakeup", "hang", 1)
    with context.Pool(2) as pool:
        later = pool.map_async(time.sleep, [3600])
        time.sleep(0.3)
    tree.site("parent", "futex", "wait when left")
    later.get()  # mark: wait when left


def refuse(_result) -> None:
    raise ValueError("not this one")


def pool_callback() -> None:
    """An exception in a callback ends the thread that takes the results of all."""
    tree.edge("parent", "future")
    tree.ready("lost-wakeup", "hang", 3)
    with context.Pool(2, initializer=pool_site) as pool:
        threading.excepthook = lambda _arguments: None
        pool.apply_async(pool_square, (1,), callback=refuse)
        time.sleep(0.5)
        later = pool.apply_async(pool_square, (2,))
        tree.site("parent", "futex", "wait for later")
        later.get()  # mark: wait for later


def pool_two() -> None:
    """Healthy: two pools are made at the same time, and their workers' numbers alternate; one works on."""
    tree.ready("none", "none", 2)
    pools = []
    makers = [threading.Thread(target=lambda: pools.append(context.Pool(4))) for _ in range(2)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    tree.site("parent", "futex", "wait for one of two")
    pools[0].map(work_long, range(6), 1)  # mark: wait for one of two


def pool_joined() -> None:
    """The same, where nobody looks at the results: the pool waits for them all the same."""
    tree.edge("parent", "future")
    tree.ready("lost-wakeup", "hang", 4)
    pool = context.Pool(3, initializer=killed_site)
    for number in range(6):
        pool.apply_async(die_in_second, (number,))
    pool.close()
    tree.site("parent", "futex", "join the pool")
    pool.join()  # mark: join the pool


def work_long(number: int) -> int:
    if number == 5:
        tree.site("worker", "")
        while True:
            time.sleep(0.01)
    return number


def pool_renewed() -> None:
    """Healthy: workers end after each piece of work and others come; one works on."""
    tree.ready("none", "none", 2)
    with context.Pool(2, maxtasksperchild=1) as pool:
        tree.site("parent", "futex", "wait for long work")
        pool.map(work_long, range(6), 1)  # mark: wait for long work


def pool_closing() -> None:
    """Healthy: a pool is joined while one of its workers works on."""
    tree.ready("none", "none", 2)
    pool = context.Pool(2)
    for number in range(6):
        pool.apply_async(work_long, (number,))
    pool.close()
    tree.site("parent", "futex", "join at work")
    pool.join()  # mark: join at work


tree.run({"orphaned_semaphore": orphaned_semaphore, "undrained": undrained, "alive": alive,
          "pipe_cycle": pipe_cycle, "answering": answering, "exit_child": exit_child,
          "pool_idle": pool_idle, "pool_killed": pool_killed, "pool_renewed": pool_renewed,
          "pool_joined": pool_joined, "pool_closing": pool_closing,
          "pool_first": pool_first, "pool_consume": pool_consume, "pool_left": pool_left,
          "pool_callback": pool_callback, "pool_two": pool_two})
