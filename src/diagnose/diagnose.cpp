#include "diagnose/diagnose.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "base/text.hpp"
#include "diagnose/signature.hpp"

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

void set_tags(Analysis& analysis) {
  std::vector<ThreadId> told;
  for (std::uint32_t f = 0; f < analysis.findings.size(); ++f) {
    const Finding& finding = analysis.findings[f];
    if (finding.confidence == Confidence::hypothesis) continue;
    for (const ThreadId id : finding.threads) {
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
  for (ThreadFact& thread : analysis.facts.threads) {
    if (thread.tag) continue;
    if (thread.state == ThreadState::idle) thread.tag = Tag::idle;
    if (thread.state == ThreadState::running) thread.tag = Tag::running;
  }
}

ProcessId home_of(const Facts& facts, const Finding& finding) {
  return finding.threads.empty() ? ProcessId{}
                                 : facts.threads[finding.threads.front().index].process;
}

// The same people, told by a plainer pattern.
bool retells(const Facts& facts, const Finding& refined, const Finding& plain) {
  if (refined.pattern == "exit-blocked")
    return plain.pattern == "lost-wakeup" && home_of(facts, plain) == home_of(facts, refined);
  if (refined.pattern != "join-undrained-queue") return false;
  return (plain.pattern == "join-cycle" || plain.pattern == "pipe-cycle") &&
         std::ranges::all_of(plain.threads, [&](ThreadId id) {
           return std::ranges::find(refined.threads, id) != refined.threads.end();
         });
}

// The refined pattern says more; that the plainer one is sure makes it as sure.
void prefer_refined(const Facts& facts, std::vector<Finding>& findings) {
  for (Finding& refined : findings) {
    for (Finding& plain : findings) {
      if (!retells(facts, refined, plain)) continue;
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

// A signal, an item or an answer has to come: there is no holder to be known.
bool is_ownerless(const ResourceFact& resource) {
  return resource.owner_unknown_code == "no_owner";
}

// Blocked without end on something whose holder is not known: nothing can be said of these.
std::size_t count_unknown(const Facts& facts) {
  return static_cast<std::size_t>(
      std::ranges::count_if(facts.threads, [&](const ThreadFact& thread) {
        if (thread.state != ThreadState::blocked || !thread.wait ||
            thread.wait->ends == Ends::timeout)
          return false;
        if (thread.wait->on.size() > 1) return false;
        if (thread.wait->on.empty()) return true;
        const ResourceId resource = thread.wait->on.front().as<RefKind::resource>();
        return resource.known() && facts.resources[resource.index].owners.empty() &&
               !is_ownerless(facts.resources[resource.index]) && thread.wait->kind != WaitKind::gil;
      }));
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

std::string advice_for(const ResourceFact& lock) {
  if (lock.kind == WaitKind::file_lock || lock.kind == WaitKind::pipe ||
      lock.kind == WaitKind::socket)
    return "Take the cores with coldcase capture while it hangs: it also writes down who has which "
           "file open or locked.";
  return "Look in all stacks for who takes it and does not give it back: coldcase show stacks "
         "CORE.";
}

// Which locks these are, and what a person can still do.
void note_unknown_holders(Analysis& analysis) {
  constexpr std::size_t most = 5;
  std::set<ResourceId> locks;
  for (const ThreadFact& thread : analysis.facts.threads) {
    if (thread.state != ThreadState::blocked || !thread.wait || thread.wait->on.size() != 1)
      continue;
    const ResourceId id = thread.wait->on.front().as<RefKind::resource>();
    if (!id.known() || !analysis.facts.resources[id.index].owners.empty() || locks.size() == most)
      continue;
    if (is_ownerless(analysis.facts.resources[id.index]) || !locks.insert(id).second) continue;
    const ResourceFact& lock = analysis.facts.resources[id.index];
    const std::string why =
        lock.owner_unknown_text.empty() ? "its holder is not recorded" : lock.owner_unknown_text;
    analysis.facts.notes.push_back({"holder-unknown",
                                    Severity::warning,
                                    lock.label + ": " + why + ".",
                                    advice_for(lock),
                                    "",
                                    {id}});
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
  } else if (const std::size_t unread = count_unread(facts); unread > 0) {
    verdict.headline = "The stack of " + counted(unread, "thread") + " that " +
                       (unread == 1 ? "waits" : "wait") + " without end could not be read";
  } else if (unknown > 0) {
    note_unknown_holders(analysis);
    verdict.headline = counted(unknown, "thread") + (unknown == 1 ? " waits" : " wait") +
                       " without end for a lock whose holder the core does not tell";
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
