"""Healthy: the first thread runs a sub-interpreter (3.8 to 3.11), which sleeps and takes the GIL again and again with
a thread state of its own, beside the thread's first one."""
import _xxsubinterpreters as interpreters

inner = interpreters.create()
interpreters.run_string(inner, """
import os, signal, time
os.kill(os.getpid(), signal.SIGUSR1)
while True:
    time.sleep(0.001)
""")
