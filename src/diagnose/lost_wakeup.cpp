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
bool is_shared(const Facts& facts, const ResourceFact& resource) {
  const auto other_place = [&](const Place& place) {
    return place.process != resource.at.front().process;
  };
  const auto outside = [&](const Owner& feeder) {
    const ThreadId thread = feeder.by.as<RefKind::thread>();
    return !thread.known() || resource.at.empty() ||
           facts.threads[thread.index].process != resource.at.front().process;
  };
  return resource.at.empty() || std::ranges::any_of(resource.at, other_place) ||
         std::ranges::any_of(resource.feeders, outside) ||
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
    if (!id.known()) return on.as<RefKind::thread>().known();
    const ResourceFact& resource = scene.resource(id);
    const bool unread_workers = is_queued(scene.facts, resource) && resource.feeders.empty();
    return !unread_workers && !is_shared(scene.facts, resource);
  });
}

std::vector<ThreadId> members(const Scene& scene, ProcessId process) {
  std::vector<ThreadId> threads;
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    if (scene.facts.threads[i].process == process) threads.push_back({i});
  }
  return threads;
}

const ResourceFact* awaited_by(const Scene& scene, ThreadId id) {
  const ResourceId resource = scene.thread(id).wait->on.front().as<RefKind::resource>();
  return resource.known() ? &scene.resource(resource) : nullptr;
}

bool is_type(const ResourceFact& resource, std::string_view type) {
  return resource.implementation.find(type) != std::string::npos;
}

// What a handler of Python's for a signal could do for this thread: set an event, notify, put into
// a SimpleQueue. Nobody puts into a Queue or comes to a barrier from there.
bool may_be_parked(const Scene& scene, ThreadId main) {
  if (!is_signal_kind(scene.thread(main).wait->kind)) return false;
  const ResourceFact* resource = awaited_by(scene, main);
  if (resource == nullptr) return true;
  return !is_type(*resource, "queue.Queue") && !is_type(*resource, "queue.LifoQueue") &&
         !is_type(*resource, "queue.PriorityQueue") && !is_type(*resource, "threading.Barrier") &&
         !is_type(*resource, "threading.Semaphore") &&
         !is_type(*resource, "threading.BoundedSemaphore") &&
         !is_type(*resource, "concurrent.futures.");
}

std::string missing_act(const Scene& scene, ThreadId waiter) {
  const std::string act = awaited_act(scene, waiter);
  return act.empty() ? "wake " + site_name(scene, waiter) : act;
}

// A handler for a signal, in Python, might still set it: whether there is one, no core says.
bool has_handler_for(const Scene& scene, ThreadId id) {
  const ResourceFact* resource = awaited_by(scene, id);
  return resource != nullptr &&
         (is_type(*resource, "threading.Event") || is_type(*resource, "threading.Condition"));
}

// Of a pool whose work has run out: waits for work, as it should.
bool is_idle_worker(const Scene& scene, ThreadId id) {
  const ResourceFact* resource = awaited_by(scene, id);
  return resource != nullptr && is_type(*resource, "Executor");
}

// Whose signal is missed: main's, or that of the thread that main waits for.
ThreadId missed_by(const Scene& scene, const Finding& finding, ThreadId main) {
  if (is_signal_kind(scene.thread(main).wait->kind)) return main;
  const ThreadId joined = scene.thread(main).wait->on.front().as<RefKind::thread>();
  return joined.known() && is_signal_kind(scene.thread(joined).wait->kind) ? joined
                                                                           : finding.threads.back();
}

void tell_members(const Scene& scene, const std::vector<ThreadId>& threads, ThreadId main,
                  Finding& finding) {
  constexpr std::size_t most_told = 4;
  for (const ThreadId id : threads) {
    const Wait& wait = *scene.thread(id).wait;
    const bool first = id == main;
    const bool told = is_signal_kind(wait.kind) && !is_idle_worker(scene, id);
    if (!first && (!told || finding.threads.size() >= most_told)) continue;
    finding.threads.push_back(id);
    finding.path.push_back(
        {id, Relation::waits_for, wait.on.front(), wait.confidence, wait.evidence});
    finding.story.push_back(tell_wait(scene, id));
    const ResourceId resource = wait.on.front().as<RefKind::resource>();
    if (resource.known()) finding.resources.push_back(resource);
  }
}

std::string nobody_text(std::size_t threads) {
  if (threads == 1)
    return "It is the only thread of the process, and waits without a timeout for what only the "
           "process itself could do: nobody is left to do it.";
  return (threads == 2 ? "Both threads" : "All " + counted(threads, "thread")) +
         " of the process wait for each other, none with a timeout and none for anything "
         "outside: nobody is left to wake anybody.";
}

Finding make_finding(const Scene& scene, const std::vector<ThreadId>& threads, ThreadId main) {
  Finding finding;
  finding.pattern = "lost-wakeup";
  finding.kind = FindingKind::hang;
  tell_members(scene, threads, main, finding);
  const bool handler =
      is_signal_kind(scene.thread(main).wait->kind) ||
      std::ranges::any_of(finding.threads, [&](ThreadId id) { return has_handler_for(scene, id); });
  finding.confidence = handler ? Confidence::likely : Confidence::very_likely;
  finding.story.push_back({nobody_text(threads.size()), {}});
  finding.summary = {finding.story.front().text, finding.story.back().text};
  const ThreadId waiter = missed_by(scene, finding, main);
  finding.headline =
      as_headline("Nobody is left to " + missing_act(scene, waiter) +
                  (threads.size() > 1 ? ": all threads of the process wait for each other"
                                      : ": the process's only thread waits for it"));
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
    if (threads.empty() || !main.known()) continue;
    const bool all = std::ranges::all_of(threads, [&](ThreadId id) {
      return !scene.stuck[id.index] && ends_from_inside(scene, scene.thread(id));
    });
    const bool signals = all && std::ranges::any_of(threads, [&](ThreadId id) {
                           return is_signal_kind(scene.thread(id).wait->kind);
                         });
    // A signal handler could still wake the thread that takes signals: the first one, which many
    // programs park on purpose.
    if (signals && !may_be_parked(scene, main))
      findings.push_back(make_finding(scene, threads, main));
  }
  return findings;
}

}  // namespace coldcase
