"""Runs inside gdb (moments_test.py starts it): brings the process to instructions at which a dump hardly ever finds
it, and dumps it there.

    MOMENT=entering OUT=FOLDER gdb -batch -x moments.py --args python3 programs/moments/turns.py

    entering  each instruction with which the evaluation function begins a call
    giving    the GIL's holder wants the GIL's mutex to give it up; who asks for the GIL has that, awake
    waking    the instructions at the call with which a thread wakes those that sleep on a futex
    taken     those with which PyEval_RestoreThread takes the GIL, with its calls as one each

Prints `MOMENT FILE` for each core, `NOT REACHED why` where there is none.
"""
import os
import signal
import threading

import gdb  # there only inside gdb

OUT, MOMENT = os.environ["OUT"], os.environ["MOMENT"]
STEPS = {"entering": 48, "waking": 3, "taken": 24}


def say(text):
    gdb.write("\n" + text + "\n")  # gdb may be in the middle of a line of its own
    gdb.flush()


def number(expression):
    return int(gdb.parse_and_eval("(unsigned long)(%s)" % expression)) & (2 ** 64 - 1)


def dump(name):
    path = os.path.join(OUT, "core." + name)
    gdb.execute("gcore " + path, to_string=True)
    say("MOMENT " + path)


def stop_at(function, thread=None, condition=""):
    """Runs until a thread calls it: the only one that runs, or any."""
    point = gdb.Breakpoint(function, internal=True, temporary=True)
    point.silent = True
    if thread:
        point.thread = thread
    if condition:
        point.condition = condition
    gdb.execute("continue", to_string=True)
    if point.is_valid():
        point.delete()


def at_call():
    """On a system call's instruction: with its number, else none."""
    code = gdb.selected_inferior().read_memory(number("$pc"), 2).tobytes()
    return number("$rax") if code == b"\x0f\x05" else None


def at_wait():
    return at_call() == 202 and number("$rsi") & 0x7f in (0, 9)


def entering():
    stop_at("*%#x" % number("&_PyEval_EvalFrameDefault"))
    for step in range(STEPS[MOMENT]):
        dump("%02d" % step)
        gdb.execute("stepi", to_string=True)


def innermost_names(count):
    frame, names = gdb.newest_frame(), []
    while frame is not None and len(names) < count:
        names.append(frame.name() or "")
        frame = frame.older()
    return names


def comes_to_wait(asking, mutex):
    """The other of the two that take turns, alone, as far as it is sure to come if it has been asked."""
    other = next(thread for thread in gdb.selected_inferior().threads() if thread.num not in (1, asking))
    other.switch()
    names = innermost_names(4)
    if any("lll_lock" in name for name in names):  # it has come there already, and sleeps
        return True
    if any("futex" in name or "cond_" in name for name in names):  # asleep elsewhere: a step never ends
        return False
    gdb.execute("set scheduler-locking on")
    point = gdb.Breakpoint("*pthread_mutex_lock", internal=True)
    point.silent = True
    point.thread = other.num
    point.condition = "$rdi == %d" % mutex
    gdb.execute("stepi 20000", to_string=True)
    come = point.hit_count > 0
    point.delete()
    for _ in range(200 if come else 0):
        if at_wait():
            return True
        gdb.execute("stepi", to_string=True)
    gdb.execute("set scheduler-locking off")
    return False


def giving():
    stop_at("*pthread_cond_timedwait")
    asking, mutex = gdb.selected_thread().num, number("$rsi")
    for _ in range(12):
        if comes_to_wait(asking, mutex):
            return dump("giving")
        stop_at("*pthread_cond_timedwait")
        asking, mutex = gdb.selected_thread().num, number("$rsi")
    say("NOT REACHED the holder was not asked to give the GIL up")


def waking():
    stop_at("pthread_cond_broadcast")
    gdb.execute("set scheduler-locking on")
    for _ in range(400):
        if at_call() == 202 and number("$rsi") & 0x7f == 1:
            break
        gdb.execute("stepi", to_string=True)
    else:
        return say("NOT REACHED nobody sleeps there")
    for step in range(STEPS[MOMENT]):
        dump("%02d" % step)
        gdb.execute("stepi", to_string=True)


def taken():
    stop_at("*PyEval_RestoreThread")
    gdb.execute("set scheduler-locking on")
    for step in range(STEPS[MOMENT]):
        dump("%02d" % step)
        gdb.execute("nexti", to_string=True)


def give_up():
    """A process that comes nowhere: without it gdb comes back."""
    os.kill(gdb.selected_inferior().pid, signal.SIGKILL)


for setting in ("pagination off", "confirm off", "print thread-events off", "breakpoint pending on"):
    gdb.execute("set " + setting)
gdb.execute("handle SIGUSR1 stop nopass", to_string=True)
gdb.execute("run", to_string=True)  # to the signal that the program sends to the thread that is meant
watch = threading.Timer(20, give_up)
watch.daemon = True
watch.start()
try:
    {"entering": entering, "giving": giving, "waking": waking, "taken": taken}[MOMENT]()
except gdb.error as error:
    say("NOT REACHED " + str(error))
watch.cancel()
if gdb.selected_inferior().pid:
    gdb.execute("kill", to_string=True)
