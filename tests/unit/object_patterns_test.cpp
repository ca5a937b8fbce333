// Patterns of Python's synchronisation objects from hand-written facts: pools that wait for
// themselves, imports that wait for what waits for them, signals that nobody gives; each with the
// twin that must stay silent.
#include "support/catch.hpp"
#include "support/tree.hpp"

namespace coldcase {
namespace {

using namespace test;

// ---- pools

struct Pool : Tree {
  ThreadId main = thread("MainThread"), first = thread("render_0"), second = thread("render_1");
  ResourceId queue = object("concurrent.futures.ThreadPoolExecutor render", WaitKind::queue,
                            "concurrent.futures.ThreadPoolExecutor");
  ResourceId page = object("Future of page", WaitKind::future, "concurrent.futures.Future"),
             one = queued("Future of one"), two = queued("Future of two");

  Pool() {
    feeds(first, page);
    waits(main, page);
    waits(first, one);
    waits(second, two);
  }
  ResourceId object(std::string label, WaitKind kind, std::string type) {
    const ResourceId id = lock(std::move(label), kind, std::move(type));
    orphans(id, "no_owner");
    return id;
  }
  ResourceId queued(std::string label) {
    const ResourceId id = object(std::move(label), WaitKind::future, "concurrent.futures.Future");
    at(id).part_of = queue;
    feeds(first, id).feeds(second, id);
    return id;
  }
};

TEST_CASE("all workers of a pool wait for work in its queue", "[objects]") {
  Pool pool;
  SECTION("nobody else could act") {
    const Analysis analysis = diagnosed_tree(pool);
    REQUIRE(patterns_of(analysis) == Words{"pool-starvation"});
    CHECK(analysis.findings[0].confidence == Confidence::proved);
    CHECK(analysis.verdict.kind == VerdictKind::deadlock);
    CHECK(contains(analysis.findings[0].headline, "both workers"));
  }
  SECTION("somebody else runs, and might cancel them") {
    pool.thread("runs");
    CHECK(diagnosed_tree(pool).findings.at(0).confidence == Confidence::very_likely);
  }
  SECTION("one of them waits with a timeout") {
    pool.at(pool.second).wait->ends = Ends::timeout;
    CHECK(patterns_of(diagnosed_tree(pool)).empty());
  }
  SECTION("one of them waits for a lock that the other holds") {
    const ResourceId guard = pool.lock("threading.Lock guard", WaitKind::python_lock);
    pool.holds(pool.first, guard);
    pool.at(pool.two).waiters.clear();
    pool.waits(pool.second, guard);
    const Analysis analysis = diagnosed_tree(pool);
    REQUIRE(patterns_of(analysis) == Words{"pool-starvation"});
    CHECK(contains(story_of(analysis), "threading.Lock guard"));
  }
  SECTION("one of them computes") {
    pool.at(pool.second).wait.reset();
    pool.at(pool.second).state = ThreadState::running;
    pool.at(pool.two).waiters.clear();
    CHECK(patterns_of(diagnosed_tree(pool)).empty());
  }
  SECTION("a worker that was not read may be free") {
    pool.at(pool.one).feeders.clear();
    pool.at(pool.two).feeders.clear();
    CHECK(patterns_of(diagnosed_tree(pool)) == Words{});
  }
}

TEST_CASE("many workers of a pool make one story, soon", "[objects]") {
  Pool pool;
  std::vector<ThreadId> workers;
  for (int i = 0; i < 200; ++i) workers.push_back(pool.thread("render_" + std::to_string(i + 2)));
  for (const ThreadId worker : workers) {
    const ResourceId future = pool.queued("Future of picture");
    pool.waits(worker, future);
    for (const ThreadId other : workers) pool.feeds(other, future);
  }
  const Analysis analysis = diagnosed_tree(pool);
  REQUIRE(patterns_of(analysis) == Words{"pool-starvation"});
  CHECK(analysis.facts.notes.empty());
}

TEST_CASE("tasks that run wait for each other's results", "[objects]") {
  Tree tasks;
  const ThreadId a = tasks.thread("cross_0"), b = tasks.thread("cross_1");
  const ResourceId x = tasks.lock("Future of a", WaitKind::future, "concurrent.futures.Future");
  const ResourceId y = tasks.lock("Future of b", WaitKind::future, "concurrent.futures.Future");
  tasks.orphans(x, "no_owner").orphans(y, "no_owner").feeds(a, x).feeds(b, y);
  tasks.waits(a, y).waits(b, x);
  const Analysis analysis = diagnosed_tree(tasks);
  REQUIRE(patterns_of(analysis) == Words{"pool-starvation"});
  CHECK(analysis.findings[0].confidence == Confidence::proved);
}

TEST_CASE("a result that is waited for under a lock that its task wants", "[objects]") {
  Tree mixed;
  const ThreadId main = mixed.thread("MainThread"), worker = mixed.thread("pool_0");
  const ResourceId guard = mixed.lock("threading.RLock guard", WaitKind::python_rlock);
  const ResourceId result =
      mixed.lock("Future of load", WaitKind::future, "concurrent.futures.Future");
  mixed.orphans(result, "no_owner").feeds(worker, result).holds(main, guard);
  mixed.waits(main, result).waits(worker, guard);
  const Analysis analysis = diagnosed_tree(mixed);
  REQUIRE(patterns_of(analysis) == Words{"lock-cycle"});
  CHECK(contains(story_of(analysis), "Future of load"));
}

// ---- imports

struct Import : Tree {
  ThreadId main = thread("MainThread"), worker = thread("load");
  ResourceId plugin =
      lock("the import lock of module plugin", WaitKind::import_lock, "importlib._ModuleLock");
  Import() { holds(main, plugin).waits(worker, plugin); }
};

TEST_CASE("an import that joins a thread which imports the same", "[objects]") {
  Import import;
  SECTION("a ring") {
    import.joins(import.main, import.worker);
    const Analysis analysis = diagnosed_tree(import);
    REQUIRE(patterns_of(analysis) == Words{"import-lock-cycle"});
    CHECK(analysis.findings[0].confidence == Confidence::proved);
    CHECK(contains(analysis.findings[0].headline, "Importing plugin joins a thread"));
  }
  SECTION("a lock instead of the join") {
    const ResourceId guard = import.lock("threading.RLock guard", WaitKind::python_rlock);
    import.holds(import.worker, guard).waits(import.main, guard);
    CHECK(patterns_of(diagnosed_tree(import)) == Words{"import-lock-cycle"});
  }
  SECTION("the import takes its time") {
    CHECK(patterns_of(diagnosed_tree(import)).empty());
  }
}

// ---- signals

struct Signals : Tree {
  ThreadId main = thread("MainThread"), worker = thread("worker");

