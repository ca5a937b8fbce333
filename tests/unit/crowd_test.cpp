// Crowds: idle workers that take turns, pipelines that wait for the outside, and thousands of
// threads that are told in a few lines. Each healthy case with its sick twin.
#include <algorithm>
#include <coldcase/report.hpp>
#include <sstream>

#include "diagnose/diagnose.hpp"
#include "support/catch.hpp"
#include "support/incident.hpp"

namespace coldcase {
namespace {

using namespace test;

Frame queue_get() {
  Frame frame =
      python_frame("SimpleQueue.get", "/usr/lib/python3.11/multiprocessing/queues.py", 365);
  frame.in_app = false;
  return frame;
}

Analysis diagnosed(Incident& incident) {
  settle_waits(incident.facts());
  diagnose(incident.analysis);
  return incident.analysis;
}

// A worker has the read lock and sleeps in read(), three stand in line.
Incident pool(const Frame& holder, const Frame& waiter) {
  Incident incident;
  const ResourceId lock = incident.lock("read lock", WaitKind::semlock, "multiprocessing.SemLock");
  const ResourceId pipe = incident.lock("file descriptor 3", WaitKind::io, "file descriptor");
  const ThreadId reads = incident.thread("reads");
  incident.holds(reads, lock).waits(reads, pipe).stack(reads, {native_frame("read"), holder});
  incident.at(pipe).owner_unknown_code = "not_in_core";
  for (int i = 0; i < 3; ++i) {
    const ThreadId waits = incident.thread("waits");
    incident.waits(waits, lock).stack(waits, {native_frame("sem_wait"), waiter});
  }
  return incident;
}

TEST_CASE("idle workers that take turns at a queue hold nobody up", "[crowd]") {
  Incident idle = pool(queue_get(), queue_get());
  CHECK(diagnosed(idle).findings.empty());
  const Frame own = python_frame("update", "app.py", 7);
  Incident user_holds = pool(own, queue_get());
  CHECK(diagnosed(user_holds).verdict.kind == VerdictKind::hang);
  Incident user_waits = pool(queue_get(), own);
  CHECK(diagnosed(user_waits).verdict.kind == VerdictKind::hang);
}

TEST_CASE("an idle worker whose lock's holder was not dumped is idle", "[crowd]") {
  for (const bool idle : {true, false}) {
    Incident incident;
    const ResourceId lock = incident.lock("lock", WaitKind::semlock, "multiprocessing.SemLock");
    incident.at(lock).owner_unknown_code = "owner_not_recorded";
    const ThreadId worker = incident.thread("worker");
    incident.waits(worker, lock)
        .stack(worker, {idle ? queue_get() : python_frame("update", "app.py", 7)});
    CHECK(diagnosed(incident).verdict.kind ==
          (idle ? VerdictKind::none : VerdictKind::inconclusive));
  }
}

TEST_CASE("what nobody can own has no missing owner", "[crowd]") {
  for (const std::string_view code : {"no_owner", "owner_not_recorded"}) {
    Incident incident;
    const ResourceId queue = incident.lock("queue", WaitKind::queue, "multiprocessing.Queue");
    incident.at(queue).owner_unknown_code = code;
    const ThreadId reader = incident.thread("reader");
    incident.waits(reader, queue);
    CHECK(diagnosed(incident).verdict.kind ==
          (code == "no_owner" ? VerdictKind::none : VerdictKind::inconclusive));
  }
}

// Processes of one thread each, that read from these streams; each with that parent.
Incident readers(const std::vector<std::pair<std::string, ProcessId>>& processes) {
  Incident incident;
  incident.facts().processes.clear();
  for (std::uint32_t i = 0; i < processes.size(); ++i) {
    ProcessFact process;
    process.pid = 4711 + i;  // Incident gives its threads these numbers
    process.parent = processes[i].second;
    incident.facts().processes.push_back(process);
    const ThreadId main = incident.thread("main", ThreadState::idle);
    const ResourceId stream = incident.lock(processes[i].first, WaitKind::io, "file descriptor");
    incident.at(stream).owner_unknown_code = "not_in_core";
    incident.at(main).process = ProcessId{i};
    incident.waits(main, stream);
    incident.at(main).state = ThreadState::idle;
    incident.at(main).wait->syscall_name = "read";
  }
  return incident;
}

TEST_CASE("by exclusion, a pipe cycle needs a parent and its child", "[crowd]") {
  const std::string input = "standard input", other = "file descriptor 5";
  Incident pair = readers({{other, {}}, {other, ProcessId{0}}});
  CHECK(diagnosed(pair).verdict.kind == VerdictKind::deadlock);
  // x=$(cat), or Popen without close(): nothing tells which.
  Incident unsure = readers({{other, {}}, {input, ProcessId{0}}});
  CHECK(diagnosed(unsure).verdict.kind == VerdictKind::inconclusive);
  // The parent waits for its user.
  Incident prompt = readers({{input, {}}, {other, ProcessId{0}}});
  CHECK(diagnosed(prompt).verdict.kind == VerdictKind::none);
  // cat | grep x | sort, whose shell waits for them.
  Incident pipeline = readers({{input, {}}, {input, {}}, {input, {}}});
  CHECK(diagnosed(pipeline).verdict.kind == VerdictKind::none);
}

TEST_CASE("goroutines that wait have no thread", "[crowd]") {
  Incident incident;
  incident.thread("main", ThreadState::idle);
  CHECK(diagnosed(incident).verdict.kind == VerdictKind::none);
  Incident go;
  go.thread("main", ThreadState::idle);
  go.facts().notes.push_back({"goroutines-unread", Severity::info, "not read", "", "", {}});
  const Analysis analysis = diagnosed(go);
  CHECK(analysis.verdict.kind == VerdictKind::inconclusive);
  CHECK(analysis.facts.notes.front().severity == Severity::warning);
}

TEST_CASE("Java's own locks are not read", "[crowd]") {
  Incident incident;
  incident.thread("main", ThreadState::idle);
  incident.module("libjvm.so");
  const Analysis analysis = diagnosed(incident);
  CHECK(analysis.verdict.kind == VerdictKind::inconclusive);
  CHECK(analysis.facts.notes.back().code == "java-unread");
}

std::string text_of(const Analysis& analysis) {
  std::ostringstream out;
  RenderOptions options;
  options.width = 200;
  render_text(analysis, options, out);
  return out.str();
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST_CASE("waiters alike are one sentence, one row and one line", "[crowd]") {
  Incident incident;
  const ResourceId lock = incident.lock("mutex table");
  const ResourceId pipe = incident.lock("pipe", WaitKind::io, "file descriptor");
  incident.at(pipe).owner_unknown_code = "not_in_core";
  const ThreadId holder = incident.thread("holder");
  incident.holds(holder, lock).waits(holder, pipe);
  for (int i = 0; i < 300; ++i) {
    const ThreadId waiter = incident.thread("waiter");
    incident.waits(waiter, lock);
  }
  const Analysis analysis = diagnosed(incident);
  REQUIRE(analysis.findings.size() == 1);
  CHECK(analysis.findings[0].threads.size() == 2);
  CHECK(analysis.findings[0].path.size() == 2);
  const std::string text = text_of(analysis);
  CHECK(text.find("300 threads in all are held up behind it.") != std::string::npos);
  CHECK(text.find(" 299 held up behind it") != std::string::npos);
  CHECK(std::ranges::count(text, '\n') < 60);
}

TEST_CASE("a ring of hundreds is told by its first steps, and is whole in its path", "[crowd]") {
  Incident incident;
  incident.ring(300);
  const Analysis analysis = diagnosed(incident);
  REQUIRE(analysis.findings.size() == 1);
  CHECK(analysis.findings[0].threads.size() == 300);
  CHECK(analysis.findings[0].path.size() == 600);
  CHECK(analysis.findings[0].story.size() == 14);
  const std::string text = text_of(analysis);
  CHECK(text.find("288 more waits in the JSON report.") != std::string::npos);
  CHECK(std::ranges::count(text, '\n') < 150);
}

TEST_CASE("findings alike are counted, others are told", "[crowd]") {
  Incident incident;
  for (int i = 0; i < 40; ++i) {
    const ThreadId a = incident.thread("a"), b = incident.thread("b");
    const ResourceId x = incident.lock("x"), y = incident.lock("y");
    incident.holds(a, x).holds(b, y).waits(a, y).waits(b, x);
    for (const ThreadId id : {a, b}) incident.stack(id, {native_frame("swap", "bank.c", 3)}, 0);
  }
  const ThreadId self = incident.thread("self");
  const ResourceId own = incident.lock("own");
  incident.holds(self, own).waits(self, own);
  const Analysis analysis = diagnosed(incident);
  CHECK(analysis.findings.size() == 41);
  const std::string text = text_of(analysis);
  CHECK(text.find("The same 39 more times with other threads.") != std::string::npos);
  CHECK(count_of(text, "Lock ring:") == 1);
  CHECK(text.find("self") != std::string::npos);
}

TEST_CASE("threads that each wait for a thing of their own are one line when there are many",
          "[crowd]") {
  for (const int threads : {10, 300}) {
    Incident incident;
    incident.thread("runs");  // and could signal
    for (int i = 0; i < threads; ++i) {
      const ResourceId event = incident.lock("", WaitKind::condition, "pthread_cond_t");
      incident.at(event).owner_unknown_code = "no_owner";
      const ThreadId id = incident.thread("");
      incident.waits(id, event);
      incident.at(id).state = ThreadState::idle;
    }
    const std::string text = text_of(diagnosed(incident));
    const bool merged = text.find("waits for a condition (each its own)") != std::string::npos;
    CHECK(merged == (threads > 20));
    CHECK(count_of(text, "idle") == (threads > 20 ? 1U : 10U));
  }
}

}  // namespace
}  // namespace coldcase
