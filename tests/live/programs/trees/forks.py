"""Children of a Python process with threads: logging, buffered files, imports, plain locks."""
import importlib
import io
import logging
import os
import queue
import sys
import threading
import time

import tree


def start(target, name: str) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def stuck(act, kind: str) -> None:
    """Forks; the child's `act` cannot go on."""
    tree.edge("parent", "process_exit", "child")
    tree.edge("child", kind)
    tree.ready("fork-orphaned-lock", "deadlock", 2)
    child = os.fork()
    if child == 0:
        act()
        os._exit(0)
    tree.site("parent", "wait4", "reap")
    os.waitpid(child, 0)  # mark: reap


def passes(act) -> None:
    """Healthy: the child's `act` comes back, and it computes."""
    tree.ready("none", "none", 2)
    child = os.fork()
    if child == 0:
        act()
        tree.site("child", "", "compute")
        while True:
            sum(range(1000))  # mark: compute
    tree.site("parent", "wait4", "reap healthy")
    os.waitpid(child, 0)  # mark: reap healthy


def slow_reader(reader: int) -> None:
    """The other end of the log is slow: its writer is nearly always in write(2)."""
    while True:
        time.sleep(0.02)
        os.read(reader, 64)


def flood(handler: logging.Handler) -> None:
    record = logging.makeLogRecord({"msg": "x" * 4000})
    while True:
        handler.handle(record)


def log_to_pipe(handler: logging.Handler) -> None:
    logging.getLogger().addHandler(handler)
    start(lambda: flood(handler), "flusher")
    time.sleep(0.3)


def log_start() -> None:
    tree.site("child", "futex", "log start")
    logging.error("started")  # mark: log start


def open_pipe(mode: str) -> io.IOBase:
    reader, writer = os.pipe()
    start(lambda: slow_reader(reader), "reader")
    return os.fdopen(writer, mode)


def log_stream() -> None:
    """logging gives its handlers new locks in the child; the stream below keeps its old one."""
    log_to_pipe(logging.StreamHandler(open_pipe("w")))
    stuck(log_start, "python_lock")


def binary_file() -> None:
    """The same without logging."""
    stream = open_pipe("wb")

    def flood_stream() -> None:
        while True:
            stream.write(b"x" * 4000)
            stream.flush()

    def write_start() -> None:
        tree.site("child", "futex", "write start")
        stream.write(b"started\n")  # mark: write start

    start(flood_stream, "flusher")
    time.sleep(0.3)
    stuck(write_start, "python_lock")


class OwnLock(logging.Handler):
    """As handlers of some libraries do: a lock that logging does not know."""

    def createLock(self) -> None:
        self.lock = threading.RLock()

    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(0.05)


def log_handler() -> None:
    log_to_pipe(OwnLock())
    stuck(log_start, "python_rlock")


class Slow(logging.StreamHandler):
    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(0.05)
        super().emit(record)


def log_safe() -> None:
    """Healthy: the handler's lock is held at fork, and logging makes it new; its stream is free."""
    log_to_pipe(Slow(open(os.devnull, "w", encoding="utf-8")))
    passes(lambda: logging.error("started"))


PLUGIN = "import time\nif not %r: time.sleep(3600)\n"


def load(name: str) -> None:
    tree.site("child", "futex", "import plugin")
    importlib.import_module(name)  # mark: import plugin


def make_plugin(name: str, quick: bool) -> None:
    with open(name + ".py", "w", encoding="utf-8") as file:
        file.write(PLUGIN % quick)
    sys.path.insert(0, os.getcwd())


def import_plugin() -> None:
    """A thread of the parent imports a module whose start takes long; the child wants it, too."""
    make_plugin("slow_plugin", False)
    start(lambda: importlib.import_module("slow_plugin"), "loader")
    time.sleep(0.3)
    stuck(lambda: load("slow_plugin"), "import_lock")


def import_safe() -> None:
    """Healthy: imported before the fork; another module is on its way."""
    make_plugin("quick_plugin", True)
    make_plugin("slow_plugin", False)
    importlib.import_module("quick_plugin")
    start(lambda: importlib.import_module("slow_plugin"), "loader")
    time.sleep(0.3)
    passes(lambda: importlib.import_module("quick_plugin"))


cache = threading.Lock()


def keep_cache() -> None:
    with cache:
        while True:
            time.sleep(0.02)


def look_up() -> None:
    tree.site("child", "futex", "look up")
    with cache:  # mark: look up
        pass


def plain_lock() -> None:
    """A threading.Lock does not say who has it: the parent's own copy does."""
    start(keep_cache, "keeper")
    time.sleep(0.2)
    stuck(look_up, "python_lock")


class SlowQueue(queue.Queue):
    """Its items go to a slow place, under the queue's mutex."""

    def _put(self, item: object) -> None:
        time.sleep(0.5)


orders = SlowQueue()


def take_orders() -> None:
    while True:
        orders.put("order")


def put_order() -> None:
    tree.site("child", "futex", "put order")
    orders.put("another")  # mark: put order


def queue_mutex() -> None:
    """A thread of the parent is nearly always in put()."""
    start(take_orders, "feeder")
    time.sleep(0.2)
    stuck(put_order, "python_lock")


def renew_cache() -> None:
    global cache
    cache = threading.Lock()


def registered() -> None:
    """Healthy: the library makes its lock new in the child."""
    os.register_at_fork(after_in_child=renew_cache)
    start(keep_cache, "keeper")
    time.sleep(0.2)

    def look() -> None:
        with cache:
            pass

    passes(look)


tree.run({"log_stream": log_stream, "binary_file": binary_file, "log_handler": log_handler,
          "log_safe": log_safe, "import_plugin": import_plugin, "import_safe": import_safe,
          "plain_lock": plain_lock, "queue_mutex": queue_mutex, "registered": registered})
