// From hand-written facts to findings and a verdict: each pattern, its healthy twins, and which of
// two patterns tells a ring.
#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

#include <algorithm>

#include "support/agreement.hpp"
#include "support/catch.hpp"
#include "support/incident.hpp"

namespace coldcase {
namespace {

using namespace test;

// Of a report's headline: short, and no address and no number of this process or its threads.
void check_headline(const Analysis& analysis, const std::string& headline) {
  CAPTURE(headline);
  CHECK_FALSE(headline.empty());
  CHECK(headline.size() <= 120);
  CHECK(headline.find("0x") == std::string::npos);
  CHECK(headline.find("LWP") == std::string::npos);
  for (const ThreadFact& thread : analysis.facts.threads) {
    if (thread.tid) CHECK(headline.find(std::to_string(*thread.tid)) == std::string::npos);
  }
}

// Every claim leads to something that exists.
void check_references(const Analysis& analysis, const Finding& finding) {
  const Facts& facts = analysis.facts;
  for (const ThreadId id : finding.threads) CHECK(id.index < facts.threads.size());
  for (const ResourceId id : finding.resources) CHECK(id.index < facts.resources.size());
  for (const StoryLine& line : finding.story) {
    CHECK_FALSE(line.text.empty());
    for (const EvidenceId id : line.evidence) CHECK(id.index < facts.evidence.size());
  }
  for (const Edge& edge : finding.path) CHECK(edge.confidence >= finding.confidence);
}

// The edges of a cycle follow each other and come back to where they began.
bool closed(const Finding& finding) {
  for (std::size_t i = 0; i < finding.path.size(); ++i) {
    if (finding.path[i].to != finding.path[(i + 1) % finding.path.size()].from) return false;
  }
  return finding.cyclic;
}

Analysis diagnosed(const Incident& incident) {
  Analysis analysis = incident.analysis;
  settle_waits(analysis.facts);
  diagnose(analysis);
  CHECK(disagreements(analysis) == std::vector<std::string>{});
  check_headline(analysis, analysis.verdict.headline);
  CHECK(analysis.verdict.findings.size() == analysis.findings.size());
  for (const Finding& finding : analysis.findings) {
    CAPTURE(finding.pattern);
    check_headline(analysis, finding.headline);
    check_references(analysis, finding);
    CHECK_FALSE(finding.story.empty());
    CHECK_FALSE(finding.summary.empty());
    CHECK_FALSE(finding.advice.empty());
    if (finding.kind == FindingKind::deadlock) {
      CHECK(closed(finding));
      CHECK_FALSE(finding.path.empty());
    }
  }
  return analysis;
}

std::vector<std::string> patterns_of(const Analysis& analysis) {
  std::vector<std::string> patterns;
  for (const Finding& finding : analysis.findings) patterns.push_back(finding.pattern);
  return patterns;
}

std::string whole_story(const Finding& finding) {
  std::string text;
  for (const StoryLine& line : finding.story) text += line.text + "\n";
  for (const std::string& line : finding.summary) text += line + "\n";
  return text;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

using Words = std::vector<std::string>;

// ---- a thread with the GIL against the holder of a native lock

// The founding case: the event loop's thread has the GIL and waits in the CUDA driver; a worker
// holds the driver's lock, for writing, and waits for the GIL to run a callback it was given.
struct Founding : Incident {
  ThreadId loop = thread("MainThread"), worker = thread("Dask-Worker");
  ResourceId gil = lock("the GIL", WaitKind::gil, "_gil_runtime_state");
  ResourceId driver;

  explicit Founding(WaitKind kind = WaitKind::driver_lock) {
    driver = lock("a lock inside libcuda.so.1", kind, "pthread_rwlock_t");
    const ModuleId ctypes = module("_ctypes.cpython-36m.so"), cuda = module("libcuda.so.1");
    stack(loop,
          {native_frame("pthread_rwlock_wrlock"), native_frame("", "", 0, cuda),
           native_frame("uct_cuda_ipc_iface_event_fd_arm", "cuda_ipc_iface.c", 271),
           python_frame("_fd_reader_callback", "/src/ucp/core.pyx", 212)},
          2);
    stack(worker, {native_frame("pthread_cond_timedwait"), native_frame("take_gil"),
                   python_frame("<lambda> (callback, not yet entered)", "/src/compiler.py", 637),
                   native_frame("closure_fcn", "", 0, ctypes), native_frame("", "", 0, cuda),
                   python_frame("get_max_potential_block_size", "/src/driver.py", 1423)});
    holds(loop, gil).holds(worker, driver, {.mode = Mode::write});
    waits(loop, driver, {.mode = Mode::write});
    waits(worker, gil, {.ends = Ends::poll_retry});
    at(worker).api = Api{"cuOccupancyMaxPotentialBlockSize", {}, "call target", Confidence::proved};
    evidence(worker, "libcuda's symbol table");
    thread("idle", ThreadState::idle);
  }
};

TEST_CASE("the founding case", "[diagnose]") {
  const Founding incident;
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"gil-driver-inversion"});
  const Finding& finding = analysis.findings[0];
  CHECK(analysis.verdict.kind == VerdictKind::deadlock);
  CHECK(analysis.verdict.confidence == Confidence::proved);
  CHECK(analysis.verdict.headline == finding.headline);
  CHECK(contains(finding.headline, "_fd_reader_callback"));
  CHECK(finding.threads == std::vector<ThreadId>{incident.loop, incident.worker});
  CHECK(finding.resources == std::vector<ResourceId>{incident.driver, incident.gil});
  CHECK(finding.path.size() == 4);
  REQUIRE(finding.location);
  CHECK(finding.location->file == "/src/compiler.py");  // the callback is what to change
  CHECK(finding.location->line == 637u);
  const std::string story = whole_story(finding);
  CHECK(contains(story, "Dask-Worker (LWP 4712) called cuOccupancyMaxPotentialBlockSize"));
  CHECK(contains(story, "through ctypes"));
  CHECK(contains(story, "a lock inside libcuda.so.1 for writing"));
  CHECK(contains(story, "<lambda> at compiler.py:637"));
  CHECK(contains(story, "MainThread (LWP 4711) has the GIL."));
  CHECK(contains(story, "uct_cuda_ipc_iface_event_fd_arm at cuda_ipc_iface.c:271"));
  CHECK_FALSE(contains(story, "not yet entered"));
}

TEST_CASE("tags and totals of the founding case", "[diagnose]") {
  Founding incident;
  const ThreadId behind = incident.thread("behind"), runs = incident.thread("runs");
  incident.waits(behind, incident.gil, {.ends = Ends::poll_retry});
  const Analysis analysis = diagnosed(incident);
  const auto& threads = analysis.facts.threads;
  CHECK(threads[incident.loop.index].tag == Tag::deadlocked);
  CHECK(threads[incident.worker.index].tag == Tag::deadlocked);
  CHECK(threads[2].tag == Tag::idle);
  CHECK(threads[behind.index].tag == Tag::behind);
  CHECK(threads[runs.index].tag == Tag::running);
  CHECK(threads[incident.loop.index].findings == std::vector<FindingId>{FindingId{0}});
  CHECK(threads[behind.index].findings.empty());
  CHECK(analysis.totals.thread_count == 5);
  CHECK(analysis.totals.process_count == 1);
  CHECK(analysis.totals.frame_count == 10);
}

TEST_CASE("without a callback the fault is Python run inside the driver's call", "[diagnose]") {
  Founding incident;
  incident.stack(incident.worker,
                 {native_frame("take_gil"), python_frame("on_stream_done", "/src/stream.py", 12)});
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"gil-driver-inversion"});
  CHECK(analysis.findings[0].location->function == "_fd_reader_callback");
  CHECK_FALSE(contains(whole_story(analysis.findings[0]), "callback can begin"));
}

