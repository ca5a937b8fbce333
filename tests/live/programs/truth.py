"""What a Python test program knows about its own end, printed as one line for the harness.

    READY {"pid": 7, "pattern": "lock-cycle", "kind": "deadlock", "threads": {"left": 8}, ...}

Threads register themselves; lines are found by the `# mark: NAME` comments of the program.
"""
import json
import os
import platform
import sys
import threading
import time

SLEEP_CALLS = {"x86_64": ("35", "230"), "aarch64": ("101", "115")}  # nanosleep, clock_nanosleep

GETTID = {"x86_64": 186, "aarch64": 178}


def gettid() -> int:
    if hasattr(threading, "get_native_id"):  # 3.8 on
        return threading.get_native_id()
    import ctypes
    return ctypes.CDLL(None).syscall(GETTID[platform.machine()])


def trace(how: str) -> None:
    """Watches every function that begins from now on, in every thread, as a debugger or a coverage
    tool does: "lines", "opcodes" too, or by sys.monitoring (3.12 on)."""
    def watch(frame, event, argument):
        if how == "opcodes" and hasattr(frame, "f_trace_opcodes"):  # 3.7 on
            frame.f_trace_opcodes = True
        return watch
    if how == "monitoring" and hasattr(sys, "monitoring"):
        sys.monitoring.use_tool_id(sys.monitoring.COVERAGE_ID, "truth")
        sys.monitoring.register_callback(sys.monitoring.COVERAGE_ID, sys.monitoring.events.LINE,
                                         lambda code, line: None)
        sys.monitoring.set_events(sys.monitoring.COVERAGE_ID, sys.monitoring.events.LINE)
    else:
        threading.settrace(watch)
        sys.settrace(watch)


class Truth:
    def __init__(self, source: str, pattern: str, kind: str) -> None:
        if len(sys.argv) > 2:
            trace(sys.argv[2])
        self._source = source
        self._facts = {"pid": os.getpid(), "pattern": pattern, "kind": kind,
                       "python": ".".join(map(str, sys.version_info[:3])),
                       "threads": {}, "settles": {}, "sites": [], "edges": [], "apis": {}}

    def line_of(self, mark: str) -> int:
        with open(self._source, encoding="utf-8") as source:
            for number, text in enumerate(source, 1):
                if text.rstrip().endswith("# mark: " + mark):
                    return number
        raise LookupError(mark)

    def thread(self, settles: str = "") -> None:
        """Registers the calling thread; `settles`: the system call it will rest in."""
        name = threading.current_thread().name
        if settles:
            self._facts["settles"][name] = settles
        self._facts["threads"][name] = gettid()

    def wait_for(self, threads: int) -> None:
        while len(self._facts["threads"]) < threads:
            time.sleep(0.001)

    def site(self, thread: str, function: str, mark: str) -> None:
        """The innermost Python frame of a thread, when all is over."""
        self._facts["sites"].append({"thread": thread, "function": function,
                                     "file": os.path.basename(self._source),
                                     "line": self.line_of(mark)})

    def edge(self, waiter: str, resource: str, holder: str) -> None:
        self._facts["edges"].append({"from": waiter, "resource": resource, "to": holder})

    def api(self, thread: str, name: str) -> None:
        self._facts["apis"][thread] = name

    def callback(self, function: str, mark: str) -> None:
        self._facts["callback"] = {"function": function, "line": self.line_of(mark),
                                   "file": os.path.basename(self._source)}

    def zmq(self, port: int, open_sockets: list) -> None:
        """Of the context that is waited for: a port in use, and the types of its open sockets."""
        self._facts["zmq"] = {"port": port, "open": open_sockets}

    def finalizer(self, function: str, interrupted: str, mark: str) -> None:
        """The finalizer that blocks, and the function and line it began at."""
        self._facts["finalizer"] = {"function": function, "interrupted": interrupted,
                                    "file": os.path.basename(self._source),
                                    "line": self.line_of(mark)}

    def sleeps(self, name: str) -> bool:
        """Whether a registered thread is in nanosleep at this moment."""
        path = "/proc/self/task/%d/syscall" % self._facts["threads"][name]
        with open(path, encoding="ascii") as state:
            return state.read().split()[0] in SLEEP_CALLS[platform.machine()]

    def ready(self) -> None:
        print("READY " + json.dumps(self._facts), flush=True)
