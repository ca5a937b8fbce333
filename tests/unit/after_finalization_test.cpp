// after-finalization from hand-written facts: who was cut off, who waits for it, and who is left
// alone.
#include "diagnose/diagnose.hpp"
#include "support/agreement.hpp"
#include "support/catch.hpp"
#include "support/incident.hpp"

namespace coldcase {
namespace {

using namespace test;
using Words = std::vector<std::string>;

// MainThread ends the interpreter and waits; a worker asked for the GIL.
struct Ending : Incident {
  ThreadId main = thread("MainThread", ThreadState::blocked);
  ThreadId worker = thread("", ThreadState::idle);

  Ending() {
    Evidence ending;
    ending.claim = "the interpreter is ending";
    ending.basis = Basis::interpreter;
    ending.thread = main;
    ending.process = ProcessId{0};
    ending.source = "_PyRuntimeState.finalizing, CPython 3.13.15";
    facts().evidence.push_back(ending);
    stack(main, {native_frame("futex_wait"), python_frame("flush", "/src/app.py", 12)}, 1);
    stack(worker, {native_frame("pause"), native_frame("visit", "/src/table.cpp", 30)}, 1);
    at(main).python.emplace_back();
  }
  void cut_off(std::string_view by) { evidence(worker, std::string(by) + ", CPython 3.13.15"); }
};

Analysis diagnosed(const Incident& incident) {
  Analysis analysis = incident.analysis;
  settle_waits(analysis.facts);
  diagnose(analysis);
  CHECK(disagreements(analysis) == Words{});
  return analysis;
}

Words patterns_of(const Analysis& analysis) {
  Words patterns;
  for (const Finding& finding : analysis.findings) patterns.push_back(finding.pattern);
  return patterns;
}

std::string story_of(const Analysis& analysis) {
  std::string text;
  for (const Finding& finding : analysis.findings) {
    for (const StoryLine& line : finding.story) text += line.text + "\n";
  }
  return text;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("a thread that was parked for ever is joined", "[diagnose]") {
  Ending incident;
  incident.joins(incident.main, incident.worker);
  CHECK(patterns_of(diagnosed(incident)).empty());  // it may still end
  incident.cut_off("PyThread_hang_thread");
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"after-finalization"});
  const Finding& finding = analysis.findings.front();
  CHECK(analysis.verdict.kind == VerdictKind::hang);
  CHECK(finding.confidence == Confidence::proved);
  CHECK(finding.threads == std::vector<ThreadId>{incident.main, incident.worker});
  CHECK(contains(story_of(analysis), "on MainThread (LWP 4711): no other thread"));
  CHECK(contains(story_of(analysis), "in visit at table.cpp:30: the interpreter parked it"));
}

TEST_CASE("a lock that a parked thread holds is waited for", "[diagnose]") {
  Ending incident;
  const ResourceId lock = incident.lock("mutex cache");
  incident.cut_off("PyThread_hang_thread");
  incident.holds(incident.worker, lock).waits(incident.main, lock);
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"after-finalization"});
  CHECK(contains(story_of(analysis), "LWP 4712 holds mutex cache."));
}

TEST_CASE("the ending thread waits for a lock of nobody's", "[diagnose]") {
  Ending incident;
  const ResourceId lock =
      incident.lock("threading.Lock guard", WaitKind::python_lock, "threading.Lock");
  incident.waits(incident.main, lock);
  SECTION("its holder was ended") {
    const Analysis analysis = diagnosed(incident);
    REQUIRE(patterns_of(analysis) == Words{"after-finalization"});
    CHECK(analysis.findings.front().confidence == Confidence::very_likely);
    CHECK(contains(story_of(analysis), "No living thread is known to hold it"));
    CHECK_FALSE(contains(story_of(analysis), "parked for ever"));
  }
  SECTION("its holder may be the one that was parked") {
    incident.cut_off("PyThread_hang_thread");
    CHECK(contains(story_of(diagnosed(incident)), "1 thread is parked for ever"));
  }
  SECTION("in a finalizer: told once") {
    FinalizerFact finalizer;
    finalizer.frame = 1;
    finalizer.confidence = Confidence::proved;
    incident.at(incident.main).finalizer = finalizer;
    CHECK(patterns_of(diagnosed(incident)) == Words{"after-finalization"});
  }
  SECTION("with a timeout it goes on") {
    incident.at(incident.main).wait->ends = Ends::timeout;
    CHECK(patterns_of(diagnosed(incident)).empty());
  }
  SECTION("a mutex of native code may be released by native threads") {
    incident.at(lock).kind = incident.at(incident.main).wait->kind = WaitKind::mutex;
    CHECK(patterns_of(diagnosed(incident)).empty());
  }
}

TEST_CASE("a daemon that waits while the interpreter ends is not missed", "[diagnose]") {
  Ending incident;
  incident.at(incident.main).state = ThreadState::running;
  incident.at(incident.worker).python.emplace_back();
  const ResourceId queue = incident.lock("queue.Queue", WaitKind::queue, "Queue");
  incident.at(queue).owner_unknown_code = "no_owner";
  incident.waits(incident.worker, queue);
  CHECK(patterns_of(diagnosed(incident)).empty());
}

struct Killed : Ending {
  Killed() {
    at(worker).state = ThreadState::crashed;
    SignalFact signal;
    signal.number = 6;
    signal.name = "SIGABRT";
    facts().processes[0].signal = signal;
    facts().processes[0].dump_reason = DumpReason::signal;
    CrashFact crash;
    crash.thread = worker;
    facts().crashes.push_back(crash);
  }
};

TEST_CASE("the end of a thread killed the process", "[diagnose]") {
  Killed incident;
  CHECK(patterns_of(diagnosed(incident)) == Words{"crash-abort"});
  incident.cut_off("PyThread_exit_thread");
  SECTION("instead of a plain abort") {
    const Analysis analysis = diagnosed(incident);
    CHECK(patterns_of(analysis) == Words{"after-finalization"});
    CHECK(analysis.verdict.kind == VerdictKind::crash);
    CHECK(contains(story_of(analysis), "ended it with pthread_exit"));
  }
  SECTION("also where the runtime saw no exception of anybody's") {
    incident.facts().crashes.front().exception_type = "abi::__forced_unwind";
    CHECK(patterns_of(diagnosed(incident)) == Words{"after-finalization"});
  }
  SECTION("a finalizer that joins it does not hang") {
    FinalizerFact finalizer;
    finalizer.frame = 1;
    finalizer.confidence = Confidence::proved;
    incident.at(incident.main).finalizer = finalizer;
    incident.joins(incident.main, incident.worker);
    CHECK(patterns_of(diagnosed(incident)) == Words{"after-finalization"});
  }
  SECTION("another signal is another story") {
    incident.facts().processes[0].signal->number = 11;
    CHECK(patterns_of(diagnosed(incident)) == Words{"crash-segv"});
  }
}

}  // namespace
}  // namespace coldcase