TEST_CASE("threads without stacks and names still make a story", "[diagnose]") {
  Incident incident;
  const ThreadId a = incident.thread(""), b = incident.thread("");
  const ResourceId gil = incident.lock("the GIL", WaitKind::gil);
  const ResourceId driver = incident.lock("a driver lock", WaitKind::driver_lock);
  incident.at(a).tid.reset();
  incident.holds(a, gil).holds(b, driver).waits(a, driver).waits(b, gil);
  CHECK(patterns_of(diagnosed(incident)) == Words{"gil-driver-inversion"});
}

// One ring, three patterns that know it: the most refined one tells it, and it alone.
TEST_CASE("the driver's lock before any lock, and the GIL before a plain ring", "[diagnose]") {
  CHECK(patterns_of(diagnosed(Founding(WaitKind::driver_lock))) == Words{"gil-driver-inversion"});
  CHECK(patterns_of(diagnosed(Founding(WaitKind::rwlock))) == Words{"gil-lock-inversion"});
  const Founding incident;
  const std::vector<Ring> rings = find_rings(incident.analysis.facts);
  const std::vector<bool> stuck = find_stuck(incident.analysis.facts);
  const Scene scene{incident.analysis.facts, rings, stuck};
  CHECK(detect_gil_driver_inversion(scene).size() == 1);
  CHECK(detect_gil_lock_inversion(scene).size() == 1);
  CHECK(detect_lock_cycle(scene).size() == 1);
  CHECK(detect_self_deadlock(scene).empty());
}