  ResourceId object(std::string type, std::string name, WaitKind kind) {
    const ResourceId id = lock(type + " " + name, kind, type);
    orphans(id, "no_owner");
    return id;
  }
  Finding found() {
    const Analysis analysis = diagnosed_tree(*this);
    REQUIRE(patterns_of(analysis) == Words{"lost-wakeup"});
    return analysis.findings.front();
  }
};

TEST_CASE("nobody is left to signal an object of Python's", "[objects]") {
  Signals signals;
  signals.joins(signals.main, signals.worker);
  SECTION("a queue") {
    const ResourceId orders = signals.object("queue.Queue", "orders", WaitKind::queue);
    signals.waits(signals.worker, orders, {.mode = Mode::read});
    const Finding finding = signals.found();
    CHECK(finding.confidence == Confidence::very_likely);
    CHECK(contains(finding.headline, "put an item into queue.Queue orders"));
  }
  SECTION("a barrier") {
    signals.waits(signals.worker, signals.object("threading.Barrier", "start", WaitKind::barrier));
    CHECK(contains(signals.found().headline, "come to threading.Barrier start"));
  }
  SECTION("an event: a signal's handler might set it") {
    signals.waits(signals.worker,
                  signals.object("threading.Event", "done", WaitKind::python_condition));
    const Finding finding = signals.found();
    CHECK(finding.confidence == Confidence::likely);
    CHECK(contains(finding.headline, "set threading.Event done"));
  }
  SECTION("a third thread sleeps, and may do it when it wakes") {
    signals.waits(signals.worker, signals.object("queue.Queue", "orders", WaitKind::queue));
    signals.sleeps(signals.thread("timer"), 60'000);
    CHECK(patterns_of(diagnosed_tree(signals)).empty());
  }
}

TEST_CASE("the only thread waits for its own process", "[objects]") {
  Tree alone;
  const ThreadId main = alone.thread("MainThread");
  const auto waits_for = [&](std::string type, WaitKind kind) {
    const ResourceId id = alone.lock(type + " it", kind, type);
    alone.orphans(id, "no_owner").waits(main, id, {.mode = Mode::read});
  };
  SECTION("a queue") {
    waits_for("queue.Queue", WaitKind::queue);
    const Analysis analysis = diagnosed_tree(alone);
    REQUIRE(patterns_of(analysis) == Words{"lost-wakeup"});
    CHECK(analysis.findings[0].confidence == Confidence::likely);
  }
  SECTION("an event: parked on purpose") {
    waits_for("threading.Event", WaitKind::python_condition);
    CHECK(patterns_of(diagnosed_tree(alone)).empty());
  }
  SECTION("a SimpleQueue, which a signal's handler may fill") {
    waits_for("queue.SimpleQueue", WaitKind::queue);
    CHECK(patterns_of(diagnosed_tree(alone)).empty());
  }
}

}  // namespace
}  // namespace coldcase
