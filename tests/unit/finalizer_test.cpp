// blocking-finalizer from hand-written facts: what it tells, when it stays silent, and which
// pattern comes first.
#include <algorithm>

#include "diagnose/diagnose.hpp"
#include "support/agreement.hpp"
#include "support/catch.hpp"
#include "support/incident.hpp"

namespace coldcase {
namespace {

using namespace test;

// MainThread was in tidy_up when a collection ran Context.__del__, which waits.
struct Collecting : Incident {
  ThreadId main = thread("MainThread", ThreadState::blocked);

  explicit Collecting(std::optional<bool> collection = true) {
    Frame library = python_frame("Context.__del__", "/usr/lib/python3/zmq/context.py", 95);
    library.in_app = false;
    stack(main,
          {native_frame("poll"), native_frame("zmq_ctx_term"), library, native_frame("gc_collect"),
           python_frame("tidy_up", "/src/app.py", 36), python_frame("main", "/src/app.py", 70)},
          4);
    FinalizerFact finalizer;
    finalizer.frame = 2;
    finalizer.interrupted = 4;
    finalizer.type = "Context";
    finalizer.collection = collection;
    if (collection == true) finalizer.asked = false;
    finalizer.confidence = Confidence::proved;
    finalizer.evidence = {evidence(main, "gc.collecting")};
    at(main).finalizer = finalizer;
    at(main).python.push_back({});
    at(main).python.front().gil_state = GilState::none;
  }

  ResourceId context(std::uint64_t open, std::uint64_t closed) {
    const ResourceId id =
        lock("ZeroMQ context with 3 open sockets", WaitKind::zmq_context, "zmq::ctx_t");
    at(id).words = {{"open", Addr{}, open, ""}, {"closed", Addr{}, closed, ""}};
    at(id).owner_unknown_code = "not_held";
    at(id).owner_unknown_text =
        "nobody holds it: the wait ends when the program has closed its "
        "sockets: PUSH, tcp port 5555";
    Evidence socket;
    socket.claim = "PUSH, tcp port 5555: the program has not closed it";
    socket.basis = Basis::memory;
    socket.resource = id;
    facts().evidence.push_back(socket);
    return id;
  }
};

void check_finding(const Finding& finding) {
  CHECK(finding.headline.size() <= 120);
  CHECK(finding.headline.find("0x") == std::string::npos);
  CHECK(finding.headline.find("LWP") == std::string::npos);
  CHECK(std::ranges::all_of(
      finding.path, [&](const Edge& edge) { return edge.confidence >= finding.confidence; }));
}

Analysis diagnosed(const Incident& incident) {
  Analysis analysis = incident.analysis;
  settle_waits(analysis.facts);
  diagnose(analysis);
  CHECK(disagreements(analysis) == std::vector<std::string>{});
  std::ranges::for_each(analysis.findings, check_finding);
  return analysis;
}

std::vector<std::string> patterns_of(const Analysis& analysis) {
  std::vector<std::string> patterns;
  for (const Finding& finding : analysis.findings) patterns.push_back(finding.pattern);
  return patterns;
}

std::string prose_of(const Finding& finding) {
  std::string text;
  for (const StoryLine& line : finding.story) text += line.text + "\n";
  for (const std::string& line : finding.summary) text += line + "\n";
  for (const Advice& advice : finding.advice) text += advice.text + "\n";
  return text;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

using Words = std::vector<std::string>;

TEST_CASE("the founding case of a finalizer in a garbage collection", "[diagnose]") {
  Collecting incident;
  const ResourceId context = incident.context(3, 0);
  incident.waits(incident.main, context);
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"blocking-finalizer"});
  const Finding& finding = analysis.findings.front();
  CHECK(analysis.verdict.kind == VerdictKind::hang);
  CHECK(finding.confidence == Confidence::proved);
  CHECK(finding.headline ==
        "A garbage collection runs Context.__del__, which waits for the end of a ZeroMQ context "
        "with 3 open sockets");
  const std::string prose = prose_of(finding);
  CHECK(contains(prose, "was in tidy_up at app.py:36"));
  CHECK(contains(prose, "that can happen at any line"));
  CHECK(contains(prose, "3 are open"));
  CHECK(contains(prose, "PUSH, tcp port 5555"));
  CHECK(contains(prose, "destroy(linger=0)"));
  CHECK(contains(prose, "only this same collection would close it"));
  REQUIRE(finding.location);
  CHECK(finding.location->function == "Context.__del__");
  CHECK(finding.advice.back().location == std::nullopt);  // a library's line is not the user's
  REQUIRE(finding.signature);
  CHECK(finding.signature->text == "blocking-finalizer: zmq_context@Context.__del__");
  CHECK(analysis.facts.threads[incident.main.index].tag == Tag::root_blocker);
}

TEST_CASE("a context whose sockets another thread may still close is less sure", "[diagnose]") {
  Collecting incident;
  incident.waits(incident.main, incident.context(3, 0));
  const ThreadId other = incident.thread("worker", ThreadState::idle);
  CHECK(diagnosed(incident).findings.front().confidence == Confidence::proved);
  incident.at(other).state = ThreadState::running;
  CHECK(diagnosed(incident).findings.front().confidence == Confidence::very_likely);
  incident.at(other).api = Api{"zmq_msg_recv", {}, "call_site", Confidence::proved};
  CHECK(diagnosed(incident).findings.front().confidence == Confidence::likely);
}

TEST_CASE("a last reference is told in other words than a collection", "[diagnose]") {
  Collecting incident(false);
  incident.waits(incident.main, incident.context(1, 1));
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"blocking-finalizer"});
  const std::string prose = prose_of(analysis.findings.front());
  CHECK(contains(prose, "dropped the last reference to an object of type Context"));
  CHECK(contains(prose, "1 is open, 1 is closed and not gone"));
  CHECK_FALSE(contains(prose, "garbage collection"));
}

