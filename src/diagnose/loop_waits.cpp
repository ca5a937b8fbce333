// Event loops that do not deadlock and hang all the same: a coroutine that blocks the loop's thread
// outside the process (blocked-holder), and threads that wait for a loop that nobody runs
// (lost-wakeup).
#include <algorithm>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/party_story.hpp"

namespace coldcase {
namespace {

constexpr std::uint64_t long_ms = 1000;  // a shorter sleep is work in progress

// Waits outside the process, or for a signal from inside that may come: long enough to be told.
bool blocks_long(const Wait& wait) {
  switch (wait.kind) {
    case WaitKind::sleep:
      return wait.timeout_ms && *wait.timeout_ms >= long_ms;
    case WaitKind::io:
    case WaitKind::pipe:
    case WaitKind::socket:
    case WaitKind::process_exit:
    case WaitKind::file_lock:
    case WaitKind::gpu_work:
    case WaitKind::queue:
    case WaitKind::python_condition:
    case WaitKind::semaphore:
      return wait.ends != Ends::timeout || (wait.timeout_ms && *wait.timeout_ms >= long_ms);
    default:
      return false;
  }
}

std::vector<Ref> tasks_of(const Facts& facts, ThreadId thread, TaskState state) {
  std::vector<Ref> tasks;
  for (std::uint32_t i = 0; i < facts.tasks.size(); ++i) {
    if (facts.tasks[i].thread == thread && facts.tasks[i].state == state)
      tasks.push_back(TaskId{i});
  }
  return tasks;
}

Finding make_blocked(const Scene& scene, TaskId running, const std::vector<Ref>& ready) {
  const ThreadId thread = scene.facts.tasks[running.index].thread;
  const ThreadFact& fact = scene.thread(thread);
  const std::uint64_t count = count_tasks(scene.facts, ready);
  Finding finding;
  finding.pattern = "blocked-holder";
  finding.kind = FindingKind::hang;
  finding.confidence = std::min(Confidence::likely, fact.wait->confidence);
  finding.threads = {thread};
  finding.tasks = {running};
  for (const Ref on : fact.wait->on) {
    finding.path.push_back(
        {thread, Relation::waits_for, on, fact.wait->confidence, fact.wait->evidence});
    if (const ResourceId id = on.as<RefKind::resource>(); id.known())
      finding.resources.push_back(id);
  }
  finding.path.push_back({thread, Relation::runs, running, Confidence::proved, {}});
  const std::string where = party_function(scene, thread);
  const std::string& call = fact.wait->syscall_name;
  finding.headline = as_headline(
      where + " blocks its event loop" +
      (fact.wait->kind == WaitKind::sleep ? ": it sleeps as a thread does"
       : call.empty() || call == "futex"  ? ": it waits as a thread does"
                                          : " in " + call) +
      "; " + counted(count, "task") + (count == 1 ? " is" : " are") + " due and cannot run");
  finding.story = {tell_wait(scene, thread),
                   {"It does so in " + party_name(scene, running) +
                        ", a task of the event loop that this thread runs.",
                    {}},
                   {counted(count, "task") + " of the loop " + (count == 1 ? "is" : "are") +
                        " due and cannot run before that is over.",
                    {}}};
  finding.summary = {finding.story[0].text, finding.story[1].text, finding.story[2].text};
  finding.location = Scene::location_of(scene.site_of(thread));
  finding.advice = {
      {"Await it instead (asyncio.sleep, a stream, an asyncio primitive), or move the call to a "
       "thread: await loop.run_in_executor(None, function).",
       finding.location, ""},
      {"asyncio's debug mode (PYTHONASYNCIODEBUG=1) names every callback that takes longer than "
       "loop.slow_callback_duration.",
       std::nullopt, ""}};
  return finding;
}

bool is_dead(const ResourceFact& future) {
  return future.kind == WaitKind::future && future.owners.empty() && future.feeders.empty() &&
         (future.owner_unknown_code == "loop_not_running" ||
          future.owner_unknown_code == "loop_closed");
}

// Some other thread of the process is not itself waiting without end: it may run the loop yet.
bool others_may_act(const Scene& scene, ThreadId waiter) {
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    const ThreadFact& thread = scene.facts.threads[i];
    if (ThreadId{i} == waiter || thread.process != scene.thread(waiter).process) continue;
    if (!thread.wait || thread.state == ThreadState::running || thread.wait->ends != Ends::never)
      return true;
  }
  return false;
}

Finding make_dead(const Scene& scene, ThreadId waiter, ResourceId future) {
  const Wait& wait = *scene.thread(waiter).wait;
  const ResourceFact& resource = scene.resource(future);
  const bool closed = resource.owner_unknown_code == "loop_closed";
  Finding finding;
  finding.pattern = "lost-wakeup";
  finding.kind = FindingKind::hang;
  finding.confidence =
      std::min(wait.confidence,
               !closed && others_may_act(scene, waiter) ? Confidence::likely : Confidence::proved);
  finding.threads = {waiter};
  finding.resources = {future};
  finding.path = {{waiter, Relation::waits_for, future, wait.confidence, wait.evidence}};
  const std::string where = party_function(scene, waiter);
  finding.headline = as_headline(where + " waits for a result of an event loop that " +
                                 (closed ? "is closed" : "no thread runs"));
  finding.story = {tell_wait(scene, waiter),
                   {closed ? "The event loop that would have to produce that is closed."
                           : "No thread runs the event loop that would have to produce that.",
                    {}}};
  if (closed || !others_may_act(scene, waiter))
    finding.story.push_back({"Nobody is left who could: it waits for ever.", {}});
  finding.summary = {finding.story[0].text, finding.story[1].text};
  finding.location = Scene::location_of(scene.site_of(waiter));
  finding.advice = {
      {"Start the loop in a thread (loop.run_forever) before handing it coroutines, and stop it "
       "only when all their results are there.",
       finding.location, ""},
      {"Give result() a timeout, and cancel what is pending before the loop stops.", std::nullopt,
       ""}};
  return finding;
}

}  // namespace

std::vector<Finding> find_blocked_loops(const Scene& scene) {
  std::vector<Finding> findings;
  for (std::uint32_t i = 0; i < scene.facts.tasks.size(); ++i) {
    const TaskFact& task = scene.facts.tasks[i];
    if (task.state != TaskState::running || !task.thread.known()) continue;
    const ThreadFact& thread = scene.thread(task.thread);
    if (scene.stuck[task.thread.index] || !thread.wait || thread.state == ThreadState::running ||
        !blocks_long(*thread.wait))
      continue;
    const std::vector<Ref> ready = tasks_of(scene.facts, task.thread, TaskState::ready);
    if (!ready.empty()) findings.push_back(make_blocked(scene, {i}, ready));
  }
  return findings;
}

std::vector<Finding> find_dead_loops(const Scene& scene) {
  std::vector<Finding> findings;
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    const auto& wait = scene.facts.threads[i].wait;
    if (!wait || wait->ends == Ends::timeout || wait->on.size() != 1) continue;
    const ResourceId future = wait->on.front().as<RefKind::resource>();
    if (future.known() && is_dead(scene.resource(future)))
      findings.push_back(make_dead(scene, {i}, future));
  }
  return findings;
}

}  // namespace coldcase
