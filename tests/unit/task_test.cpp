// Tasks of event loops from hand-written facts: who can never go on, the rings of tasks and
// threads, what is told of them, and when nothing is.
#include <algorithm>

#include "diagnose/diagnose.hpp"
#include "support/agreement.hpp"
#include "support/catch.hpp"
#include "support/incident.hpp"
#include "unit/report_samples.hpp"
#include "waits/parties.hpp"

namespace coldcase {
namespace {

using namespace test;

// MainThread runs a loop and idles in its selector.
struct Loop : Incident {
  ThreadId main = thread("MainThread", ThreadState::idle);
  ResourceId loop = lock("the event loop of MainThread", WaitKind::event_loop, "asyncio.Loop");

  TaskFact& at(TaskId id) { return facts().tasks[id.index]; }
  using Incident::at;

  TaskId task(const std::string& name) {
    TaskFact fact;
    fact.process = ProcessId{0};
    fact.thread = main;
    fact.loop = loop;
    fact.name = name;
    fact.state = TaskState::idle;
    Stack stack;
    facts().frames.push_back(python_frame(name, "/src/app.py", 7));
    stack.frames = {static_cast<std::uint32_t>(facts().frames.size() - 1)};
    stack.stop_code = "outermost";
    facts().stacks.push_back(stack);
    fact.stack = StackId{static_cast<std::uint32_t>(facts().stacks.size() - 1)};
    fact.site = 0;
    facts().tasks.push_back(fact);
    return TaskId{static_cast<std::uint32_t>(facts().tasks.size() - 1)};
  }
  ResourceId gate(const std::string& name) {
    return lock("asyncio.Lock " + name, WaitKind::asyncio_lock, "asyncio.Lock");
  }
  Loop& task_waits(TaskId id, std::vector<Ref> on, WaitKind kind, Ends ends = Ends::never) {
    Wait wait;
    wait.kind = kind;
    wait.on = std::move(on);
    wait.ends = ends;
    wait.confidence = Confidence::proved;
    at(id).wait = wait;
    for (const Ref ref : wait.on) {
      if (const ResourceId resource = ref.as<RefKind::resource>(); resource.known())
        Incident::at(resource).waiters.push_back(id);
    }
    return *this;
  }
  Loop& task_holds(TaskId id, ResourceId what) {
    const Confidence sure = Confidence::very_likely;
    Incident::at(what).owners.push_back({id, std::nullopt, sure, Basis::value_stack, {}});
    at(id).holds.push_back({what, std::nullopt, std::nullopt, 0, sure, Basis::value_stack, {}});
    return *this;
  }
  // What a thread waits for that the loop's thread, or one of its tasks, would produce.
  ResourceId future(Ref producer) {
    const ResourceId id = lock("the result of a coroutine", WaitKind::future, "Future");
    Incident::at(id).part_of = loop;
    Incident::at(id).feeders.push_back(
        {producer, std::nullopt, Confidence::proved, Basis::interpreter, {}});
    return id;
  }
  const Finding* told() {
    settle_waits(facts());
    diagnose(analysis);
    CHECK(disagreements(analysis).empty());
    return analysis.findings.empty() ? nullptr : &analysis.findings.front();
  }
};

struct Crosswise : Loop {
  TaskId push = task("push"), pull = task("pull");
  ResourceId source = gate("source"), target = gate("target");

