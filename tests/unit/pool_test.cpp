// Results of a process pool that never come, from hand-written facts: by what its workers do.
#include "support/catch.hpp"
#include "support/tree.hpp"

namespace coldcase {
namespace {

using namespace test;

// main waits for a result of a pool of two workers; each worker's core is here.
struct Pool : Tree {
  ThreadId main = thread_of(parent, "main");
  ProcessId first = child(), second = child();
  ThreadId workers[2] = {thread_of(first, "first"), thread_of(second, "second")};
  ResourceId result = lock("AsyncResult", WaitKind::future, "multiprocessing.pool.AsyncResult");

  const std::string library = "/usr/lib/python3.11/multiprocessing/";
  std::string caller = "worker", file = "pool.py";  // of the second's get()

  Pool() {
    for (std::uint32_t p = 0; p < 4; ++p) {  // of one child more than the workers
      InputFact input;
      input.kind = InputKind::sidecar;
      input.process = {p};
      facts().inputs.push_back(input);
    }
    waits(main, result);
    stack(main, {python_frame("collect", "/src/app.py", 12)});
    orphans(result, "no_owner");
    at(result).pool = PoolFact{{5001, 5002}, {first, second}, 1};
    idle(0);
    idle(1);
  }
  void idle(std::size_t i) {
    busy(i);
    const ResourceId queue = lock("queue " + std::to_string(i), WaitKind::pipe, "");
    waits_in(workers[i], queue, "read");
    at(workers[i]).state = ThreadState::idle;
    stack(workers[i], {python_frame("SimpleQueue.get", library + "queues.py", 365),
                       python_frame(caller, library + file, 114)});
  }
  void busy(std::size_t i) {
    at(workers[i]).wait.reset();
    for (ResourceFact& resource : facts().resources) std::erase(resource.waiters, Ref(workers[i]));
    at(workers[i]).state = ThreadState::running;
    stack(workers[i], {python_frame("compute", "/src/app.py", 30)});
  }
  Confidence sure() const { return diagnosed_tree(*this).findings.at(0).confidence; }
};

TEST_CASE("a result that no worker of its pool has in hand", "[pool]") {
  Pool pool;
  SECTION("all of them wait for work") {
    const Analysis analysis = diagnosed_tree(pool);
    REQUIRE(patterns_of(analysis) == Words{"lost-wakeup"});
    CHECK(analysis.findings[0].confidence == Confidence::very_likely);
    CHECK(contains(story_of(analysis), "All 2 workers of the pool wait for new work"));
  }
  SECTION("one is at work") {
    pool.busy(1);
    CHECK(patterns_of(diagnosed_tree(pool)).empty());
  }
  SECTION("one has no core here") {
    pool.at(pool.result).pool->workers.pop_back();
    CHECK(patterns_of(diagnosed_tree(pool)).empty());
  }
  SECTION("the cores were taken one after the other") {
    pool.facts().inputs.clear();
    CHECK(patterns_of(diagnosed_tree(pool)).empty());
  }
  SECTION("one is in a task that gets from a queue") {
    pool.caller = "consume";
    pool.file = "../app.py";
    pool.idle(1);
    CHECK(patterns_of(diagnosed_tree(pool)).empty());
  }
  SECTION("nothing is missing") {
    pool.at(pool.result).pool->missing = 0;
    CHECK(patterns_of(diagnosed_tree(pool)).empty());
  }
}

TEST_CASE("a result of a pool that had to replace a worker", "[pool]") {
  Pool pool;
  pool.orphans(pool.result, "worker_died");
  SECTION("all of them wait for work") {
    CHECK(pool.sure() == Confidence::very_likely);
  }
  SECTION("one has no core here") {
    pool.at(pool.result).pool->workers.pop_back();
    CHECK(pool.sure() == Confidence::likely);
    CHECK(contains(story_of(diagnosed_tree(pool)), "only their cores tell"));
  }
  SECTION("the cores were taken one after the other") {
    pool.facts().inputs.clear();
    CHECK(pool.sure() == Confidence::likely);
  }
  SECTION("both are at work") {
    pool.busy(0);
    pool.busy(1);
    CHECK(pool.sure() == Confidence::hypothesis);
    CHECK(contains(story_of(diagnosed_tree(pool)), "2 are at work"));
  }
  SECTION("other children are none of its workers") {
    const ThreadId tracker = pool.thread_of(pool.child(), "resource tracker");
    pool.at(tracker).state = ThreadState::running;
    CHECK(pool.sure() == Confidence::very_likely);
  }
}

TEST_CASE("a pool whose thread for results has ended", "[pool]") {
  Pool pool;
  pool.orphans(pool.result, "handler_ended");
  pool.busy(0);
  const Analysis analysis = diagnosed_tree(pool);
  REQUIRE(patterns_of(analysis) == Words{"lost-wakeup"});
  CHECK(analysis.findings[0].confidence == Confidence::very_likely);
  CHECK(contains(analysis.findings[0].headline, "no longer takes results"));
}

TEST_CASE("a pool that was terminated", "[pool]") {
  Pool pool;
  pool.orphans(pool.result, "pool_terminated");
  const Analysis analysis = diagnosed_tree(pool);
  REQUIRE(patterns_of(analysis) == Words{"lost-wakeup"});
  CHECK(contains(analysis.findings[0].headline, "was terminated"));
  CHECK(contains(analysis.findings[0].advice.front().text, "with block"));
}

}  // namespace
}  // namespace coldcase
