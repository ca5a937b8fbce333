"""What a Python scenario knows about itself, told line by line to the matrix that grades it.

    THREAD {"name": "left", "tid": 8, "settles": "futex"}
    WAIT {"thread": "left", "kind": "python_lock", "address": 140, "label": "Account.lock"}
    HOLD {"thread": "right", "address": 140, "kind": "", "sure": "very_likely"}
    SITE {"thread": "left", "function": "transfer", "file": "locks.py", "line": 12, "native": false}
    TASK {"name": "fetch", "kind": "asyncio_lock", "address": 140, "holder": "store"}
    READY {"pattern": "lock-cycle", "kind": "deadlock", "expects": 3, "least": "right", "dies": false}

A scenario is a function marked @scenario of a file in this folder, started as `FILE SCENARIO`. It
says what each thread *really* waits for and holds, whether or not a core can tell; threads are
named by threading's names. Runs on CPython 3.6 and later; `since` says where a scenario needs more.
Lines of a program are found by its `# mark: NAME` comments. What is only known after READY may be
said after it. `FILE --list` prints a line of JSON for each scenario.
"""
import ctypes
import json
import os
import sys
import threading
import time

_GETTID = 186  # x86_64; threading.get_native_id is of 3.8
_libc = ctypes.CDLL(None)
_registered = set()
SCENARIOS = {}


def scenario(pattern, kind="deadlock", since=(3, 6), before=(4, 0), least="right", needs="",
             dies=False):
    """Its pattern's slug (or "none") and the verdict, several with a bar between; run on
    interpreters from `since` and before `before`. `least`: what a report's pattern must be at least
    (weaker, silent), where more cannot be had yet; `needs`: the extension module it imports, of
    programs/extensions, or pypi:NAME; `dies`: it may end by a signal of its own instead of hanging."""
    def add(function):
        SCENARIOS[function.__name__] = function, {
            "name": function.__name__, "pattern": pattern, "kind": kind, "since": since,
            "before": before, "least": least, "needs": needs, "dies": dies}
        return function
    return add


def _say(word, facts):
    os.write(1, ("%s %s\n" % (word, json.dumps(facts))).encode())


def _own_name():
    return threading.current_thread().name


def gettid():
    return _libc.syscall(_GETTID)


def thread(settles="futex", name=""):
    """The calling thread will rest in this system call (several with a bar between); "" when it
    never rests."""
    name = name or _own_name()
    _say("THREAD", {"name": name, "tid": gettid(), "settles": settles})
    _registered.add(name)


def waits(kind, on=None, label="", thread="", address=0, then="", timeout=False):
    """The thread (or the calling one) waits for `on`. `kind`: the report's word, or several of them
    with a bar between; `label`: what the report's name of it has to contain; `then`: the thread
    whose end it waits for; `timeout`: the wait ends by itself."""
    _say("WAIT", {"thread": thread or _own_name(), "kind": kind,
                  "address": address or (id(on) if on is not None else 0), "label": label,
                  "end_of": then, "timeout": timeout})


def holds(what=None, thread="", address=0, kind="", sure=""):
    """The thread (or the calling one) holds `what`; of the GIL, which has no address here, the
    `kind` is enough. `sure`: the highest confidence that a core allows, where that is not proved
    for what records its owner and very_likely for a plain lock."""
    recorded = kind in ("gil", "mutex") or type(what).__name__ in ("RLock", "_RLock")
    _say("HOLD", {"thread": thread or _own_name(),
                  "address": address or (id(what) if what is not None else 0), "kind": kind,
                  "sure": sure or ("proved" if recorded else "very_likely")})


def waits_task(name, kind, on=None, label="", holder=""):
    """An asyncio task by its name, and what it awaits: the task or lock, and that one's holder."""
    _say("TASK", {"name": name, "kind": kind, "address": id(on) if on is not None else 0,
                  "label": label, "holder": holder})


def site(thread_name, function, mark, native=False):
    """The innermost Python frame of the program's own that the thread will be in, when all is over;
    `native`: code of an extension of its own is further in."""
    path = sys._getframe(1).f_code.co_filename
    with open(path, encoding="utf-8") as source:
        for number, text in enumerate(source, 1):
            if text.rstrip().endswith("# mark: " + mark):
                _say("SITE", {"thread": thread_name, "function": function,
                              "file": os.path.basename(path), "line": number, "native": native})
                return
    raise LookupError(mark)


def until(expects):
    """So many threads have said what they are."""
    while len(_registered) < expects:
        time.sleep(0.001)


def ready(expects):
    """So many threads have said what they are; main says this before it waits itself."""
    until(expects)
    _say("READY", dict(SCENARIOS[sys.argv[1]][1], expects=expects))


def start(*functions, daemon=False):
    """A thread for each, named like it."""
    threads = [threading.Thread(target=function, name=function.__name__) for function in functions]
    for one in threads:
        one.daemon = daemon
        one.start()
    return threads


def run():
    if sys.argv[1] == "--list":
        for _, facts in SCENARIOS.values():
            print(json.dumps(facts))
        return
    if len(sys.argv) > 2 and sys.argv[2] == "traced":  # as a debugger or a coverage tool does
        def trace(frame, event, argument):
            return trace
        threading.settrace(trace)
        sys.settrace(trace)
    SCENARIOS[sys.argv[1]][0]()
