// lost-wakeup: waiters on a condition, event, queue or semaphore, and no living thread that could
// signal it. Told only where nothing but the process's own threads could: when every one of them
// waits inside the process, without a timeout, nobody is left to wake anyone.
#include <algorithm>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/inside.hpp"
#include "diagnose/orphan.hpp"
#include "diagnose/party_story.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

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

bool is_pythons(const ResourceFact& resource) {
  return resource.kind == WaitKind::python_condition || is_type(resource, "threading.") ||
         is_type(resource, "queue.") || is_type(resource, "concurrent.") ||
         is_type(resource, "multiprocessing.") || is_type(resource, "asyncio.");
}

// What a handler of Python's for a signal could do for this thread: set an event, notify, put into
// a SimpleQueue. Nobody puts into a Queue or comes to a barrier from there. Ctrl-C ends such a wait
// in any case: many programs park their first thread so.
bool may_be_parked(const Scene& scene, ThreadId main) {
  if (!is_signal_kind(scene.thread(main).wait->kind)) return false;
  const ResourceFact* resource = awaited_by(scene, main);
  if (resource == nullptr) return true;
  if (!is_pythons(*resource) && !runs_python(scene.facts, main)) return false;
  return !is_type(*resource, "queue.Queue") && !is_type(*resource, "queue.LifoQueue") &&
         !is_type(*resource, "queue.PriorityQueue") && !is_type(*resource, "threading.Barrier") &&
         !is_type(*resource, "threading.Semaphore") &&
         !is_type(*resource, "threading.BoundedSemaphore") &&
         !is_type(*resource, "concurrent.futures.");
}

// A futex of which nothing else is known may be anything's, a lock's too: where a core was cut
// short, most are.
bool is_unidentified(const Scene& scene, ThreadId id) {
  const ResourceFact* resource = awaited_by(scene, id);
  return scene.thread(id).wait->kind == WaitKind::futex &&
         (resource == nullptr || resource->implementation.empty() ||
          resource->implementation == "futex");
}

std::string missing_act(const Scene& scene, ThreadId waiter) {
  const std::string act = awaited_act(scene, waiter);
  return act.empty() ? "wake " + site_name(scene, waiter) : act;
}

