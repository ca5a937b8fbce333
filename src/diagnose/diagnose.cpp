#include "diagnose/diagnose.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "base/text.hpp"
#include "diagnose/mpi_ranks.hpp"
#include "diagnose/signature.hpp"
#include "diagnose/work_queue.hpp"

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
             "Ranks of an MPI job wait in a collective for one that can still come.",
             "cores of the ranks", detect_collective_wait},
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
  friend auto operator<=>(const Parties&, const Parties&) = default;
};

// A finding's threads, for telling whether a refined pattern has told these already.
Parties parties_of(const Finding& finding) {
  Parties parties{finding.kind, finding.threads, finding.resources};
  std::ranges::sort(parties.threads);
  std::ranges::sort(parties.resources);
  return parties;
}

// In the finding's path somebody else stands between this thread and its going on.
bool waits_in_path(const Finding& finding, ThreadId id) {
  for (const Edge& wait : finding.path) {
    if (wait.from != Ref(id) || wait.relation != Relation::waits_for) continue;
    if (wait.to.kind == RefKind::thread || wait.to.kind == RefKind::process) return true;
    const bool held =
        std::ranges::any_of(finding.path, [&](const Edge& edge) { return edge.from == wait.to; });
    if (held) return true;
  }
  return false;
}

Tag tag_of(const Finding& finding, ThreadId id) {
  if (finding.kind == FindingKind::crash) return Tag::crashed;
  if (finding.kind == FindingKind::deadlock) return Tag::deadlocked;
  return waits_in_path(finding, id) ? Tag::behind : Tag::root_blocker;
}

void tag_the_rest(Facts& facts) {
  for (ThreadFact& thread : facts.threads) {
    if (thread.tag) continue;
    if (thread.state == ThreadState::idle) thread.tag = Tag::idle;
    if (thread.state == ThreadState::running) thread.tag = Tag::running;
  }
}

