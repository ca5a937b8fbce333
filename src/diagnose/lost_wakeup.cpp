// lost-wakeup: waiters on a condition, event, queue or semaphore, and no living thread that could
// signal it. Told only where nothing but the process's own threads could: when every one of them
// waits inside the process, without a timeout, nobody is left to wake anyone.
#include <algorithm>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/orphan.hpp"
#include "diagnose/party_story.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

bool is_signal_kind(WaitKind kind) {
  static constexpr std::array kinds{
      WaitKind::condition, WaitKind::semaphore, WaitKind::python_condition,
      WaitKind::queue,     WaitKind::future,    WaitKind::barrier,
      WaitKind::futex};
  return std::ranges::find(kinds, kind) != kinds.end();
}

bool is_lock_kind(WaitKind kind) {
  static constexpr std::array kinds{
      WaitKind::mutex,       WaitKind::rwlock,       WaitKind::once,        WaitKind::static_guard,
      WaitKind::python_lock, WaitKind::python_rlock, WaitKind::thread_exit, WaitKind::stdio_lock,
      WaitKind::loader_lock, WaitKind::malloc_arena, WaitKind::import_lock};
  return std::ranges::find(kinds, kind) != kinds.end();
}

// Other processes may act on it.
bool is_shared(const ResourceFact& resource) {
  return resource.at.size() != 1 || !resource.feeders.empty() ||
         resource.implementation.starts_with("multiprocessing.") ||
         std::ranges::any_of(resource.words,
                             [](const MemoryWord& word) { return word.name == "shared"; });
}

// Only a thread of the same process can end this wait.
bool ends_from_inside(const Scene& scene, const ThreadFact& thread) {
  if (!thread.wait || thread.wait->ends == Ends::timeout || thread.wait->on.empty()) return false;
  if (!is_signal_kind(thread.wait->kind) && !is_lock_kind(thread.wait->kind)) return false;
  return std::ranges::all_of(thread.wait->on, [&](Ref on) {
    const ResourceId id = on.as<RefKind::resource>();
    return id.known() ? !is_shared(scene.resource(id)) : on.as<RefKind::thread>().known();
  });
}

std::vector<ThreadId> members(const Scene& scene, ProcessId process) {
  std::vector<ThreadId> threads;
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    if (scene.facts.threads[i].process == process) threads.push_back({i});
  }
  return threads;
}

Finding make_finding(const Scene& scene, const std::vector<ThreadId>& threads, ThreadId main) {
  Finding finding;
  finding.pattern = "lost-wakeup";
  finding.kind = FindingKind::hang;
  finding.confidence = Confidence::very_likely;
  constexpr std::size_t most_told = 4;
  for (const ThreadId id : threads) {
    const Wait& wait = *scene.thread(id).wait;
    const bool first = id == main;
    if (!first && (!is_signal_kind(wait.kind) || finding.threads.size() >= most_told)) continue;
    finding.threads.push_back(id);
    finding.path.push_back(
        {id, Relation::waits_for, wait.on.front(), wait.confidence, wait.evidence});
    finding.story.push_back(tell_wait(scene, id));
    const ResourceId resource = wait.on.front().as<RefKind::resource>();
    if (resource.known()) finding.resources.push_back(resource);
  }
  finding.story.push_back(
      {(threads.size() == 2 ? "Both threads" : "All " + counted(threads.size(), "thread")) +
           " of the process wait for each other, none with a timeout and none for anything "
           "outside: nobody is left to wake anybody.",
       {}});
  finding.summary = {finding.story.front().text, finding.story.back().text};
  const ThreadId waiter = finding.threads.back();
  finding.headline = as_headline("Nobody is left to wake " + site_name(scene, waiter) +
                                 ": all threads of the process wait for each other");
  finding.location = Scene::location_of(scene.site_of(waiter));
  finding.advice = {
      {"Find who should have signalled: did it signal before the waiter waited, or end without "
       "doing so? Change the state under the lock, and wait in a loop that looks at it.",
       finding.location, ""},
      {"Signal on every way out of the signalling thread, also on errors.", std::nullopt, ""}};
  return finding;
}

}  // namespace

std::vector<Finding> detect_lost_wakeup(const Scene& scene) {
  std::vector<Finding> findings = find_lost_orders(scene);
  for (Finding& finding : find_dead_loops(scene)) findings.push_back(std::move(finding));
  for (std::uint32_t p = 0; p < scene.facts.processes.size(); ++p) {
    const std::vector<ThreadId> threads = members(scene, {p});
    const ThreadId main = main_thread(scene.facts, {p});
    if (threads.size() < 2 || !main.known()) continue;
    const bool all = std::ranges::all_of(threads, [&](ThreadId id) {
      return !scene.stuck[id.index] && ends_from_inside(scene, scene.thread(id));
    });
    const bool signals = all && std::ranges::any_of(threads, [&](ThreadId id) {
                           return is_signal_kind(scene.thread(id).wait->kind);
                         });
    // A signal handler could still wake the thread that takes signals: the first one, which many
    // programs park on purpose.
    const bool parked = signals && is_signal_kind(scene.thread(main).wait->kind);
    if (signals && !parked) findings.push_back(make_finding(scene, threads, main));
  }
  return findings;
}

}  // namespace coldcase