// A handler for a signal, in Python, might still set it, where the handlers could not be read.
bool has_handler_for(const Scene& scene, ThreadId id) {
  const ResourceFact* resource = awaited_by(scene, id);
  const ProcessFact& process = scene.facts.processes[scene.thread(id).process.index];
  return !process.python_handlers && resource != nullptr &&
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

// Who waits for a signal with a lock in hand that others wait for: one of those may be the one to
// signal (a nested monitor: the condition gives back its own lock alone).
struct Monitor {
  ThreadId thread;
  ResourceId lock;
  std::vector<ThreadId> others;
};
std::optional<Monitor> find_monitor(const Scene& scene, const std::vector<ThreadId>& told) {
  for (const ThreadId id : told) {
    if (!is_signal_kind(scene.thread(id).wait->kind)) continue;
    for (const Hold& hold : scene.thread(id).holds) {
      Monitor monitor{id, hold.resource, {}};
      for (const Ref waiter : scene.resource(hold.resource).waiters) {
        const ThreadId other = waiter.as<RefKind::thread>();
        if (other.known() && other != id) monitor.others.push_back(other);
      }
      const bool gil = scene.resource(hold.resource).kind == WaitKind::gil;
      if (!monitor.others.empty() && !gil) return monitor;
    }
  }
  return std::nullopt;
}

void tell_monitor(const Scene& scene, const Monitor& monitor, Finding& finding) {
  const std::string label = scene.label_of(monitor.lock);
  const ThreadId first = monitor.others.front();
  const bool told = std::ranges::find(finding.threads, first) != finding.threads.end();
  const std::vector<Way> ways = ways_on(scene.facts, first);
  const auto way = std::ranges::find(ways, monitor.thread, &Way::thread);
  if (!told) finding.story.push_back(tell_wait(scene, first));
  if (!told && way != ways.end() && way->confidence >= finding.confidence)
    take_step(scene, way->step, way->thread, finding);
  const std::size_t more = monitor.others.size() - 1;
  finding.story.push_back(
      {scene.name_of(monitor.thread) + " holds " + label +
           taken_in(scene, monitor.thread, monitor.lock) + ", while it waits; " +
           scene.name_of(first) +
           (more == 0 ? " waits" : " and " + counted(more, "other thread") + " wait") +
           " for that, and may be what would wake it.",
       {}});
  finding.headline = as_headline(
      site_name(scene, monitor.thread) + " waits to be woken while it holds a lock that " +
      (more == 0 ? "another thread waits" : counted(more + 1, "thread") + " wait") +
      " for: nobody is left to wake it");
  finding.advice.push_back({"Do not wait for a signal while holding " + label +
                                ": a condition gives back its own lock alone, and who would signal "
                                "takes this one first.",
                            Scene::location_of(scene.site_of(monitor.thread)), ""});
}

std::string nobody_text(std::size_t threads) {
  if (threads == 1)
    return "It is the only thread of the process, and waits without a timeout for what only the "
           "process itself could do: nobody is left to do it.";
  return (threads == 2 ? "Both threads" : "All " + counted(threads, "thread")) +
         " of the process wait for each other, none with a timeout and none for anything "
         "outside: nobody is left to wake anybody.";
}

std::string handler_text(const ProcessFact& process) {
  std::vector<std::string> names = waking_handlers(process);
  if (names.empty() && process.python_handlers) names = *process.python_handlers;
  if (names.empty())
    return "Unless a handler for a signal does: the program takes signals, and no core tells "
           "which.";
  constexpr std::size_t most = 3;
  const bool more = names.size() > most;
  names.resize(std::min(names.size(), most));
  return "Unless a handler for a signal does: the program handles " + join(names, ", ") +
         (more ? " and others" : "") + " in Python.";
}

std::vector<Advice> advise(const Scene& scene, ThreadId waiter,
                           const std::optional<Location>& location) {
  const Wait& wait = *scene.thread(waiter).wait;
  const ResourceFact* resource = awaited_by(scene, waiter);
  const auto is = [&](std::string_view type) { return resource && is_type(*resource, type); };
  if (is("queue.") && wait.mode == Mode::write)
    return {
        {"Find who should take items: did it end, perhaps by an exception? Let it end only "
         "when the queue is done with, or give put() a timeout.",
         location, ""}};
  if (is("queue."))
    return {
        {"Find who should put items: did it end, perhaps by an exception, without a last item "
         "that says so? Put that in a finally block, or give get() a timeout.",
         location, ""}};
  if (wait.kind == WaitKind::future)
    return {
        {"Find who has the work of that result: does it wait itself, or did it end without "
         "setting result or exception?",
         location, ""}};
  if (wait.kind == WaitKind::barrier)
    return {{"Compare the number of parties with the threads that are left: did one end, or never "
             "begin?",
             location, ""},
            {"Arrive on every way out of each party, also on errors.", std::nullopt, ""}};
  return {{"Find who should have signalled: did it signal before the waiter waited, or end without "
           "doing so? Change the state under the lock, and wait in a loop that looks at it.",
           location, ""},
          {"Signal on every way out of the signalling thread, also on errors.", std::nullopt, ""}};
}

Finding make_finding(const Scene& scene, const std::vector<ThreadId>& threads, ThreadId main) {
  Finding finding;
  finding.pattern = "lost-wakeup";
  finding.kind = FindingKind::hang;
  tell_members(scene, threads, main, finding);
  const bool handler =
      std::ranges::any_of(finding.threads, [&](ThreadId id) { return has_handler_for(scene, id); });
  const bool parked = is_signal_kind(scene.thread(main).wait->kind);
  const auto ended_by_handler = [&](ByHandler least) {
    return std::ranges::any_of(threads, [&](ThreadId id) {
      return may_end_by_handler(scene.facts, scene.thread(id)) >= least;
    });
  };
  const bool reached = ended_by_handler(parked ? ByHandler::forbidden : ByHandler::yes);
  finding.confidence = Confidence::very_likely;
  if (handler || parked || ended_by_handler(ByHandler::forbidden))
    finding.confidence = Confidence::likely;
  if (reached) finding.confidence = Confidence::hypothesis;
  if (const auto monitor = find_monitor(scene, finding.threads))
    tell_monitor(scene, *monitor, finding);
  finding.story.push_back({nobody_text(threads.size()), {}});
  if (reached)
    finding.story.push_back(
        {handler_text(scene.facts.processes[scene.thread(main).process.index]), {}});
  finding.summary = {finding.story.front().text, nobody_text(threads.size())};
  if (reached) finding.summary.push_back(finding.story.back().text);
  const ThreadId waiter = missed_by(scene, finding, main);
  if (finding.headline.empty())
    finding.headline =
        as_headline("Nobody is left to " + missing_act(scene, waiter) +
                    (threads.size() > 1 ? ": all threads of the process wait for each other"
                                        : ": the process's only thread waits for it"));
  finding.location = Scene::location_of(scene.site_of(waiter));
  for (Advice& advice : advise(scene, waiter, finding.location))
    finding.advice.push_back(std::move(advice));
  return finding;
}

}  // namespace

std::vector<Finding> detect_lost_wakeup(const Scene& scene) {
  std::vector<Finding> findings = find_lost_orders(scene);
  for (Finding& finding : find_lost_results(scene)) findings.push_back(std::move(finding));
  for (Finding& finding : find_dead_loops(scene)) findings.push_back(std::move(finding));
  for (Finding& finding : find_sleeping_loops(scene)) findings.push_back(std::move(finding));
  for (std::uint32_t p = 0; p < scene.facts.processes.size(); ++p) {
    const std::vector<ThreadId> threads = members(scene, {p});
    const ThreadId main = main_thread(scene.facts, {p});
    if (threads.empty() || !main.known()) continue;
    const bool all = std::ranges::all_of(threads, [&](ThreadId id) {
      return !scene.stuck[id.index] && ends_from_inside(scene.facts, scene.thread(id));
    });
    const bool signals = all && std::ranges::any_of(threads, [&](ThreadId id) {
                           return is_signal_kind(scene.thread(id).wait->kind);
                         });
    const bool parked = all && is_signal_kind(scene.thread(main).wait->kind);
    const bool unread = parked && std::ranges::any_of(threads, [&](ThreadId id) {
                          return is_unidentified(scene, id);
                        });
    if (signals && !unread && !may_be_parked(scene, main))
      findings.push_back(make_finding(scene, threads, main));
  }
  return findings;
}

}  // namespace coldcase