void set_tags(Analysis& analysis) {
  std::vector<ThreadId> told;
  for (std::uint32_t f = 0; f < analysis.findings.size(); ++f) {
    const Finding& finding = analysis.findings[f];
    for (const ThreadId id : finding.threads) {
      if (finding.confidence == Confidence::hypothesis || finding.kind == FindingKind::info)
        continue;
      ThreadFact& thread = analysis.facts.threads[id.index];
      if (thread.findings.empty() || thread.findings.back() != FindingId{f})
        thread.findings.push_back({f});
      if (finding.kind == FindingKind::info) continue;
      thread.tag = std::min(thread.tag.value_or(Tag::crashed), tag_of(finding, id));
      if (finding.kind != FindingKind::crash) told.push_back(id);
    }
  }
  for (const ThreadId id : find_behind(analysis.facts, told)) {
    ThreadFact& thread = analysis.facts.threads[id.index];
    if (!thread.tag) thread.tag = Tag::behind;
  }
  tag_the_rest(analysis.facts);
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

// Blocked without end on a lock whose holder is not known. What nobody owns by its nature (a queue,
// a condition) has no holder to be missed.
ResourceId lock_without_holder(const Facts& facts, ThreadId id) {
  const ThreadFact& thread = facts.threads[id.index];
  const ResourceId resource = thread.wait->on.front().as<RefKind::resource>();
  if (!resource.known() || thread.wait->kind == WaitKind::gil) return {};
  const ResourceFact& lock = facts.resources[resource.index];
  const bool missed = lock.owners.empty() && lock.owner_unknown_code != "no_owner";
  return missed && !gets_next_item(facts, id) ? resource : ResourceId{};
}

bool waits_for_unknown(const Facts& facts, ThreadId id) {
  const ThreadFact& thread = facts.threads[id.index];
  if (thread.state != ThreadState::blocked || !thread.wait || thread.wait->ends == Ends::timeout ||
      thread.wait->on.size() > 1)
    return false;
  // Ranks of an MPI job that wait for each other have a detector of their own.
  if (thread.wait->kind == WaitKind::collective || thread.wait->kind == WaitKind::io) return false;
  return thread.wait->on.empty() || lock_without_holder(facts, id).known();
}

// Nothing can be said of these.
std::size_t count_unknown(const Facts& facts) {
  std::size_t count = 0;
  for (std::uint32_t i = 0; i < facts.threads.size(); ++i)
    count += waits_for_unknown(facts, {i}) ? 1 : 0;
  return count;
}

// Asleep on a futex without end, with a stack that could not be read to its end: it may wait for
// anything.
std::size_t count_unread(const Facts& facts) {
  return static_cast<std::size_t>(
      std::ranges::count_if(facts.threads, [&](const ThreadFact& thread) {
        const bool whole =
            thread.stack.known() && facts.stacks[thread.stack.index].stop_code == "outermost";
        return !whole && thread.wait && thread.wait->ends == Ends::never &&
               thread.wait->syscall_name == "futex";
      }));
}

bool has_note(const Facts& facts, std::string_view code) {
  return std::ranges::find(facts.notes, code, &Note::code) != facts.notes.end();
}

// Greenlets that are switched out have no thread: an idle-looking process may hide a deadlock of
// theirs.
bool has_greenlets(const Facts& facts) {
  return std::ranges::any_of(
      facts.modules, [](const ModuleFact& module) { return module.name.starts_with("_greenlet"); });
}

// Monitors and java.util.concurrent's locks park each thread at a condition of its own: what it
// waits for stands in the Java heap, which is not read.
bool has_java(const Facts& facts) {
  return std::ranges::any_of(
      facts.modules, [](const ModuleFact& module) { return module.name.starts_with("libjvm.so"); });
}

void note_java(Analysis& analysis) {
  analysis.facts.notes.push_back(
      {"java-unread",
       Severity::warning,
       "Java's own locks are not read: threads that wait for each other's look idle here",
       "ask the JDK that ran it, which reads cores too: jhsdb jstack --exe PATH/bin/java --core "
       "CORE.",
       "",
       {}});
}

// Which locks these are, and what a person can still do.
void note_unknown_holders(Analysis& analysis) {
  constexpr std::size_t most = 5;
  std::set<ResourceId> locks;
  for (std::uint32_t i = 0; i < analysis.facts.threads.size() && locks.size() < most; ++i) {
    if (!waits_for_unknown(analysis.facts, {i}) || analysis.facts.threads[i].wait->on.empty())
      continue;
    const ResourceId id = lock_without_holder(analysis.facts, {i});
    if (!locks.insert(id).second) continue;
    const ResourceFact& lock = analysis.facts.resources[id.index];
    const std::string why =
        lock.owner_unknown_text.empty() ? "its holder is not recorded" : lock.owner_unknown_text;
    const bool outside = lock.owner_unknown_code == "not_in_core";
    const std::string advice =
        outside ? "Take the cores with  coldcase capture PID --tree -o DIR : beside each it notes "
                  "open files and who holds their locks."
                : "Look in all stacks for who takes it and does not give it back: coldcase show "
                  "stacks CORE.";
    analysis.facts.notes.push_back(
        {"holder-unknown", Severity::warning, lock.label + ": " + why + ".", advice, "", {id}});
  }
}

void judge_without_finding(Analysis& analysis) {
  const Facts& facts = analysis.facts;
  Verdict& verdict = analysis.verdict;
  verdict.kind = VerdictKind::inconclusive;
  const std::size_t unknown = count_unknown(facts);
  if (facts.threads.empty()) {
    verdict.headline = "The core has no threads in it: what they did cannot be told";
  } else if (has_note(facts, "python-unread")) {
    verdict.headline = "No deadlock among native locks; this Python's own state could not be read";
  } else if (has_java(facts)) {
    note_java(analysis);
    verdict.headline = "No deadlock among native locks; Java's own locks are not read";
  } else if (const std::size_t unread = count_unread(facts); unread > 0) {
    verdict.headline = "The stack of " + counted(unread, "thread") + " that " +
                       (unread == 1 ? "waits" : "wait") + " without end could not be read";
  } else if (unknown > 0) {
    note_unknown_holders(analysis);
    verdict.headline = counted(unknown, "thread") + (unknown == 1 ? " waits" : " wait") +
                       " without end for a lock whose holder the core does not tell";
  } else if (has_note(facts, "mpi-ranks-missing")) {
    verdict.headline =
        "Ranks of an MPI job wait in MPI: the cores of the other ranks are needed to tell for whom";
  } else if (has_stuck_ranks(facts)) {
    verdict.headline = "All ranks of an MPI job wait for messages; for whose could not be read";
  } else if (has_greenlets(facts)) {
    verdict.headline = "No deadlock among threads; greenlets that are switched out are not read";
  } else {
    verdict.kind = VerdictKind::none;
    const bool blocked = std::ranges::any_of(
        facts.threads, [](const ThreadFact& t) { return t.state == ThreadState::blocked; });
    verdict.headline =
        blocked ? "every wait can still end: no thread waits for itself, directly or through others"
                : "every waiting thread waits for work, time or others that can still come";
  }
}

void judge(Analysis& analysis) {
  Verdict& verdict = analysis.verdict;
  for (std::uint32_t f = 0; f < analysis.findings.size(); ++f) verdict.findings.push_back({f});
  if (analysis.findings.empty()) return judge_without_finding(analysis);
  const Finding& main = analysis.findings.front();
  if (main.kind == FindingKind::info) {  // worth knowing, and nothing wrong: so are all others
    judge_without_finding(analysis);
    if (verdict.kind == VerdictKind::none) verdict.headline = main.headline;
    return;
  }
  verdict.headline = main.headline;
  verdict.confidence = main.confidence;
  verdict.kind = VerdictKind::inconclusive;
  if (main.confidence < Confidence::likely) return;
  if (main.kind == FindingKind::deadlock) verdict.kind = VerdictKind::deadlock;
  if (main.kind == FindingKind::hang) verdict.kind = VerdictKind::hang;
  if (main.kind == FindingKind::crash) verdict.kind = VerdictKind::crash;
}

void add_totals(Analysis& analysis) {
  Totals& totals = analysis.totals;
  totals.thread_count = analysis.facts.threads.size();
  totals.listed_thread_count = totals.thread_count;
  totals.process_count = analysis.facts.processes.size();
  for (const ThreadFact& thread : analysis.facts.threads) {
    if (thread.stack.known()) totals.frame_count += analysis.facts.stacks[thread.stack.index].depth;
  }
  analysis.redaction.left_out = {"arguments", "environment", "memory", "home folders",
                                 "host names"};
}

}  // namespace

std::span<const Detector> detectors() {
  return table;
}

void diagnose(Analysis& analysis) {
  const std::vector<Ring> rings = find_rings(analysis.facts);
  const std::vector<bool> stuck = find_stuck(analysis.facts);
  const Scene scene{analysis.facts, rings, stuck};
  std::set<Parties> told;
  for (const Detector& detector : table) {
    for (Finding& finding : detector.detect(scene)) {
      if (told.insert(parties_of(finding)).second) analysis.findings.push_back(std::move(finding));
    }
  }
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
