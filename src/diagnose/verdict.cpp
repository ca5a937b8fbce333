#include "diagnose/verdict.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "diagnose/inside.hpp"
#include "diagnose/mpi_ranks.hpp"
#include "diagnose/timed_ring.hpp"
#include "waits/graph.hpp"
#include "waits/work_queue.hpp"

namespace coldcase {
namespace {

// A free lock with sleepers, while a thread of the process runs: between its release and the
// wake-up of the next there is such a moment.
bool changes_hands(const Facts& facts, const ResourceFact& lock, ProcessId process) {
  return lock.state == LockState::free &&
         std::ranges::any_of(facts.threads, [process](const ThreadFact& thread) {
           return thread.process == process && thread.state == ThreadState::running;
         });
}

// Blocked without end on a lock whose holder is not known. What nobody owns by its nature (a queue,
// a condition) has no holder to be missed.
ResourceId lock_without_holder(const Facts& facts, ThreadId id) {
  const ThreadFact& thread = facts.threads[id.index];
  const ResourceId resource = thread.wait->on.front().as<RefKind::resource>();
  if (!resource.known() || thread.wait->kind == WaitKind::gil) return {};
  const ResourceFact& lock = facts.resources[resource.index];
  const bool missed = lock.owners.empty() && lock.owner_unknown_code != "no_owner";
  if (!missed || changes_hands(facts, lock, thread.process)) return {};
  return gets_next_item(facts, id) ? ResourceId{} : resource;
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
// anything, unless its interpreter's frames say for what: an executor's worker idles in C alone.
std::size_t count_unread(const Facts& facts) {
  return static_cast<std::size_t>(
      std::ranges::count_if(facts.threads, [&](const ThreadFact& thread) {
        const bool whole =
            thread.stack.known() && facts.stacks[thread.stack.index].stop_code == "outermost";
        return !whole && thread.wait && thread.wait->ends == Ends::never &&
               thread.wait->syscall_name == "futex" && thread.wait->kind != WaitKind::queue;
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

// Goroutines that wait have no thread either: the threads of a program whose goroutines wait for
// each other idle in its scheduler.
void warn_of_goroutines(Analysis& analysis) {
  for (Note& note : analysis.facts.notes) {
    if (note.code == "goroutines-unread") note.severity = Severity::warning;
  }
}

void note_greenlets(Analysis& analysis) {
  analysis.facts.notes.push_back(
      {"greenlets-unread",
       Severity::warning,
       "greenlet is loaded (gevent, eventlet and SQLAlchemy's asyncio use it): the stacks of "
       "greenlets that are switched out lie in the heap and are not read. A thread that idles in "
       "its hub may hide greenlets that wait for each other.",
       "ask the living process where its greenlets are: gevent.util.print_run_info().",
       "",
       {}});
}

std::string advice_for(const ResourceFact& lock) {
  if (lock.kind == WaitKind::file_lock || lock.kind == WaitKind::pipe ||
      lock.kind == WaitKind::socket)
    return "Take the cores with coldcase capture while it hangs: it also writes down who has "
           "which "
           "file open or locked.";
  return "Look in all stacks for who takes it and does not give it back: coldcase show stacks "
         "CORE.";
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
    analysis.facts.notes.push_back({"holder-unknown",
                                    Severity::warning,
                                    lock.label + ": " + why + ".",
                                    advice_for(lock),
                                    "",
                                    {id}});
  }
}

// A core is one moment: whether who runs gets on cannot be told from it.
void note_running(Analysis& analysis) {
  constexpr std::uint64_t long_ms = 1000;
  constexpr std::size_t most = 5;
  std::vector<Ref> about;
  std::size_t count = 0;
  std::uint64_t longest = 0;
  for (std::uint32_t i = 0; i < analysis.facts.threads.size(); ++i) {
    const ThreadFact& thread = analysis.facts.threads[i];
    const bool awake =
        thread.state == ThreadState::running || thread.state == ThreadState::spinning;
    if (!awake || !thread.cpu_ms || *thread.cpu_ms < long_ms) continue;
    longest = std::max(longest, *thread.cpu_ms);
    if (++count <= most) about.emplace_back(ThreadId{i});
  }
  if (count == 0) return;
  analysis.facts.notes.push_back(
      {"running-threads", Severity::info,
       counted(count, "thread") + (count == 1 ? " runs and has" : " run and have") + " used " +
           (count == 1 ? "" : "up to ") + seconds_text(longest) +
           " of CPU: whether that gets on cannot be told from one core",
       "take a second core some seconds later, and compare", "", std::move(about)});
}

std::string quiet_headline(Analysis& analysis) {
  const Facts& facts = analysis.facts;
  if (note_timed_ring(analysis))
    return "locks are held in a ring, but a timeout ends it: see the note below";
  if (has_note(facts, "process-stopped"))
    return "a signal has stopped a process: it and those that wait for it go on with SIGCONT";
  if (all_wait_inside(facts))
    return "all threads wait for the process itself to wake them: a signal's handler alone could";
  const bool blocked = std::ranges::any_of(
      facts.threads, [](const ThreadFact& t) { return t.state == ThreadState::blocked; });
  return blocked ? "every wait may still end: no threads wait for each other without a timeout"
                 : "every waiting thread waits for work, time or others that may still come";
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
  } else if (has_note(facts, "goroutines-unread")) {
    warn_of_goroutines(analysis);
    verdict.headline = "No deadlock among a Go program's threads; its goroutines are not read";
  } else if (const std::size_t unread = count_unread(facts); unread > 0) {
    verdict.headline = "The stack of " + counted(unread, "thread") + " that " +
                       (unread == 1 ? "waits" : "wait") + " without end could not be read";
  } else if (unknown > 0) {
    note_unknown_holders(analysis);
    verdict.headline = counted(unknown, "thread") + (unknown == 1 ? " waits" : " wait") +
                       " without end for a lock whose holder the core does not tell";
  } else if (has_note(facts, "mpi-ranks-missing")) {
    verdict.headline =
        "Ranks of an MPI job wait in MPI: the cores of the other ranks are needed to tell for "
        "whom";
  } else if (has_stuck_ranks(facts)) {
    verdict.headline = "All ranks of an MPI job wait for messages; for whose could not be read";
  } else if (has_greenlets(facts)) {
    note_greenlets(analysis);
    verdict.headline = "No deadlock among threads; greenlets that are switched out are not read";
  } else {
    verdict.kind = VerdictKind::none;
    verdict.headline = quiet_headline(analysis);
  }
}

}  // namespace

void judge(Analysis& analysis) {
  Verdict& verdict = analysis.verdict;
  for (std::uint32_t f = 0; f < analysis.findings.size(); ++f) verdict.findings.push_back({f});
  note_running(analysis);
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
  for (const TaskFact& task : analysis.facts.tasks)
    totals.task_count = totals.task_count.value_or(0) + 1 + task.alike.value_or(0);
  analysis.redaction.left_out = {"arguments", "environment", "memory", "home folders",
                                 "host names"};
}

}  // namespace coldcase
