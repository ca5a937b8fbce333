"""What the processes of a Python tree program know about their own end, line by line.

    SITE {"thread": "writer", "pid": 8, "tid": 8, "settles": "read", "function": "f", ...}
    EDGE {"from": "parent", "kind": "process_exit", "to": "writer"}
    READY {"pattern": "orphaned-semaphore", "kind": "deadlock", "expects": 3}

Lines of a program are found by its `# mark: NAME` comments. Each line is one write: those of
several processes do not mix.
"""
import ctypes
import json
import os
import platform
import sys

GETTID = {"x86_64": 186, "aarch64": 178}  # threading.get_native_id is of 3.8
_libc = ctypes.CDLL(None)


def gettid() -> int:
    return _libc.syscall(GETTID[platform.machine()])


def say(word: str, facts: dict) -> None:
    os.write(1, ("%s %s\n" % (word, json.dumps(facts))).encode())


_home = 0  # the process whose folder this is


def own_folder() -> None:
    """The kernel writes `core` into the working folder: each process has its own."""
    global _home
    if _home != os.getpid():
        _home = os.getpid()
        os.mkdir(str(_home))
        os.chdir(str(_home))


def line_of(path: str, mark: str) -> int:
    with open(path, encoding="utf-8") as source:
        for number, text in enumerate(source, 1):
            if text.rstrip().endswith("# mark: " + mark):
                return number
    raise LookupError(mark)


def site(name: str, settles: str, mark: str = "", tid: int = 0) -> None:
    """The calling thread (or `tid`) will rest in `settles`, in the calling function at `mark`."""
    own_folder()
    caller = sys._getframe(1)
    path = caller.f_code.co_filename
    facts = {"thread": name, "pid": os.getpid(), "tid": tid or gettid(),
             "settles": settles}
    if mark:
        facts.update(function=caller.f_code.co_name, file=os.path.basename(path),
                     line=line_of(path, mark))
    say("SITE", facts)


def edge(waiter: str, kind: str, to: str = "") -> None:
    say("EDGE", {"from": waiter, "kind": kind, "to": to})


def ready(pattern: str, kind: str, expects: int) -> None:
    say("READY", {"pattern": pattern, "kind": kind, "expects": expects})


def skip(lacks: str) -> None:
    """This machine lacks something that the scenario needs."""
    say("SKIP", {"lacks": lacks})
    os._exit(0)


def run(scenarios: dict) -> None:
    own_folder()
    scenarios[sys.argv[1]]()