TEST_CASE("the GIL against a plain mutex", "[diagnose]") {
  const Founding incident(WaitKind::mutex);
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"gil-lock-inversion"});
  const Finding& finding = analysis.findings[0];
  CHECK(contains(finding.headline, "GIL against a mutex"));
  CHECK(finding.location->function == "_fd_reader_callback");
  CHECK(contains(whole_story(finding), "MainThread (LWP 4711) holds the GIL"));
}

TEST_CASE("healthy twins of the inversion", "[diagnose]") {
  Founding incident;
  SECTION("the lock's holder runs") {
    incident.at(incident.gil).waiters.clear();
    incident.at(incident.worker).wait.reset();
    incident.at(incident.worker).state = ThreadState::running;
  }
  SECTION("the GIL's holder runs") {
    incident.at(incident.driver).waiters.clear();
    incident.at(incident.loop).wait.reset();
    incident.at(incident.loop).state = ThreadState::running;
  }
  SECTION("the native wait has a timeout") {
    incident.at(incident.loop).wait->ends = Ends::timeout;
  }
  SECTION("another thread has the GIL") {
    const ThreadId other = incident.thread("other");
    incident.at(incident.gil).owners.clear();
    incident.at(incident.loop).holds.clear();
    incident.holds(other, incident.gil);
  }
  const Analysis analysis = diagnosed(incident);
  CHECK(analysis.findings.empty());
  CHECK(analysis.verdict.kind == VerdictKind::none);
}

// The GIL's holder waits for one lock, its holder for a second one, and that one's for the GIL.
TEST_CASE("a longer ring with the GIL names each lock's own holder", "[diagnose]") {
  Incident incident;
  const ThreadId a = incident.thread("anna"), b = incident.thread("bert");
  const ThreadId c = incident.thread("carl");
  const ResourceId gil = incident.lock("the GIL", WaitKind::gil, "_gil_runtime_state");
  const ResourceId first = incident.lock("the first lock"),
                   second = incident.lock("the second lock");
  incident.holds(a, gil).holds(b, first).holds(c, second);
  incident.waits(a, first).waits(b, second).waits(c, gil, {.ends = Ends::poll_retry});
  const Analysis analysis = diagnosed(incident);
  REQUIRE(analysis.findings.size() == 1);
  const std::string story = whole_story(analysis.findings[0]);
  CAPTURE(story);
  CHECK(contains(story, "bert"));  // a third of the ring
  CHECK_FALSE(contains(story, "carl (LWP 4713) holds the first lock"));
  CHECK_FALSE(contains(story, "carl (LWP 4713) holds that lock"));
}

// ---- rings of locks

TEST_CASE("lock rings of two and five, native and Python's", "[diagnose]") {
  const std::size_t n = GENERATE(2u, 5u);
  const bool python = GENERATE(false, true);
  Incident incident;
  if (python) {
    incident.ring(n, WaitKind::python_lock, "threading.Lock");
  } else {
    incident.ring(n);
  }
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"lock-cycle"});
  const Finding& finding = analysis.findings[0];
  CHECK(finding.threads.size() == n);
  CHECK(finding.resources.size() == n);
  CHECK(finding.path.size() == 2 * n);
  CHECK(finding.story.size() == 2 * n + 1);
  CHECK(analysis.verdict.kind == VerdictKind::deadlock);
  if (n == 5) CHECK(contains(finding.headline, "5 threads"));
}

TEST_CASE("a ring of a native and a Python lock", "[diagnose]") {
  Incident incident;
  incident.ring(2);
  incident.facts().resources[1].kind = WaitKind::python_lock;
  CHECK(patterns_of(diagnosed(incident)) == Words{"lock-cycle"});
}

