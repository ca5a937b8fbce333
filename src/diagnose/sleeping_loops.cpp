// lost-wakeup among event loops: a loop that sleeps though a task of its is due, as whoever made
// it due did not wake it, and a loop that nothing is left to wake.
#include <algorithm>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/inside.hpp"
#include "diagnose/party_story.hpp"

namespace coldcase {
namespace {

std::optional<std::uint64_t> word_of(const ResourceFact& loop, std::string_view name) {
  const auto at = std::ranges::find(loop.words, name, &MemoryWord::name);
  return at == loop.words.end() ? std::nullopt : std::optional(at->value);
}

// In the selector of its own loop, until a file or another thread wakes it: select() of
// Lib/selectors.py, called by BaseEventLoop._run_once. A callback may poll as well.
bool sleeps_in_selector(const Scene& scene, ThreadId id) {
  const ThreadFact& thread = scene.thread(id);
  if (!thread.wait || thread.wait->ends == Ends::timeout || !thread.stack.known() ||
      thread.state == ThreadState::running || thread.state == ThreadState::spinning ||
      !thread.wait->syscall_name.starts_with("epoll_"))
    return false;
  const auto is = [](const Frame& frame, std::string_view function, std::string_view file) {
    const std::string& name = frame.function;  // qualified from 3.11 on
    return (name == function || name.ends_with("." + std::string(function))) &&
           frame.file.ends_with(file);
  };
  bool selects = false;
  for (const std::uint32_t f : scene.facts.stacks[thread.stack.index].frames) {
    const Frame& frame = scene.facts.frames[f];
    if (frame.kind != FrameKind::python) continue;
    if (selects) return is(frame, "_run_once", "asyncio/base_events.py");
    selects = is(frame, "select", "/selectors.py");
    if (!selects) return false;
  }
  return false;
}

// Of the process: all but the loop's own thread.
template <class Is>
bool all_others(const Scene& scene, ThreadId loop, Is is) {
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    const ThreadFact& thread = scene.facts.threads[i];
    const bool other = ThreadId{i} != loop && thread.process == scene.thread(loop).process;
    if (other && !is(thread)) return false;
  }
  return true;
}

// Nobody is between making a task due and waking its loop.
bool rests(const ThreadFact& thread) {
  return thread.wait && thread.state != ThreadState::running &&
         thread.state != ThreadState::spinning && thread.wait->kind != WaitKind::gil;
}

struct Tasks {
  std::vector<TaskId> due, waiting;
  bool running = false;
  bool parked = false;  // one waits for an event or a bare future, as programs do until Ctrl-C
};

// A wait that another task, or thread, has to end by an act: not one in which programs park.
bool wants_an_act(const Scene& scene, const TaskFact& task) {
  if (!task.wait || task.wait->ends == Ends::timeout || task.wait->on.size() != 1) return false;
  const ResourceId on = task.wait->on.front().as<RefKind::resource>();
  if (!on.known()) return false;
  const ResourceFact& resource = scene.resource(on);
  return resource.owners.empty() && resource.implementation.starts_with("asyncio.") &&
         resource.kind != WaitKind::future && resource.implementation != "asyncio.Event";
}

bool is_parked(const Scene& scene, const TaskFact& task) {
  if (!task.wait || task.wait->on.size() != 1) return false;
  const ResourceId on = task.wait->on.front().as<RefKind::resource>();
  return !on.known() ? task.wait->on.front().as<RefKind::task>() == TaskId{}
                     : scene.resource(on).kind == WaitKind::future ||
                           scene.resource(on).implementation == "asyncio.Event";
}

Tasks tasks_of(const Scene& scene, ThreadId thread, ResourceId loop) {
  Tasks tasks;
  for (std::uint32_t i = 0; i < scene.facts.tasks.size(); ++i) {
    const TaskFact& task = scene.facts.tasks[i];
    if (task.thread != thread || task.loop != loop) continue;
    tasks.running = tasks.running || task.state == TaskState::running;
    if (task.state == TaskState::ready) tasks.due.push_back({i});
    tasks.parked = tasks.parked || is_parked(scene, task);
    if (wants_an_act(scene, task)) tasks.waiting.push_back({i});
  }
  return tasks;
}

Finding begin_finding(const Scene& scene, ThreadId thread) {
  Finding finding;
  finding.pattern = "lost-wakeup";
  finding.kind = FindingKind::hang;
  finding.threads = {thread};
  const Wait& wait = *scene.thread(thread).wait;
  for (const Ref on : wait.on) {
    finding.path.push_back({thread, Relation::waits_for, on, wait.confidence, wait.evidence});
    if (const ResourceId id = on.as<RefKind::resource>(); id.known())
      finding.resources.push_back(id);
  }
  finding.confidence = std::min(Confidence::very_likely, wait.confidence);
  return finding;
}

// asyncio's objects are not made for threads: only call_soon_threadsafe wakes the loop as well.
Finding make_unwoken(const Scene& scene, ThreadId thread, const std::vector<TaskId>& due) {
  Finding finding = begin_finding(scene, thread);
  finding.tasks = due;
  constexpr std::size_t most = 4;
  finding.tasks.resize(std::min(due.size(), most));
  const TaskId first = due.front();
  finding.headline = as_headline(party_function(scene, first) +
                                 " is due to run, but its event loop sleeps: nobody woke it");
  finding.story = {
      {scene.name_of(thread) + " sleeps in the selector of its event loop, without a timeout.",
       scene.thread(thread).wait->evidence},
      {party_name(scene, first) + " of this loop" +
           (due.size() > 1 ? " and " + counted(due.size() - 1, "other task") + " are" : " is") +
           " due to run: what it awaited is there. A loop never goes to sleep with a task due.",
       {}},
      {"So another thread made it due without waking the loop. It runs when something else wakes "
       "it, by chance.",
       {}}};
  finding.summary = {finding.story[0].text, finding.story[1].text, finding.story[2].text};
  finding.location = Scene::location_of(party_site(scene, first));
  finding.advice = {
      {"From another thread use loop.call_soon_threadsafe(queue.put_nowait, item), or "
       "asyncio.run_coroutine_threadsafe(queue.put(item), loop): asyncio's queues, events and "
       "futures belong to the loop's own thread.",
       finding.location, ""},
      {"asyncio's debug mode (PYTHONASYNCIODEBUG=1) raises where another thread calls the loop.",
       std::nullopt, ""}};
  return finding;
}

// Nothing due, no timer, no file but the one by which threads wake it, no handler, and no thread
// that could.
bool nothing_wakes(const Scene& scene, ThreadId thread, const ResourceFact& loop) {
  const ProcessFact& process = scene.facts.processes[scene.thread(thread).process.index];
  const auto only_interrupt = [](const std::string& name) { return name == "SIGINT"; };
  return word_of(loop, "ready") == 0 && word_of(loop, "scheduled") == 0 &&
         word_of(loop, "registered").value_or(2) <= 1 && process.python_handlers &&
         std::ranges::all_of(*process.python_handlers, only_interrupt) &&
         all_others(scene, thread,
                    [&](const ThreadFact& other) { return ends_from_inside(scene.facts, other); });
}

Finding make_lone(const Scene& scene, ThreadId thread, const std::vector<TaskId>& waiting) {
  Finding finding = begin_finding(scene, thread);
  finding.confidence = std::min(Confidence::likely, finding.confidence);
  constexpr std::size_t most = 4;
  for (const TaskId task : waiting) {
    if (finding.tasks.size() == most) break;
    const Wait& wait = *scene.facts.tasks[task.index].wait;
    finding.tasks.push_back(task);
    finding.resources.push_back(wait.on.front().as<RefKind::resource>());
    finding.path.push_back(
        {task, Relation::waits_for, wait.on.front(), wait.confidence, wait.evidence});
    finding.confidence = std::min(finding.confidence, wait.confidence);
    finding.story.push_back(tell_party_wait(scene, task));
  }
  std::ranges::sort(finding.resources);
  finding.resources.erase(std::unique(finding.resources.begin(), finding.resources.end()),
                          finding.resources.end());
  const std::size_t more = waiting.size() - finding.tasks.size();
  if (more > 0) finding.story.push_back({counted(more, "more task") + " wait like these.", {}});
  finding.story.push_back(
      {"Their loop, of " + scene.name_of(thread) +
           ", sleeps: no task is due, no timer runs, it watches no file but the one by which "
           "threads wake it, and no thread is left that would.",
       scene.thread(thread).wait->evidence});
  const TaskId first = waiting.front();
  const ResourceId on = scene.facts.tasks[first.index].wait->on.front().as<RefKind::resource>();
  finding.headline = as_headline(party_function(scene, first) + " waits for " + scene.label_of(on) +
                                 ": nothing is left to wake its event loop");
  finding.summary = {finding.story.front().text, finding.story.back().text};
  finding.location = Scene::location_of(party_site(scene, first));
  finding.advice = {
      {"Find the task that should have acted: did it end, perhaps by an exception? asyncio keeps "
       "that silent until somebody awaits the task: use asyncio.TaskGroup, or wait for the first "
       "exception (asyncio.wait(..., return_when=FIRST_EXCEPTION)).",
       finding.location, ""},
      {"Give the wait a timeout (asyncio.wait_for, asyncio.timeout).", std::nullopt, ""}};
  return finding;
}

}  // namespace

std::vector<Finding> find_sleeping_loops(const Scene& scene) {
  std::vector<Finding> findings;
  for (std::uint32_t r = 0; r < scene.facts.resources.size(); ++r) {
    const ResourceFact& loop = scene.facts.resources[r];
    if (loop.implementation != "asyncio._UnixSelectorEventLoop") continue;
    const auto own = std::ranges::find(scene.facts.tasks, ResourceId{r}, &TaskFact::loop);
    if (own == scene.facts.tasks.end() || !own->thread.known()) continue;
    const ThreadId thread = own->thread;
    const Tasks tasks = tasks_of(scene, thread, {r});
    if (tasks.running || !sleeps_in_selector(scene, thread)) continue;
    if (!tasks.due.empty() && word_of(loop, "ready").value_or(0) > 0 &&
        all_others(scene, thread, rests))
      findings.push_back(make_unwoken(scene, thread, tasks.due));
    else if (tasks.due.empty() && !tasks.waiting.empty() && !tasks.parked &&
             nothing_wakes(scene, thread, loop))
      findings.push_back(make_lone(scene, thread, tasks.waiting));
  }
  return findings;
}

}  // namespace coldcase