TEST_CASE("who started the finalizer was not read", "[diagnose]") {
  Collecting incident(std::nullopt);
  incident.waits(incident.main, incident.context(1, 0));
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"blocking-finalizer"});
  CHECK(contains(prose_of(analysis.findings.front()), "was not read"));
}

TEST_CASE("a finalizer behind another thread's lock names the holder", "[diagnose]") {
  Collecting incident;
  const ThreadId keeper = incident.thread("keeper", ThreadState::idle);
  const ResourceId lock =
      incident.lock("threading.Lock registry", WaitKind::python_lock, "threading.Lock");
  incident.holds(keeper, lock, {.confidence = Confidence::very_likely});
  incident.waits(incident.main, lock);
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"blocking-finalizer"});
  const Finding& finding = analysis.findings.front();
  CHECK(finding.confidence == Confidence::very_likely);
  CHECK(finding.threads == std::vector<ThreadId>{incident.main, keeper});
  CHECK(finding.path.size() == 2);
  CHECK(contains(prose_of(finding), "keeper (LWP 4712) holds it"));
  CHECK(contains(prose_of(finding), "SimpleQueue"));
  CHECK(analysis.facts.threads[keeper.index].tag == Tag::root_blocker);
  CHECK(analysis.facts.threads[incident.main.index].tag == Tag::behind);
}

TEST_CASE("a lock of the thread's own is a self-deadlock, told once", "[diagnose]") {
  Collecting incident;
  const ResourceId lock = incident.lock("threading.Lock x", WaitKind::python_lock);
  incident.holds(incident.main, lock).waits(incident.main, lock);
  CHECK(patterns_of(diagnosed(incident)) == Words{"self-deadlock"});
}

TEST_CASE("a self-deadlock tells the finalizer that came between", "[diagnose]") {
  for (const auto& [frame, told] : {std::pair{4U, true}, std::pair{1U, false}}) {
    Collecting incident;
    const ResourceId lock = incident.lock("threading.Lock x", WaitKind::python_lock);
    incident.holds(incident.main, lock, {.frame = frame}).waits(incident.main, lock);
    const Analysis analysis = diagnosed(incident);
    REQUIRE(patterns_of(analysis) == Words{"self-deadlock"});
    const std::string prose = prose_of(analysis.findings.front());
    CHECK(contains(prose, "a garbage collection began") == told);
    CHECK(contains(prose, "Take no lock in a finalizer") == told);
    CHECK(contains(prose, "Do not take the lock again") != told);
  }
  Collecting dropped(false);
  const ResourceId lock = dropped.lock("threading.Lock x", WaitKind::python_lock);
  dropped.holds(dropped.main, lock, {.frame = 4}).waits(dropped.main, lock);
  CHECK(contains(prose_of(diagnosed(dropped).findings.front()),
                 "in tidy_up at app.py:36, the last reference to an object went away, which runs "
                 "Context.__del__ at context.py:95 (an object of type Context)."));
}