TEST_CASE("a lock ring tells who holds what and where it was taken", "[diagnose]") {
  Incident incident;
  const ThreadId a = incident.thread("anna"), b = incident.thread("bert");
  const ResourceId money = incident.lock("the money lock");
  const ResourceId log = incident.lock("the log", WaitKind::rwlock, "pthread_rwlock_t");
  incident.stack(a,
                 {native_frame("__lll_lock_wait"), native_frame("write_log", "/src/log.c", 7),
                  native_frame("transfer", "/src/bank.c", 12)},
                 1);
  incident.stack(b, {python_frame("audit", "/src/audit.py", 9)}, 0);
  incident.holds(a, money, {.frame = 2}).holds(b, log, {.mode = Mode::read});
  incident.waits(a, log, {.mode = Mode::write}).waits(b, money);
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"lock-cycle"});
  const Finding& finding = analysis.findings[0];
  const std::string story = whole_story(finding);
  CHECK(contains(story, "anna (LWP 4711) holds the money lock, in transfer at bank.c:12."));
  CHECK(contains(story, "It waits to write-lock the log, in write_log at log.c:7."));
  CHECK(contains(story, "bert (LWP 4712) holds the log."));
  CHECK(contains(finding.headline, "write_log and audit"));
  CHECK(finding.location->file == "/src/log.c");
}

TEST_CASE("healthy twins of the lock ring", "[diagnose]") {
  Incident incident;
  const std::vector<ThreadId> ring = incident.ring(3);
  SECTION("one holder runs") {
    incident.facts().resources[0].waiters.clear();
    incident.at(ring[2]).wait.reset();
    incident.at(ring[2]).state = ThreadState::running;
  }
  SECTION("one wait has a timeout") {
    incident.at(ring[1]).wait->ends = Ends::timeout;
  }
  SECTION("one thread could also be woken by something else") {
    const ResourceId event = incident.lock("an event", WaitKind::futex, "futex");
    incident.at(ring[1]).wait->on.push_back(event);
    incident.at(event).waiters.push_back(ring[1]);
  }
  const Analysis analysis = diagnosed(incident);
  CHECK(analysis.findings.empty());
  CHECK(analysis.verdict.kind == VerdictKind::none);
  CHECK_FALSE(analysis.verdict.confidence);
}

TEST_CASE("two rings are two findings, the surest first", "[diagnose]") {
  Incident incident;
  const std::vector<ThreadId> weak = incident.ring(2);
  const std::vector<ThreadId> sure = incident.ring(3);
  incident.at(weak[0]).wait->confidence = Confidence::likely;
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"lock-cycle", "lock-cycle"});
  CHECK(analysis.findings[0].threads == sure);
  CHECK(analysis.findings[1].threads == weak);
  CHECK(analysis.verdict.confidence == Confidence::proved);
}

TEST_CASE("a finding is as sure as its weakest edge, and so is the verdict", "[diagnose]") {
  const auto [weakest, kind] =
      GENERATE(table<Confidence, VerdictKind>({{Confidence::hypothesis, VerdictKind::inconclusive},
                                               {Confidence::likely, VerdictKind::deadlock},
                                               {Confidence::very_likely, VerdictKind::deadlock}}));
  Incident incident;
  const std::vector<ThreadId> ring = incident.ring(2);
  incident.at(ring[1]).wait->confidence = weakest;
  const Analysis analysis = diagnosed(incident);
  REQUIRE(analysis.findings.size() == 1);
  CHECK(analysis.findings[0].confidence == weakest);
  CHECK(analysis.verdict.kind == kind);
  CHECK(analysis.verdict.confidence == weakest);
}

TEST_CASE("a ring through a join is not called healthy", "[diagnose]") {
  Incident incident;
  const ThreadId a = incident.thread("a"), b = incident.thread("b");
  const ResourceId x = incident.lock("x");
  incident.holds(a, x).joins(a, b).waits(b, x);
  REQUIRE(find_rings(incident.facts()).size() == 1);
  const Analysis analysis = diagnosed(incident);
  CHECK(analysis.verdict.kind != VerdictKind::none);
}

TEST_CASE("a headline names no process even when a thread's name does", "[diagnose]") {
  Incident incident;
  const std::vector<ThreadId> ring = incident.ring(2);
  // As dask names its threads: with the process's id.
  incident.at(ring[0]).name = "Dask-Worker-Threads'-4711-2";
  CHECK(diagnosed(incident).findings.size() == 1);
}

