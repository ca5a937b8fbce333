#include "diagnose/diagnose.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "base/text.hpp"
#include "diagnose/signature.hpp"
#include "diagnose/verdict.hpp"

namespace coldcase {
namespace {

constexpr std::array table{
    Detector{"gil-driver-inversion", FindingKind::deadlock,
             "One thread holds Python's GIL and waits for a lock in the CUDA driver; that lock's "
             "holder waits for the GIL.",
             "owner word of the lock, and the interpreter's record of the GIL's holder",
             detect_gil_driver_inversion},
    Detector{"gil-lock-inversion", FindingKind::deadlock,
             "One thread holds Python's GIL and waits for a native lock; that lock's holder waits "
             "for the GIL.",
             "owner word of the lock, and the interpreter's record of the GIL's holder",
             detect_gil_lock_inversion},
    Detector{"event-loop-blocked", FindingKind::deadlock,
             "An event loop's own thread blocks on what only that loop could bring about.",
             "the future's loop is the one this thread runs", detect_event_loop_blocked},
    Detector{"task-cycle", FindingKind::deadlock,
             "asyncio tasks wait for each other (locks, awaits) while the loop idles.",
             "the tasks' await chains and asyncio's own objects", detect_task_cycle},
    Detector{"file-lock-cycle", FindingKind::deadlock,
             "Processes wait for each other's file locks (flock, fcntl).",
             "the kernel's list of locks, taken beside the cores", detect_file_lock_cycle},
    Detector{"loader-lock-cycle", FindingKind::deadlock,
             "The dynamic loader's lock against another lock or a join.", "owner word",
             detect_loader_lock_cycle},
    Detector{"spin-wait-cycle", FindingKind::deadlock,
             "A spinning thread holds what the thread it spins for needs.", "spin and owner",
             detect_spin_wait_cycle},
    Detector{"join-undrained-queue", FindingKind::deadlock,
             "A process waits for a child that cannot end before its queue is read.", "both cores",
             detect_join_undrained_queue},
    Detector{"import-lock-cycle", FindingKind::deadlock,
             "An import waits for what only goes on when that import is finished.",
             "the import lock's owner", detect_import_lock_cycle},
    Detector{"pool-starvation", FindingKind::deadlock,
             "Every worker of a pool waits for work that only that pool could do.",
             "all workers' waits known", detect_pool_starvation},
    Detector{"pipe-cycle", FindingKind::deadlock,
             "Each side blocks on a pipe, socket or queue that the other should read or write.",
             "both ends known", detect_pipe_cycle},
    Detector{"async-signal-reentry", FindingKind::deadlock,
             "A signal handler takes what the code it interrupted holds.",
             "signal frame between the two", detect_async_signal_reentry},
    Detector{"self-deadlock", FindingKind::deadlock,
             "A thread waits for a lock that it holds itself.", "the owner is the waiter",
             detect_self_deadlock},
    Detector{"lock-cycle", FindingKind::deadlock,
             "Threads wait for locks in a ring, native and Python's in any mix.",
             "every edge's holder known", detect_lock_cycle},
    Detector{"join-cycle", FindingKind::deadlock,
             "A thread waits for the end of another that waits for something the first holds.",
             "join target known", detect_join_cycle},
    Detector{"collective-mismatch", FindingKind::deadlock,
             "Ranks of an MPI job are in different collectives, or one never enters.",
             "cores of the ranks; each one's unfinished message, and nothing on its way between "
             "them",
             detect_collective_mismatch},
    Detector{"message-cycle", FindingKind::deadlock,
             "Ranks of an MPI job wait in a ring for messages of each other.",
             "cores of the ranks, and each one's unfinished message", detect_message_cycle},
    Detector{"collective-wait", FindingKind::info,
             "Ranks of an MPI job wait in a collective for one that may still come.",
             "cores of the ranks", detect_collective_wait},
    Detector{"after-finalization", FindingKind::hang,
             "The interpreter is ending and cut threads off, or killed the process doing so, and "
             "something waits for them.",
             "the interpreter's state, and the thread it parked or ended",
             detect_after_finalization},
    Detector{"blocking-finalizer", FindingKind::hang,
             "A finalizer, run by the garbage collector or a last reference, waits without end.",
             "the collector's state and the finalizer's frame, and what it waits for",
             detect_blocking_finalizer},
    Detector{"orphaned-semaphore", FindingKind::deadlock,
             "A semaphore shared between processes that no living one of them holds.",
             "all processes of the incident read", detect_orphaned_semaphore},
    Detector{"fork-orphaned-lock", FindingKind::deadlock,
             "A lock was held by a thread of the parent at fork; the child has no such thread.",
             "the owner is alive in the parent's core", detect_fork_orphaned_lock},
    Detector{"orphaned-lock", FindingKind::deadlock,
             "The thread that holds the lock has ended without releasing it.",
             "every thread's own number was read and the owner is none of them",
             detect_orphaned_lock},
    Detector{"exit-blocked", FindingKind::hang,
             "The program has finished but cannot exit: it waits for a thread or child.",
             "exit frames and join target", detect_exit_blocked},
    Detector{"lost-wakeup", FindingKind::hang,
             "Threads wait for a signal, and no living thread could give it.",
             "every thread of the process waits inside it, without a timeout", detect_lost_wakeup},
    Detector{"blocked-holder", FindingKind::hang,
             "Everyone waits for one holder that is itself blocked outside the process.",
             "chain known", detect_blocked_holder},
    Detector{"lock-convoy", FindingKind::info, "No deadlock: many wait for one holder that runs.",
             "holder running", detect_lock_convoy},
    Detector{"crash-assert", FindingKind::crash, "An assertion failed.",
             "the C library's abort message", detect_crash_assert},
    Detector{"crash-uncaught-exception", FindingKind::crash,
             "A C++ exception was thrown and nobody caught it.", "the exception object",
             detect_crash_uncaught_exception},
    Detector{"crash-abort", FindingKind::crash, "The process aborted itself.", "the signal",
             detect_crash_abort},
    Detector{"crash-segv", FindingKind::crash, "A memory access was refused.",
             "the signal and the registers", detect_crash_segv},
    Detector{"crash-illegal-instruction", FindingKind::crash,
             "The processor met an instruction it does not run.", "the signal",
             detect_crash_illegal_instruction},
    Detector{"crash-bus", FindingKind::crash, "Mapped memory could not be had.", "the signal",
             detect_crash_bus},
    Detector{"crash-fpe", FindingKind::crash, "An arithmetic error, as a division by zero.",
             "the signal", detect_crash_fpe},
    Detector{"crash-killed", FindingKind::crash, "The process died of another signal of its own.",
             "the signal", detect_crash_killed},
};

// What makes two findings one story: the kind, who is in it and what they wait for.
struct Parties {
  FindingKind kind;
  std::vector<ThreadId> threads;
  std::vector<ResourceId> resources;
  std::vector<TaskId> tasks;  // of a ring of tasks alone
  friend auto operator<=>(const Parties&, const Parties&) = default;
};

// A finding's threads, for telling whether a refined pattern has told these already.
Parties parties_of(const Finding& finding) {
  Parties parties{finding.kind, finding.threads, finding.resources, {}};
  if (finding.threads.empty()) parties.tasks = finding.tasks;
  std::ranges::sort(parties.threads);
  std::ranges::sort(parties.resources);
  return parties;
}

ProcessId home_of(const Facts& facts, const Finding& finding) {
  if (!finding.threads.empty()) return facts.threads[finding.threads.front().index].process;
  return finding.tasks.empty() ? ProcessId{} : facts.tasks[finding.tasks.front().index].process;
}

bool has_only(const Finding& plain, const Finding& refined) {
  return std::ranges::all_of(plain.threads, [&](ThreadId id) {
    return std::ranges::find(refined.threads, id) != refined.threads.end();
  });
}

// The same people, told by a plainer pattern.
bool retells(const Facts& facts, const Finding& refined, const Finding& plain) {
  if (refined.pattern == "after-finalization")
    return plain.pattern != refined.pattern && !plain.cyclic && has_only(plain, refined);
  if (refined.pattern == "exit-blocked")
    return plain.pattern == "lost-wakeup" && home_of(facts, plain) == home_of(facts, refined);
  // Who waits behind a loop that cannot go on waits for nothing else.
  if (refined.pattern == "event-loop-blocked" || refined.pattern == "task-cycle")
    return (plain.pattern == "lost-wakeup" || plain.pattern == "blocked-holder") &&
           home_of(facts, plain) == home_of(facts, refined);
  // Who waits for a signal that nobody is left to give is no holder that goes on.
  if (refined.pattern == "lost-wakeup" && plain.pattern == "blocked-holder")
    return refined.confidence > Confidence::hypothesis && !plain.threads.empty() &&
           std::ranges::find(refined.threads, plain.threads.front()) != refined.threads.end();
  if (refined.pattern != "join-undrained-queue") return false;
  return (plain.pattern == "join-cycle" || plain.pattern == "pipe-cycle") &&
         has_only(plain, refined);
}

// The refined pattern says more; that the plainer one is sure makes it as sure.
void prefer_refined(const Facts& facts, std::vector<Finding>& findings) {
  for (Finding& refined : findings) {
    for (Finding& plain : findings) {
      if (!retells(facts, refined, plain)) continue;
      if (refined.pattern != "lost-wakeup")
        refined.confidence = std::max(refined.confidence, plain.confidence);
      for (const Edge& edge : refined.path)
        refined.confidence = std::min(refined.confidence, edge.confidence);
      plain.pattern.clear();
    }
  }
  std::erase_if(findings, [](const Finding& finding) { return finding.pattern.empty(); });
}

// What fits anywhere, when nothing better does: a lone thread that waits for the outside.
void drop_lesser(std::vector<Finding>& findings) {
  const auto lone = [](const Finding& finding) {
    return finding.pattern == "blocked-holder" && finding.threads.size() == 1;
  };
  const bool better = std::ranges::any_of(findings, [&](const Finding& finding) {
    return finding.kind != FindingKind::info && !lone(finding);
  });
  if (better) std::erase_if(findings, lone);
}

}  // namespace

std::span<const Detector> detectors() {
  return table;
}

void diagnose(Analysis& analysis) {
  bool cut = false;
  const std::vector<Ring> rings = find_rings(analysis.facts, &cut);
  if (cut) {
    analysis.facts.notes.push_back({"ring-search-limit",
                                    Severity::warning,
                                    "the search for rings of waiting threads ended at its limit: "
                                    "there may be more than are told.",
                                    "",
                                    "",
                                    {}});
  }
  const std::vector<bool> stuck = find_stuck(analysis.facts);
  const Scene scene{analysis.facts, rings, stuck};
  std::set<Parties> told;
  for (const Detector& detector : table) {
    for (Finding& finding : detector.detect(scene)) {
      if (told.insert(parties_of(finding)).second) analysis.findings.push_back(std::move(finding));
    }
  }
  prefer_refined(analysis.facts, analysis.findings);
  drop_lesser(analysis.findings);
  // Best first: the surest, and of equals a crash before what else was going on.
  std::ranges::stable_sort(analysis.findings, [](const Finding& a, const Finding& b) {
    const bool info_a = a.kind == FindingKind::info, info_b = b.kind == FindingKind::info;
    if (info_a != info_b) return info_b;
    if (a.confidence != b.confidence) return a.confidence > b.confidence;
    return a.kind == FindingKind::crash && b.kind != FindingKind::crash;
  });
  for (Finding& finding : analysis.findings)
    finding.signature = make_signature(analysis.facts, finding);
  set_tags(analysis);
  judge(analysis);
  add_totals(analysis);
}

}  // namespace coldcase
