"""The incidents of programs/trees and what the report has to say of each.

`sure` is what cores with side-cars tell, `bare` what cores alone do; where they are the same, one is
enough. A view with `only` is of some of the cores.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence

import environments
from tree_checks import View

BOTH = ("kernel", "gcore", "capture")


@dataclass(frozen=True)
class Case:
    program: str
    scenario: str
    bare: Sequence[View]
    sure: Sequence[View] = ()  # with side-cars; as `bare` without
    python: bool = False
    needs: Optional[environments.Package] = None  # of Python programs
    since: Sequence[int] = (3, 6)  # CPython
    dumps: Sequence[str] = BOTH
    variants: Sequence[str] = ("debug", "release")  # of native programs

    def name(self) -> str:
        return self.program + "-" + self.scenario

    def views(self, side_cars: bool) -> Sequence[View]:
        return self.sure if side_cars and self.sure else self.bare


def dead(pattern: str, confidence: str, **more: object) -> View:
    return View((pattern,), "deadlock", confidence, **more)  # type: ignore[arg-type]


def hung(pattern: str, confidence: str, **more: object) -> View:
    return View((pattern,), "hang", confidence, **more)  # type: ignore[arg-type]


HEALTHY = View(("none", "lock-convoy"), "none")
OPEN = View(("none",), "inconclusive")


def native(program: str, scenario: str, *bare: View, sure: Sequence[View] = ()) -> Case:
    return Case(program, scenario, bare, sure)


def python(program: str, scenario: str, *bare: View, sure: Sequence[View] = (),
           since: Sequence[int] = (3, 6)) -> Case:
    return Case(program, scenario, bare, sure, python=True, since=since)


NATIVE: List[Case] = [
    native("pipes", "readers", dead("pipe-cycle", "likely", edges=False),
           sure=[dead("pipe-cycle", "very_likely", most="very_likely")]),
    native("pipes", "writers", dead("pipe-cycle", "likely", edges=False),
           sure=[dead("pipe-cycle", "very_likely", most="very_likely")]),
    native("pipes", "reaper", HEALTHY,  # as a shell whose child reads from elsewhere
           sure=[dead("join-cycle", "very_likely", most="very_likely")]),
    native("pipes", "answering", HEALTHY),
    native("pipes", "reaping", HEALTHY),
    native("pipes", "prefork", HEALTHY),
    native("pipes", "helped", dead("pipe-cycle", "likely", edges=False),
           sure=[dead("pipe-cycle", "very_likely", most="very_likely")]),
    native("pipes", "ticking", HEALTHY),
    native("file_locks", "flock", OPEN, sure=[dead("file-lock-cycle", "proved")]),
    native("file_locks", "both", OPEN, sure=[dead("file-lock-cycle", "proved")]),
    native("file_locks", "busy", OPEN, sure=[HEALTHY]),
    native("orphans", "mutex", dead("orphaned-lock", "proved")),
    native("orphans", "rwlock", dead("orphaned-lock", "proved")),
    native("orphans", "killed", OPEN),
    native("orphans", "forked", dead("fork-orphaned-lock", "proved"),
           dead("fork-orphaned-lock", "likely", only=("child",))),
    native("handlers", "mutex", dead("async-signal-reentry", "proved")),
    native("handlers", "allocator", dead("async-signal-reentry", "very_likely", edges=False)),
    native("handlers", "timezone", dead("async-signal-reentry", "very_likely", edges=False)),
    native("handlers", "quiet", HEALTHY),
    native("handlers", "timer", View(("lost-wakeup",), "inconclusive", most="hypothesis")),
    native("loader", "join", dead("loader-lock-cycle", "proved")),
    native("loader", "busy", HEALTHY),
    native("rings", "three", dead("lock-cycle", "proved")),
    native("rings", "join_held", dead("join-cycle", "proved")),
    native("rings", "join_each", dead("join-cycle", "proved")),
    native("rings", "lost", hung("lost-wakeup", "likely")),
    native("rings", "promised", hung("lost-wakeup", "likely", most="likely", more=True)),
    native("rings", "signalled", HEALTHY),
    native("rings", "at_exit", hung("exit-blocked", "likely")),
    native("rings", "busy_at_exit", HEALTHY),
    native("rings", "barrier", HEALTHY),
    # Without its symbols a std::barrier is a futex like any other.
    Case("rings", "short_barrier", [hung("lost-wakeup", "very_likely", most="very_likely")],
         variants=("debug",)),
    # Who holds a spin lock is found where the compiler left the lock's address in reach.
    Case("rings", "spinning", [dead("spin-wait-cycle", "likely")], variants=("debug",)),
    # Who would change a polled word is what the code ahead of the blocked threads does.
    native("spins", "flag_cycle", dead("spin-wait-cycle", "likely", most="likely")),
    Case("spins", "flag_main", [dead("spin-wait-cycle", "likely", most="likely")],
         variants=("debug",)),
    native("spins", "lock_word", dead("spin-wait-cycle", "likely")),
    Case("spins", "flag_held", [hung("blocked-holder", "likely", more=True)],
         variants=("release",)),
    Case("spins", "ends", [HEALTHY], variants=("debug",)),
    native("spins", "computing", HEALTHY),
    Case("spins", "patient", [HEALTHY], variants=("debug",)),
    native("holders", "recv", hung("blocked-holder", "likely", most="likely", more=True)),
    native("holders", "poll", HEALTHY),
    # Not told from an endless one: SO_RCVTIMEO is the kernel's.
    native("holders", "timed_recv", hung("blocked-holder", "likely", most="likely", more=True)),
    native("holders", "waitpid", hung("blocked-holder", "proved", more=True),
           hung("blocked-holder", "likely", most="likely", more=True, only=("holder",))),
    native("holders", "sleep", hung("blocked-holder", "likely", most="likely", more=True)),
    native("holders", "short_sleep", HEALTHY),
    native("holders", "convoy", View(("lock-convoy",), "none")),
    native("holders", "alone", hung("blocked-holder", "likely", most="likely", named=True)),
    native("holders", "deaf", hung("blocked-holder", "likely", most="likely", named=True,
                                   edges=False),
           # Its parent, which may have the other end too, is not captured.
           sure=[dead("pipe-cycle", "likely", most="likely")]),
]

PYTHON: List[Case] = [
    python("queues", "orphaned_semaphore", dead("orphaned-semaphore", "likely", most="likely"),
           sure=[dead("orphaned-semaphore", "very_likely")]),
    python("queues", "undrained", dead("join-undrained-queue", "very_likely", more=True)),
    python("queues", "alive", HEALTHY),
    python("queues", "pipe_cycle", dead("pipe-cycle", "likely", edges=False),
           sure=[dead("pipe-cycle", "very_likely", most="very_likely")]),
    python("queues", "answering", HEALTHY),
    python("queues", "exit_child", hung("exit-blocked", "likely")),
    python("queues", "pool_idle", HEALTHY),
    python("queues", "pool_killed", hung("lost-wakeup", "likely", most="likely"),
           hung("lost-wakeup", "likely", most="likely", only=("parent",)),
           sure=[hung("lost-wakeup", "very_likely", most="very_likely")]),
    python("queues", "pool_joined", hung("lost-wakeup", "likely", most="likely"),
           hung("lost-wakeup", "likely", most="likely", only=("parent",)),
           sure=[hung("lost-wakeup", "very_likely", most="very_likely")]),
    # Cores taken one after the other do not say that all workers waited when the result was missing.
    python("queues", "pool_first", View(("none",), "none"),
           sure=[hung("lost-wakeup", "very_likely", most="very_likely")]),
    python("queues", "pool_consume", HEALTHY),
    python("queues", "pool_left", hung("lost-wakeup", "very_likely", most="very_likely")),
    python("queues", "pool_callback", hung("lost-wakeup", "very_likely", most="very_likely"),
           hung("lost-wakeup", "very_likely", most="very_likely", only=("parent",))),
    python("queues", "pool_two", HEALTHY, View(("none",), "none", only=("parent",))),
    python("queues", "pool_renewed", HEALTHY),
    python("queues", "pool_closing", HEALTHY),
    python("threads", "exit_worker", hung("exit-blocked", "likely")),
    python("threads", "exit_pool", hung("exit-blocked", "likely")),
    python("threads", "exit_server", HEALTHY),
    python("threads", "event_main", HEALTHY),
    python("threads", "barrier", HEALTHY),
    # Healthy too; what the handler does no core tells.
    python("threads", "signal_worker", View(("lost-wakeup",), "inconclusive", most="hypothesis")),
    python("threads", "timed_ring", HEALTHY),
    python("threads", "loop_unwoken", hung("lost-wakeup", "very_likely", most="very_likely"),
           since=(3, 8)),
    python("threads", "loop_lone", hung("lost-wakeup", "likely", most="likely"), since=(3, 8)),
    python("threads", "loop_polls", hung("blocked-holder", "likely", most="likely", edges=False,
                                         more=True),
           sure=[dead("pipe-cycle", "likely", most="likely", edges=False)],
           since=(3, 8)),
    python("threads", "loop_parked", HEALTHY),
    python("threads", "loop_server", HEALTHY),
    python("threads", "lost_event", hung("lost-wakeup", "likely")),
    python("threads", "hold_recv", hung("blocked-holder", "likely", more=True)),
    python("threads", "hold_timed_recv", HEALTHY),
    # time.sleep is until a point in time (3.11 and later), which no core can put off against now.
    python("threads", "hold_select", hung("blocked-holder", "likely", more=True)),
    python("threads", "hold_short", HEALTHY),
    python("threads", "run_child", HEALTHY),
    # Without a side-car the descriptor may be a socket, with a timeout of its own.
    python("threads", "gil_pipe", hung("blocked-holder", "likely", most="likely"),
           sure=[hung("blocked-holder", "proved")]),
    python("threads", "alone", hung("blocked-holder", "likely", more=True)),
    python("threads", "self_answer", hung("blocked-holder", "likely", most="likely", more=True),
           sure=[dead("pipe-cycle", "likely", most="likely", edges=False)]),
    python("threads", "join_held", dead("join-cycle", "likely")),
    python("threads", "forked", dead("fork-orphaned-lock", "likely")),
]

# Children that fork made of processes with threads.
CHILD = dead("fork-orphaned-lock", "likely", most="likely", only=("child",))
GUESSED = View(("fork-orphaned-lock",), "inconclusive")


def arrays(scenario: str, *bare: View) -> Case:
    return Case("arrays", scenario, bare, python=True, needs=environments.NUMPY)


def channels(scenario: str, *bare: View) -> Case:
    return Case("channels", scenario, bare, python=True, needs=environments.GRPC)


FORKS: List[Case] = [
    native("clones", "arena", dead("fork-orphaned-lock", "likely"), CHILD),
    native("clones", "arena_bare", dead("fork-orphaned-lock", "likely"), CHILD),
    native("clones", "arena_safe", HEALTHY),
    native("clones", "jemalloc", dead("fork-orphaned-lock", "likely"), CHILD),
    native("clones", "jemalloc_safe", HEALTHY),
    native("clones", "tcmalloc", dead("fork-orphaned-lock", "likely"), CHILD),
    native("clones", "tcmalloc_safe", HEALTHY),
    native("clones", "stdio", dead("fork-orphaned-lock", "proved"), CHILD),
    native("clones", "stdio_safe", HEALTHY),
    native("clones", "mutex_bare", dead("fork-orphaned-lock", "proved"), CHILD),
    native("openmp", "team", dead("fork-orphaned-lock", "likely", most="very_likely"), CHILD),
    native("openmp", "polling", dead("fork-orphaned-lock", "likely", most="very_likely"), CHILD),
    native("openmp", "paused", HEALTHY),
    native("openmp", "first", HEALTHY),
    native("blas", "busy", hung("lost-wakeup", "very_likely", most="very_likely", more=True)),
    native("blas", "idle", HEALTHY),
    # The child has the reading end of the parent's pipe: its writer is behind both.
    python("forks", "log_stream", dead("fork-orphaned-lock", "proved", more=True), CHILD),
    python("forks", "binary_file", dead("fork-orphaned-lock", "proved", more=True), CHILD),
    python("forks", "log_handler", dead("fork-orphaned-lock", "proved"), CHILD),
    python("forks", "log_safe", HEALTHY),
    python("forks", "import_plugin", dead("fork-orphaned-lock", "proved"), CHILD),
    python("forks", "import_safe", HEALTHY),
    # A plain lock records no owner: of the child alone nothing is claimed.
    python("forks", "plain_lock", dead("fork-orphaned-lock", "likely", most="likely"),
           View(("none",), "inconclusive", only=("child",))),
    python("forks", "queue_mutex", dead("fork-orphaned-lock", "likely", most="likely"),
           View(("none",), "inconclusive", only=("child",))),
    python("forks", "registered", HEALTHY),
    arrays("openmp", dead("fork-orphaned-lock", "likely", most="very_likely"), CHILD),
    arrays("openmp_first", HEALTHY),
    arrays("idle", HEALTHY),
    arrays("busy", hung("lost-wakeup", "very_likely", most="very_likely")),
    # The child polls: it may as well wait for a slow answer.
    channels("unsupported", GUESSED, View(GUESSED.patterns, GUESSED.kind, only=("child",))),
    channels("supported", HEALTHY),
]

GROUPS: Dict[str, List[Case]] = {"native": NATIVE, "python": PYTHON, "forks": FORKS}
CASES: List[Case] = NATIVE + PYTHON + FORKS