// ---- a thread against itself

TEST_CASE("a thread that waits for its own lock", "[diagnose]") {
  Incident incident;
  const ThreadId self = incident.thread("main");
  const ResourceId x = incident.lock("the cache lock");
  incident.stack(self,
                 {native_frame("__lll_lock_wait"), native_frame("evict", "/src/cache.c", 40),
                  native_frame("insert", "/src/cache.c", 20)},
                 1);
  incident.holds(self, x, {.frame = 2}).waits(self, x);
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"self-deadlock"});
  const Finding& finding = analysis.findings[0];
  CHECK(finding.threads == std::vector<ThreadId>{self});
  CHECK(finding.path.size() == 2);
  CHECK(finding.headline == "evict takes a pthread_mutex_t that its own thread already holds");
  CHECK(contains(whole_story(finding), "holds the cache lock, in insert at cache.c:20."));
  CHECK(contains(finding.advice[1].text, "std::recursive_mutex"));
  CHECK(analysis.verdict.kind == VerdictKind::deadlock);
}

TEST_CASE("advice for a Python lock is Python's", "[diagnose]") {
  Incident incident;
  incident.ring(1, WaitKind::python_lock, "threading.Lock");
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"self-deadlock"});
  CHECK(contains(analysis.findings[0].advice[1].text, "threading.RLock"));
}

TEST_CASE("healthy twins of the self-deadlock", "[diagnose]") {
  Incident incident;
  const std::vector<ThreadId> self = incident.ring(1);
  SECTION("with a timeout") {
    incident.at(self[0]).wait->ends = Ends::timeout;
  }
  SECTION("another thread holds it") {
    const ThreadId other = incident.thread("other");
    incident.at(self[0]).holds.clear();
    incident.facts().resources[0].owners.clear();
    incident.holds(other, ResourceId{0});
  }
  const Analysis analysis = diagnosed(incident);
  CHECK(analysis.findings.empty());
  CHECK(analysis.verdict.kind == VerdictKind::none);
}

// ---- crashes

struct Crash : Incident {
  ThreadId thread_id = thread("worker");
  CrashFact fact;

  Crash(std::int64_t number, std::string name) {
    SignalFact signal;
    signal.number = number;
    signal.name = std::move(name);
    facts().processes[0].signal = signal;
    facts().processes[0].dump_reason = DumpReason::signal;
    at(thread_id).state = ThreadState::crashed;
    fact.thread = thread_id;
    evidence(thread_id, "NT_SIGINFO, NT_PRSTATUS");
  }
  Finding only() {
    facts().crashes = {fact};
    const Analysis result = diagnosed(*this);
    REQUIRE(result.findings.size() == 1);
    CHECK(result.verdict.kind == VerdictKind::crash);
    CHECK(result.findings[0].kind == FindingKind::crash);
    CHECK(result.findings[0].crash);
    CHECK(result.findings[0].threads == std::vector<ThreadId>{thread_id});
    CHECK(result.facts.threads[thread_id.index].tag == Tag::crashed);
    return result.findings[0];
  }
};

TEST_CASE("a null pointer", "[diagnose]") {
  Crash crash(11, "SIGSEGV");
  crash.facts().processes[0].signal->code_name = "SEGV_MAPERR";
  crash.stack(crash.thread_id, {native_frame("read_index", "/src/index.c", 12)}, 0);
  crash.fact.address = Addr{24};
  crash.fact.address_is = "null + 0x18";
  const Finding finding = crash.only();
  CHECK(finding.pattern == "crash-segv");
  CHECK(finding.headline == "Null pointer access in read_index (index.c:12)");
  CHECK(contains(whole_story(finding), "SIGSEGV (SEGV_MAPERR) at address 0x18: null + 0x18."));
  CHECK(finding.location->line == 12u);
  REQUIRE(finding.story.size() == 2);
  CHECK(finding.story[1].evidence == std::vector<EvidenceId>{EvidenceId{0}});
}