  explicit Crosswise(Ends ends = Ends::never) {
    task_holds(push, source).task_holds(pull, target);
    task_waits(push, {target}, WaitKind::asyncio_lock, ends);
    task_waits(pull, {source}, WaitKind::asyncio_lock);
  }
};

TEST_CASE("two tasks hold each other's asyncio locks", "[task]") {
  Crosswise incident;
  const Finding* finding = incident.told();
  REQUIRE(finding != nullptr);
  CHECK(finding->pattern == "task-cycle");
  CHECK(finding->confidence == Confidence::very_likely);  // what a with block is proof of
  CHECK(finding->tasks == std::vector<TaskId>{incident.push, incident.pull});
  CHECK(finding->threads.empty());
  CHECK(incident.at(incident.pull).tag == Tag::deadlocked);
  CHECK(finding->signature->text == "task-cycle: asyncio_lock@pull -> asyncio_lock@push");
  const std::string text = text_of(incident.analysis);
  CHECK(text.find("task push waits for asyncio.Lock target, in push at app.py:7.") !=
        std::string::npos);
  CHECK(text.find("WHERE THESE TASKS AWAIT") != std::string::npos);
}

TEST_CASE("a timeout in the ring opens it", "[task]") {
  Crosswise incident(Ends::timeout);
  CHECK(incident.told() == nullptr);
  CHECK(incident.analysis.verdict.kind == VerdictKind::none);
}

TEST_CASE("a task awaits all of its parts, and one of them wants what it holds", "[task]") {
  Loop incident;
  const TaskId whole = incident.task("whole"), part = incident.task("part"),
               other = incident.task("other");
  const ResourceId gate = incident.gate("gate");
  incident.task_holds(whole, gate).task_waits(part, {gate}, WaitKind::asyncio_lock);
  incident.task_waits(other, {}, WaitKind::sleep, Ends::timeout);
  SECTION("until the last of them") {
    incident.task_waits(whole, {part, other}, WaitKind::task);
    incident.at(whole).wait->all = true;
    const Finding* finding = incident.told();
    REQUIRE(finding != nullptr);
    CHECK(finding->pattern == "task-cycle");
    CHECK_FALSE(incident.at(other).tag == Tag::deadlocked);
  }
  SECTION("until the first of them: the other may end") {
    incident.task_waits(whole, {part, other}, WaitKind::task);
    CHECK(incident.told() == nullptr);
  }
}

TEST_CASE("a coroutine waits as a thread for what its own loop would produce", "[task]") {
  Loop incident;
  const ResourceId result = incident.future(incident.main);
  incident.waits(incident.main, result);
  const TaskId behind = incident.task("behind");
  const Finding* finding = incident.told();
  REQUIRE(finding != nullptr);
  CHECK(incident.analysis.findings.size() == 1);
  CHECK(finding->pattern == "event-loop-blocked");
  CHECK(finding->confidence == Confidence::proved);
  CHECK(incident.at(behind).tag == Tag::behind);
}

TEST_CASE("the loop's thread blocks on a lock that a suspended task of it holds", "[task]") {
  Loop incident;
  const TaskId writer = incident.task("writer");
  const ResourceId table = incident.lock("threading.Lock table", WaitKind::python_lock);
  incident.task_holds(writer, table).task_waits(writer, {}, WaitKind::sleep, Ends::timeout);
  incident.waits(incident.main, table);
  const Finding* finding = incident.told();
  REQUIRE(finding != nullptr);
  CHECK(finding->pattern == "event-loop-blocked");
  CHECK(finding->threads == std::vector<ThreadId>{incident.main});
  CHECK(finding->tasks == std::vector<TaskId>{writer});
}

TEST_CASE("a lock that a task of another, idle loop holds may still be released", "[task]") {
  Loop incident;
  const TaskId writer = incident.task("writer");
  const ThreadId other = incident.thread("other");
  const ResourceId table = incident.lock("threading.Lock table", WaitKind::python_lock);
  incident.task_holds(writer, table).task_waits(writer, {}, WaitKind::sleep, Ends::timeout);
  incident.waits(other, table);
  CHECK(incident.told() == nullptr);
}

TEST_CASE("a thread between two tasks closes their ring", "[task]") {
  Loop incident;
  const TaskId job = incident.task("job"), report = incident.task("report");
  const ThreadId worker = incident.thread("worker");
  const ResourceId gate = incident.gate("gate"), result = incident.future(report),
                   call = incident.lock("a call in a thread", WaitKind::future, "Future");
  incident.at(call).feeders.push_back(
      {worker, std::nullopt, Confidence::proved, Basis::interpreter, {}});
  incident.task_holds(job, gate).task_waits(job, {call}, WaitKind::future);
  incident.task_waits(report, {gate}, WaitKind::asyncio_lock);
  incident.waits(worker, result);
  const Finding* finding = incident.told();
  REQUIRE(finding != nullptr);
  CHECK(finding->pattern == "task-cycle");
  CHECK(finding->threads == std::vector<ThreadId>{worker});
  CHECK(finding->tasks.size() == 2);
}

TEST_CASE("a thread waits for a loop that nobody runs", "[task]") {
  Loop incident;
  const ThreadId asker = incident.thread("asker");
  const ResourceId result = incident.future(asker);
  incident.at(result).feeders.clear();
  incident.at(result).owner_unknown_code = "loop_closed";
  incident.waits(asker, result);
  const Finding* finding = incident.told();
  REQUIRE(finding != nullptr);
  CHECK(finding->pattern == "lost-wakeup");
  CHECK(finding->confidence == Confidence::proved);
}

TEST_CASE("tasks that sleep, wait for queues and sockets are healthy", "[task]") {
  Loop incident;
  const ResourceId jobs = incident.lock("asyncio.Queue jobs", WaitKind::queue, "asyncio.Queue");
  incident.task_waits(incident.task("nap"), {}, WaitKind::sleep, Ends::timeout);
  incident.task_waits(incident.task("consume"), {jobs}, WaitKind::queue);
  const TaskId server = incident.task("serve");
  incident.task_waits(server, {}, WaitKind::io);
  incident.at(server).alike = 140;
  CHECK(incident.told() == nullptr);
  CHECK(incident.analysis.totals.task_count == 143);
  CHECK(text_of(incident.analysis).find("143 tasks, all idle.") != std::string::npos);
}

TEST_CASE("tasks are read back from the report", "[task]") {
  Crosswise incident;
  incident.told();
  const std::string json = json_of(incident.analysis);
  const Analysis read = parse_report(json);
  CHECK(read.facts.tasks.size() == 2);
  CHECK(json_of(read) == json);
  CHECK(text_of(read) == text_of(incident.analysis));
}

TEST_CASE("many tasks are searched in no time", "[task]") {
  Loop incident;
  TaskId before = incident.task("first");
  const TaskId first = before;
  for (int i = 0; i < 2'000; ++i) {
    const TaskId next = incident.task("next");
    incident.task_waits(before, {next}, WaitKind::task);
    before = next;
  }
  SECTION("in a row") {
    CHECK(find_party_rings(incident.facts()).empty());
  }
  SECTION("in a ring") {
    incident.task_waits(before, {first}, WaitKind::task);
    const auto rings = find_party_rings(incident.facts());
    REQUIRE(rings.size() == 1);
    CHECK(rings.front().steps.size() == 2'001);
  }
}

}  // namespace
}  // namespace coldcase
