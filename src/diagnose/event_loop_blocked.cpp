// event-loop-blocked: an event loop's own thread waits for what only its loop could bring about: a
// result of a coroutine, a lock that one of its tasks holds, a thread that waits for the loop. And
// asyncio.run, which at its end waits for threads of its executor that nobody will wake.
#include <algorithm>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/party_story.hpp"

namespace coldcase {
namespace {

// Begins with the loop's own thread.
std::optional<PartyRing> from_loop(const Scene& scene, PartyRing ring) {
  const auto last = std::ranges::find_if(
      ring.steps, [&](const PartyStep& step) { return enters_loop(scene.facts, step); });
  if (last == ring.steps.end()) return std::nullopt;
  std::rotate(ring.steps.begin(), last + 1, ring.steps.end());
  return ring;
}

std::string headline_of(const Scene& scene, const PartyRing& ring) {
  const PartyStep& first = ring.steps.front();
  const std::string where = party_function(scene, first.from);
  const ResourceId id = first.on.as<RefKind::resource>();
  const bool close = ring.steps.size() <= 2;  // the loop, and at most one of its tasks
  if (close && id.known() && scene.resource(id).kind == WaitKind::future)
    return where + " blocks its event loop: it waits for a result that this loop has to produce";
  if (close && id.known() && first.to.kind == RefKind::task)
    return where + " blocks its event loop on a " + scene.resource(id).implementation +
           " that a task of this loop holds";
  return where + " blocks its event loop, and waits for " + party_function(scene, first.to) +
         ", which waits for that loop";
}

std::vector<Advice> advice_for(const Scene& scene, const PartyRing& ring,
                               const std::optional<Location>& blocked) {
  const PartyStep& first = ring.steps.front();
  const ResourceId id = first.on.as<RefKind::resource>();
  std::vector<Advice> advice;
  if (id.known() && scene.resource(id).kind == WaitKind::future) {
    advice.push_back(
        {"In a coroutine, and in what it calls, do not wait as a thread does: await "
         "the coroutine, or asyncio.wrap_future(future).",
         blocked, ""});
    advice.push_back(
        {"Code that has to block belongs in a thread of its own: await "
         "loop.run_in_executor(None, function).",
         std::nullopt, ""});
    return advice;
  }
  if (first.to.kind == RefKind::task) {
    std::optional<Location> taken;
    for (const Hold& hold : scene.facts.tasks[first.to.index].holds) {
      const StackId stack = scene.facts.tasks[first.to.index].stack;
      if (hold.resource == id && hold.frame && stack.known())
        taken = Scene::location_of(
            &scene.facts.frames[scene.facts.stacks[stack.index].frames[*hold.frame]]);
    }
    advice.push_back(
        {"Do not await inside a with block of a lock that blocks threads: take what "
         "is needed, leave the block, then await.",
         taken, ""});
    advice.push_back(
        {"Between tasks of one loop use asyncio.Lock with async with: waiting for it "
         "lets the loop go on.",
         blocked, ""});
    return advice;
  }
  advice.push_back(
      {"Do not block the loop's thread: move the call to a thread (await "
       "loop.run_in_executor), or await an asyncio primitive instead.",
       blocked, ""});
  advice.push_back(
      {"A thread that waits for a coroutine of the loop must hold nothing that the "
       "loop's own thread may want.",
       std::nullopt, ""});
  return advice;
}

Finding make_finding(const Scene& scene, const PartyRing& ring) {
  Finding finding;
  finding.pattern = "event-loop-blocked";
  finding.kind = FindingKind::deadlock;
  take_party_ring(scene, ring, finding);
  const Ref blocked = ring.steps.front().from;
  for (std::uint32_t i = 0; i < scene.facts.tasks.size(); ++i) {
    const TaskFact& task = scene.facts.tasks[i];
    if (task.state == TaskState::running && Ref(task.thread) == blocked)
      finding.tasks.push_back({i});
  }
  finding.headline = as_headline(headline_of(scene, ring));
  for (std::size_t i = 0; i < std::min(ring.steps.size(), most_steps_told); ++i) {
    const PartyStep& step = ring.steps[i];
    if (step.on.known()) finding.story.push_back(tell_party_wait(scene, step.from));
    if (auto claim = tell_party_claim(scene, step)) finding.story.push_back(std::move(*claim));
  }
  finding.story.push_back({party_name(scene, blocked) +
                               " runs an event loop: while it waits, no task of that loop goes on, "
                               "and none of these waits ends by itself.",
                           {}});
  std::vector<Ref> members(finding.threads.begin(), finding.threads.end());
  members.insert(members.end(), finding.tasks.begin(), finding.tasks.end());
  if (std::string behind = tell_parties_behind(scene, members); !behind.empty())
    finding.story.push_back({std::move(behind), {}});
  finding.summary = {finding.story[0].text};
  if (finding.story.size() > 2) finding.summary.push_back(finding.story[1].text);
  finding.summary.push_back(
      "The thread runs an event loop, so nothing that it waits for can "
      "come: no task of the loop goes on.");
  finding.location = Scene::location_of(party_site(scene, blocked));
  finding.advice = advice_for(scene, ring, finding.location);
  return finding;
}

// What only a thread of the same process would end, with nothing of the outside in it.
bool waits_for_signal(const Wait& wait) {
  switch (wait.kind) {
    case WaitKind::queue:
    case WaitKind::condition:
    case WaitKind::semaphore:
    case WaitKind::barrier:
    case WaitKind::python_condition:
    case WaitKind::python_lock:
      return wait.ends != Ends::timeout && !wait.on.empty();
    default:
      return false;
  }
}

// Every other thread of the process waits as well: nobody is left to wake it.
bool nobody_left(const Scene& scene, ProcessId process, ThreadId loop, ThreadId waiter) {
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    const ThreadFact& thread = scene.facts.threads[i];
    if (thread.process != process || ThreadId{i} == loop || ThreadId{i} == waiter) continue;
    if (!thread.wait || thread.state == ThreadState::running) return false;
    const bool ends = thread.wait->kind == WaitKind::thread_exit;
    if (!ends && !waits_for_signal(*thread.wait)) return false;
  }
  return true;
}

// The task in which asyncio.run waits for the end of its executor's threads.
bool awaits_executor(const Scene& scene, const TaskFact& task) {
  if (!task.wait || task.wait->on.size() != 1 || !task.stack.known()) return false;
  return std::ranges::any_of(scene.facts.stacks[task.stack.index].frames, [&](std::uint32_t f) {
    const Frame& frame = scene.facts.frames[f];
    return frame.function.ends_with("shutdown_default_executor") &&
           frame.file.ends_with("asyncio/base_events.py");
  });
}

Finding make_shutdown(const Scene& scene, TaskId task, const std::vector<PartyStep>& steps) {
  const ThreadId worker = steps.back().to.as<RefKind::thread>();
  const TaskFact& fact = scene.facts.tasks[task.index];
  Finding finding;
  finding.pattern = "event-loop-blocked";
  finding.kind = FindingKind::deadlock;
  take_party_ring(scene, {steps, Confidence::likely, {}}, finding);
  finding.cyclic = false;
  finding.confidence = Confidence::likely;  // that nobody else would wake it is not proved
  const Wait& wait = *scene.thread(worker).wait;
  finding.path.push_back(
      {worker, Relation::waits_for, wait.on.front(), wait.confidence, wait.evidence});
  if (const ResourceId id = wait.on.front().as<RefKind::resource>(); id.known())
    finding.resources.push_back(id);
  finding.threads.push_back(worker);
  if (fact.thread.known()) finding.threads.push_back(fact.thread);
  const std::string where = party_function(scene, worker);
  finding.headline = as_headline(
      "asyncio.run cannot end: it waits for a thread of its executor, which waits in " + where);
  finding.story.push_back(
      {"The main coroutine has ended: asyncio.run waits for the threads of the default executor.",
       fact.wait->evidence});
  for (const PartyStep& step : steps) {
    if (step.from.kind == RefKind::thread)
      finding.story.push_back(tell_party_wait(scene, step.from));
  }
  finding.story.push_back(tell_party_wait(scene, worker));
  finding.story.push_back(
      {"What that waits for would have to come from the coroutines that have ended; every other "
       "thread of the process waits, too.",
       {}});
  if (fact.wait->ends == Ends::timeout)
    finding.story.push_back(
        {"asyncio.run gives up after its timeout, and then the interpreter's "
         "exit waits for the same thread without one.",
         {}});
  finding.summary = {finding.story[0].text, tell_party_wait(scene, worker).text,
                     "Nobody is left who would wake it."};
  finding.location = Scene::location_of(party_site(scene, worker));
  finding.advice = {
      {"Tell the function in the executor to end before the main coroutine does: a sentinel in its "
       "queue, an event it looks at, a timeout on its wait.",
       finding.location, ""},
      {"Cancelling the task that awaits run_in_executor does not end the thread: only the function "
       "itself can.",
       std::nullopt, ""}};
  return finding;
}

// From the task to the worker: the thread that shuts the executor down, and the one it joins.
std::vector<PartyStep> chain_to_worker(const Scene& scene, TaskId task) {
  std::vector<PartyStep> steps;
  const Wait& wait = *scene.facts.tasks[task.index].wait;
  const ResourceId future = wait.on.front().as<RefKind::resource>();
  if (!future.known() || scene.resource(future).feeders.empty()) return steps;
  const Owner& feeder = scene.resource(future).feeders.front();
  const ThreadId joiner = feeder.by.as<RefKind::thread>();
  if (!joiner.known()) return steps;
  steps.push_back({task, future, joiner, 0, true, feeder.confidence});
  const auto& join = scene.thread(joiner).wait;
  const ThreadId worker =
      join && join->on.size() == 1 ? join->on.front().as<RefKind::thread>() : ThreadId{};
  if (!worker.known()) return {};
  steps.push_back({joiner, worker, worker, 0, false, join->confidence});
  return steps;
}

std::vector<Finding> find_shutdowns(const Scene& scene) {
  std::vector<Finding> findings;
  for (std::uint32_t i = 0; i < scene.facts.tasks.size(); ++i) {
    const TaskFact& task = scene.facts.tasks[i];
    if (!awaits_executor(scene, task)) continue;
    const std::vector<PartyStep> steps = chain_to_worker(scene, {i});
    if (steps.empty()) continue;
    const ThreadId worker = steps.back().to.as<RefKind::thread>();
    const auto& wait = scene.thread(worker).wait;
    if (!wait || !waits_for_signal(*wait) || !nobody_left(scene, task.process, task.thread, worker))
      continue;
    findings.push_back(make_shutdown(scene, {i}, steps));
  }
  return findings;
}

}  // namespace

std::vector<Finding> detect_event_loop_blocked(const Scene& scene) {
  std::vector<Finding> findings;
  for (PartyRing& ring : find_party_rings(scene.facts)) {
    if (!blocks_loop(scene.facts, ring)) continue;
    if (auto turned = from_loop(scene, std::move(ring)))
      findings.push_back(make_finding(scene, *turned));
  }
  for (Finding& finding : find_shutdowns(scene)) findings.push_back(std::move(finding));
  return findings;
}

}  // namespace coldcase