TEST_CASE("a wild pointer, an unknown address, another signal", "[diagnose]") {
  Crash wild(11, "SIGSEGV");
  wild.fact.address = Addr{0xdeadbeef0000};
  CHECK(wild.only().headline == "Bad memory access in code without a name");
  Crash unknown(11, "SIGSEGV");
  CHECK(unknown.only().headline == "Bad memory access in code without a name");
  Crash bus(7, "SIGBUS");
  bus.fact.address = Addr{0x7f0000001000};
  CHECK(bus.only().pattern == "crash-bus");
  CHECK(bus.only().headline == "Bus error in code without a name");
}

TEST_CASE("the blame is not the dying machinery's", "[diagnose]") {
  Crash crash(6, "SIGABRT");
  crash.stack(
      crash.thread_id,
      {native_frame("__pthread_kill_implementation"), native_frame("raise"), native_frame("abort"),
       native_frame("check_header", "/src/header.c", 8), native_frame("main", "/src/main.c", 3)});
  const Finding finding = crash.only();
  CHECK(finding.pattern == "crash-abort");
  CHECK(finding.headline == "Aborted in check_header (header.c:8)");
}

TEST_CASE("native code that died under Python code names both", "[diagnose]") {
  Crash crash(11, "SIGSEGV");
  crash.stack(crash.thread_id,
              {native_frame("fill", "/src/fill.c", 5), python_frame("load", "/src/load.py", 77)});
  crash.fact.address = Addr{0};
  const Finding finding = crash.only();
  CHECK(contains(whole_story(finding),
                 "fill at fill.c:5, called from Python in load at load.py:77."));
}

TEST_CASE("an abort with the C library's message", "[diagnose]") {
  Crash crash(6, "SIGABRT");
  crash.fact.message = "free(): invalid pointer";
  const EvidenceId message = crash.evidence(crash.thread_id, "__abort_msg, glibc");
  const Finding finding = crash.only();
  CHECK(finding.pattern == "crash-abort");
  CHECK(contains(finding.headline, "free(): invalid pointer"));
  CHECK(finding.story.back().evidence == std::vector<EvidenceId>{message});
}

TEST_CASE("a failed assertion, told once", "[diagnose]") {
  Crash crash(6, "SIGABRT");
  crash.fact.message = "worker: table.c:31: grow: Assertion `used <= size' failed.";
  crash.stack(crash.thread_id, {native_frame("abort"), native_frame("__assert_fail"),
                                native_frame("grow", "/src/table.c", 31)});
  const Finding finding = crash.only();
  CHECK(finding.pattern == "crash-assert");
  CHECK(finding.headline == "Assertion failed in grow (table.c:31): `used <= size' failed.");
}

TEST_CASE("an exception nobody caught", "[diagnose]") {
  Crash crash(6, "SIGABRT");
  crash.fact.exception_type = "std::out_of_range";
  crash.stack(crash.thread_id,
              {native_frame("abort"), native_frame("std::terminate()"), native_frame("__cxa_throw"),
               native_frame("parse", "/src/p.cc", 4)});
  SECTION("with a text") {
    crash.fact.exception_what = "vector::at";
    const Finding finding = crash.only();
    CHECK(finding.pattern == "crash-uncaught-exception");
    CHECK(finding.headline == "Uncaught std::out_of_range from parse (p.cc:4): vector::at");
    CHECK(contains(whole_story(finding), "saying \"vector::at\""));
  }
  SECTION("without one") {
    CHECK(crash.only().headline == "Uncaught std::out_of_range from parse (p.cc:4)");
  }
}

TEST_CASE("a crash without a signal is nothing to tell", "[diagnose]") {
  Crash crash(11, "SIGSEGV");
  crash.facts().processes[0].signal.reset();
  crash.facts().crashes = {crash.fact};
  CHECK(diagnosed(crash).findings.empty());
}

TEST_CASE("a crash comes before a ring that is as sure", "[diagnose]") {
  Crash crash(11, "SIGSEGV");
  crash.facts().crashes = {crash.fact};
  crash.ring(2);
  const Analysis analysis = diagnosed(crash);
  CHECK(patterns_of(analysis) == Words{"crash-segv", "lock-cycle"});
  CHECK(analysis.verdict.kind == VerdictKind::crash);
}

// A handler of SIGSEGV that takes the lock its thread already held, and aborts it in the end.
TEST_CASE("a deadlock of the crashed thread does not hide the crash", "[diagnose]") {
  Crash crash(6, "SIGABRT");
  crash.facts().crashes = {crash.fact};
  const ResourceId arena = crash.lock("the arena", WaitKind::malloc_arena, "malloc arena");
  crash.holds(crash.thread_id, arena).waits(crash.thread_id, arena);
  const Words patterns = patterns_of(diagnosed(crash));
  CHECK(std::ranges::count(patterns, "crash-abort") == 1);
  CHECK(std::ranges::count(patterns, "self-deadlock") == 1);
}