TEST_CASE("a self-deadlock tells the signal handler that came between", "[diagnose]") {
  for (const std::string name : {"_PyErr_CheckSignalsTstate", "PyErr_CheckSignals", "os_kill"}) {
    Incident incident;
    const ThreadId main = incident.thread("MainThread");
    incident.stack(main,
                   {native_frame("futex_wait"), python_frame("reload", "/src/app.py", 8),
                    native_frame(name), python_frame("save", "/src/app.py", 20)},
                   1);
    const ResourceId lock = incident.lock("threading.Lock x", WaitKind::python_lock);
    incident.holds(main, lock, {.frame = 3}).waits(main, lock);
    const Analysis analysis = diagnosed(incident);
    REQUIRE(patterns_of(analysis) == Words{"self-deadlock"});
    const std::string prose = prose_of(analysis.findings.front());
    const bool handler = name != "os_kill";
    CHECK(contains(prose,
                   "in save at app.py:20, a signal came, and Python runs its handler "
                   "reload at app.py:8") == handler);
    CHECK(contains(prose, "Take no lock in a signal handler") == handler);
  }
}

TEST_CASE("a ring through a finalizer is told as the ring it is", "[diagnose]") {
  Collecting incident;
  const ThreadId other = incident.thread("other");
  const ResourceId x = incident.lock("x"), y = incident.lock("y");
  incident.holds(incident.main, x).holds(other, y);
  incident.waits(incident.main, y).waits(other, x);
  CHECK(patterns_of(diagnosed(incident)) == Words{"lock-cycle"});
}

TEST_CASE("a finalizer whose wait ends by itself is healthy", "[diagnose]") {
  Collecting timed;
  timed.waits(timed.main, timed.context(0, 1), {.ends = Ends::timeout});
  CHECK(patterns_of(diagnosed(timed)).empty());
  Collecting gil;
  gil.waits(gil.main, gil.lock("the GIL", WaitKind::gil), {.ends = Ends::poll_retry});
  CHECK(patterns_of(diagnosed(gil)).empty());
  Collecting runs;
  runs.at(runs.main).state = ThreadState::running;
  CHECK(patterns_of(diagnosed(runs)).empty());
}

TEST_CASE("a finalizer that waits for a running thread is healthy", "[diagnose]") {
  Collecting held;
  const ThreadId runner = held.thread("runner", ThreadState::running);
  const ResourceId lock = held.lock("threading.Lock x", WaitKind::python_lock);
  held.holds(runner, lock).waits(held.main, lock);
  CHECK(patterns_of(diagnosed(held)).empty());
  Collecting joined;
  joined.joins(joined.main, joined.thread("runner", ThreadState::running));
  CHECK(patterns_of(diagnosed(joined)).empty());
}

TEST_CASE("waits of a finalizer for the outside are likely at most", "[diagnose]") {
  Collecting incident;
  Wait wait;
  wait.kind = WaitKind::io;
  wait.syscall_name = "recvfrom";
  wait.confidence = Confidence::proved;
  incident.at(incident.main).wait = wait;
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"blocking-finalizer"});
  CHECK(analysis.findings.front().confidence == Confidence::likely);
  CHECK(contains(analysis.findings.front().headline, "I/O, in recvfrom"));
  CHECK(contains(prose_of(analysis.findings.front()), "Nothing in the core says that this wait"));
}

TEST_CASE("a context that was not found, and a finalizer without names", "[diagnose]") {
  Collecting incident;
  incident.at(incident.main).finalizer->type.clear();
  incident.at(incident.main).finalizer->interrupted.reset();
  incident.at(incident.main).finalizer->frame = 99;  // not there
  Wait wait;
  wait.kind = WaitKind::zmq_context;
  wait.ends = Ends::never;
  wait.confidence = Confidence::very_likely;
  incident.at(incident.main).wait = wait;
  const Analysis analysis = diagnosed(incident);
  REQUIRE(patterns_of(analysis) == Words{"blocking-finalizer"});
  CHECK(analysis.findings.front().confidence == Confidence::very_likely);
  CHECK(contains(analysis.findings.front().headline, "a finalizer"));
  CHECK_FALSE(analysis.findings.front().location.has_value());
}

}  // namespace
}  // namespace coldcase