TEST_CASE("a long headline is cut at a character", "[diagnose]") {
  Crash crash(6, "SIGABRT");
  SECTION("plain") {
    crash.fact.message = std::string(500, 'x');
  }
  SECTION("two bytes a character, either parity") {
    const std::string odd = GENERATE(std::string(), std::string("x"));
    crash.fact.message = odd;
    for (int i = 0; i < 100; ++i) crash.fact.message += "ä";
  }
  const std::string headline = crash.only().headline;
  CHECK(headline.size() > 100);
  CHECK(headline.ends_with("…"));
  const std::string before = headline.substr(0, headline.size() - 3);
  CHECK((before.ends_with("x") || before.ends_with("ä")));
}

TEST_CASE("a headline of exactly 120 bytes is whole", "[diagnose]") {
  CHECK(as_headline(std::string(120, 'x')) == std::string(120, 'x'));
  CHECK(as_headline(std::string(121, 'x')).size() <= 120);
  CHECK(as_headline("") == "");
}

// ---- nothing found

TEST_CASE("healthy facts", "[diagnose]") {
  Incident incident;
  incident.thread("pool", ThreadState::idle);
  incident.thread("main", ThreadState::running);
  const Analysis analysis = diagnosed(incident);
  CHECK(analysis.findings.empty());
  CHECK(analysis.verdict.kind == VerdictKind::none);
  CHECK(analysis.verdict.findings.empty());
  CHECK_FALSE(analysis.verdict.confidence);
}

TEST_CASE("a queue behind a thread that runs is healthy", "[diagnose]") {
  Incident incident;
  const ThreadId owner = incident.thread("owner");
  const ResourceId x = incident.lock("x");
  incident.holds(owner, x);
  for (int i = 0; i < 5; ++i) incident.waits(incident.thread("waiter"), x);
  const Analysis analysis = diagnosed(incident);
  CHECK(analysis.verdict.kind == VerdictKind::none);
  CHECK(patterns_of(analysis) == Words{"lock-convoy"});
  CHECK(analysis.findings.front().kind == FindingKind::info);
}

TEST_CASE("a lock without a known owner leaves the verdict open", "[diagnose]") {
  Incident incident;
  const ThreadId waiter = incident.thread("waiter");
  const ResourceId x = incident.lock("x");
  incident.waits(waiter, x);
  SECTION("no end") {
    const Analysis analysis = diagnosed(incident);
    CHECK(analysis.verdict.kind == VerdictKind::inconclusive);
    CHECK(contains(analysis.verdict.headline, "1 thread waits without end"));
  }
  SECTION("two of them") {
    incident.waits(incident.thread("second"), x);
    CHECK(contains(diagnosed(incident).verdict.headline, "2 threads wait without end"));
  }
  SECTION("with a timeout") {
    incident.at(waiter).wait->ends = Ends::timeout;
    CHECK(diagnosed(incident).verdict.kind == VerdictKind::none);
  }
  SECTION("free, and a thread that runs may wake the next") {
    incident.at(x).state = LockState::free;
    CHECK(diagnosed(incident).verdict.kind == VerdictKind::inconclusive);
    incident.thread("releasing", ThreadState::running);
    CHECK(diagnosed(incident).verdict.kind == VerdictKind::none);
    incident.at(x).state = LockState::locked;
    CHECK(diagnosed(incident).verdict.kind == VerdictKind::inconclusive);
  }
  SECTION("idle, in its pool") {
    incident.at(waiter).state = ThreadState::idle;
    CHECK(diagnosed(incident).verdict.kind == VerdictKind::none);
  }
  SECTION("the GIL between two holders") {
    incident.at(x).kind = WaitKind::gil;
    incident.at(waiter).wait->kind = WaitKind::gil;
    incident.at(waiter).wait->ends = Ends::poll_retry;
    CHECK(diagnosed(incident).verdict.kind == VerdictKind::none);
  }
}

TEST_CASE("blocked for nobody knows what leaves the verdict open", "[diagnose]") {
  Incident incident;
  const ThreadId waiter = incident.thread("waiter");
  const ResourceId x = incident.lock("x");
  incident.waits(waiter, x);
  incident.at(waiter).wait->on.clear();
  incident.at(x).waiters.clear();
  CHECK(diagnosed(incident).verdict.kind == VerdictKind::inconclusive);
}

TEST_CASE("a core without threads tells nothing", "[diagnose]") {
  const Analysis analysis = diagnosed(Incident());
  CHECK(analysis.verdict.kind == VerdictKind::inconclusive);
  CHECK(analysis.totals.thread_count == 0);
}

TEST_CASE("greenlets may hide a deadlock of their own", "[diagnose]") {
  Incident incident;
  incident.thread("hub", ThreadState::idle);
  const std::string name =
      GENERATE("_greenlet.cpython-311-x86_64-linux-gnu.so", "_greenlet.abi3.so");
  incident.module(name);
  CHECK(diagnosed(incident).verdict.kind == VerdictKind::inconclusive);
  incident.facts().modules[0].name = "_gevent.so";
  CHECK(diagnosed(incident).verdict.kind == VerdictKind::none);
}

TEST_CASE("greenlets do not weaken what was proved", "[diagnose]") {
  Incident incident;
  incident.ring(2);
  incident.module("_greenlet.abi3.so");
  CHECK(diagnosed(incident).verdict.kind == VerdictKind::deadlock);
}

TEST_CASE("a Python that could not be read leaves the verdict open", "[diagnose]") {
  Incident incident;
  incident.thread("main", ThreadState::idle);
  Note note;
  note.code = "python-unread";
  incident.facts().notes.push_back(note);
  CHECK(diagnosed(incident).verdict.kind == VerdictKind::inconclusive);
  incident.facts().notes[0].code = "something-else";
  CHECK(diagnosed(incident).verdict.kind == VerdictKind::none);
}

TEST_CASE("the table of patterns", "[diagnose]") {
  std::vector<std::string_view> slugs;
  for (const Detector& detector : detectors()) {
    slugs.push_back(detector.pattern);
    CHECK(detector.detect != nullptr);
    CHECK_FALSE(detector.what.empty());
    CHECK_FALSE(detector.proof.empty());
  }
  // Refined before plain: the order is the precedence.
  const auto before = [&](std::string_view one, std::string_view other) {
    const auto first = std::ranges::find(slugs, one), second = std::ranges::find(slugs, other);
    return first < second && second != slugs.end();
  };
  CHECK(before("gil-driver-inversion", "gil-lock-inversion"));
  CHECK(before("gil-lock-inversion", "lock-cycle"));
  CHECK(before("self-deadlock", "lock-cycle"));
  CHECK(before("crash-assert", "crash-abort"));
  CHECK(before("crash-uncaught-exception", "crash-abort"));
  CHECK(before("crash-abort", "crash-segv"));
  std::ranges::sort(slugs);
  CHECK(std::ranges::adjacent_find(slugs) == slugs.end());
}

TEST_CASE("every detector is silent on healthy facts", "[diagnose]") {
  Incident incident;
  const ThreadId a = incident.thread("a"), b = incident.thread("b");
  const ResourceId x = incident.lock("x");
  incident.holds(a, x).waits(b, x);
  const std::vector<Ring> rings = find_rings(incident.facts());
  const std::vector<bool> stuck = find_stuck(incident.analysis.facts);
  const Scene scene{incident.analysis.facts, rings, stuck};
  for (const Detector& detector : detectors()) {
    CAPTURE(detector.pattern);
    CHECK(detector.detect(scene).empty());
  }
}

TEST_CASE("functions in headlines", "[diagnose]") {
  CHECK(short_name("main.<locals>.Store.save") == "Store.save");
  CHECK(short_name("bank::move(Account&, std::map<int, long>) const") == "bank::move");
  CHECK(short_name("int (anonymous namespace)::go<int, (Kind)2>(int)") == "go<int, (Kind)2>");
  CHECK(short_name("Box::operator()(int) const") == "Box::operator()(int) const");
  CHECK(short_name("main.(*Bank).Move") == "main.(*Bank).Move");
  CHECK(short_name("<lambda>") == "<lambda>");
  CHECK(short_name("(").size() == 1);
  CHECK(as_headline("free the future at 0x7f12, and 0x12") == "free the future, and (address)");
}

}  // namespace
}  // namespace coldcase
