// What the stories of Python's patterns say that an engineer acts on: who has to change what.
#include "support/catch.hpp"
#include "support/tree.hpp"

namespace coldcase {
namespace {

using namespace test;

std::string story_of(const Finding& finding) {
  std::string text;
  for (const StoryLine& line : finding.story) text += line.text + "\n";
  return text;
}

Frame own(std::string name, std::string file, std::uint32_t line) {
  Frame frame = python_frame(std::move(name), std::move(file), line);
  frame.in_app = true;
  return frame;
}

Frame library(std::string name, std::string file) {
  Frame frame = python_frame(std::move(name), std::move(file), 1);
  frame.in_app = false;
  return frame;
}

// ---- rings

struct Three : Tree {
  ThreadId write = thread("write"), index = thread("index"), store = thread("store");
  ResourceId ledger = lock("ledger", WaitKind::python_lock, "threading.Lock"),
             table = lock("table"), archive = lock("archive", WaitKind::python_rlock);

  Three() {
    stack(write, {own("main.<locals>.write", "/app/a.py", 3)}, 0);
    stack(index, {own("main.<locals>.index", "/app/a.py", 6)}, 0);
    stack(store, {own("main.<locals>.store", "/app/a.py", 9)}, 0);
    holds(write, ledger, {.frame = 0}).holds(index, table).holds(store, archive);
    waits(write, table).waits(index, archive).waits(store, ledger);
  }
};

TEST_CASE("a ring of three names the one that breaks the order", "[story]") {
  Three three;
  Analysis analysis = diagnosed_tree(three);
  REQUIRE(patterns_of(analysis) == Words{"lock-cycle"});
  const Finding& finding = analysis.findings[0];
  CHECK(finding.headline ==
        "Lock ring of 3 threads: write, index and store each wait for a lock the next one holds");
  CHECK(finding.advice[0].text ==
        "Take these locks in one order everywhere, for example ledger before table before "
        "archive: store takes ledger while it holds archive, the other way round.");
  CHECK(finding.advice[0].location->line == 9u);
}

TEST_CASE("locks of one name are not told apart by it", "[story]") {
  Three three;
  three.at(three.table).label = three.at(three.ledger).label;
  const std::string advice = diagnosed_tree(three).findings[0].advice[0].text;
  CHECK(advice.find("Several of them are ledger") != std::string::npos);
  CHECK(advice.find("before") == std::string::npos);
}

TEST_CASE("a lock is said to be taken at a line only where that is known", "[story]") {
  Three three;
  CHECK(story_of(diagnosed_tree(three).findings[0])
            .find("ledger, in main.<locals>.write at a.py:3") != std::string::npos);
  three.at(three.write).holds[0].line = 2;
  CHECK(story_of(diagnosed_tree(three).findings[0])
            .find("ledger, taken in main.<locals>.write at a.py:2") != std::string::npos);
}

// ---- a thread against itself

struct Handler : Tree {
  ThreadId main = thread("MainThread");
  ResourceId guard = lock("Forward.guard", WaitKind::python_lock, "threading.Lock");

  void calls(std::vector<Frame> frames) {
    const auto outermost = static_cast<std::uint32_t>(frames.size() - 1);
    stack(main, std::move(frames), 0);
    holds(main, guard, {.frame = outermost}).waits(main, guard);
  }
};

TEST_CASE("a handler that logs is told how it came back", "[story]") {
  Handler handler;
  handler.calls({own("Forward.emit", "/app/a.py", 5),
                 library("Handler.handle", "/usr/lib/python3/logging/__init__.py"),
                 library("Logger.warning", "/usr/lib/python3/logging/__init__.py"),
                 own("Forward.emit", "/app/a.py", 7)});
  const Analysis analysis = diagnosed_tree(handler);
  REQUIRE(patterns_of(analysis) == Words{"self-deadlock"});
  CHECK(story_of(analysis.findings[0])
            .find("back to this lock through Logger.warning, Handler.handle.") !=
        std::string::npos);
  REQUIRE(analysis.findings[0].advice.size() == 1);  // no RLock: it would call itself without end
  CHECK(analysis.findings[0].advice[0].text.find("Do not log") == 0);
}

TEST_CASE("who takes the lock twice in his own code needs no way", "[story]") {
  Handler handler;
  handler.calls({own("balance", "/app/a.py", 5), own("check", "/app/a.py", 6),
                 own("transfer", "/app/a.py", 7)});
  const Finding finding = diagnosed_tree(handler).findings[0];
  CHECK(story_of(finding).find("back to this lock") == std::string::npos);
  REQUIRE(finding.advice.size() == 2);
  CHECK(finding.advice[1].text.find("threading.RLock") != std::string::npos);
}

// ---- joins and exits

TEST_CASE("two threads that join each other", "[story]") {
  Tree mutual;
  const ThreadId left = mutual.thread("left"), right = mutual.thread("right");
  mutual.stack(left, {own("left", "/app/a.py", 5)}, 0);
  mutual.stack(right, {own("right", "/app/a.py", 6)}, 0);
  mutual.joins(left, right).joins(right, left);
  const Analysis analysis = diagnosed_tree(mutual);
  REQUIRE(patterns_of(analysis) == Words{"join-cycle"});
  CHECK(analysis.findings[0].headline == "left and right join each other");
  CHECK(analysis.findings[0].advice[0].text.find("only one of them") != std::string::npos);
}

TEST_CASE("a join under the lock that the joined thread wants", "[story]") {
  Tree held;
  const ThreadId main = held.thread("MainThread"), worker = held.thread("work");
  held.stack(main, {own("stop", "/app/a.py", 5)}, 0);
  held.stack(worker, {own("work", "/app/a.py", 6)}, 0);
  const ResourceId guard = held.lock("guard", WaitKind::python_lock, "threading.Lock");
  held.holds(main, guard).joins(main, worker).waits(worker, guard);
  const Finding finding = diagnosed_tree(held).findings[0];
  CHECK(finding.headline ==
        "stop joins a thread that waits in work for the lock that the joiner holds");
  CHECK(finding.advice[0].text.find("Release guard before joining") == 0);
}

TEST_CASE("an exit that hangs says what for", "[story]") {
  Tree exit;
  const ThreadId main = exit.thread("MainThread"), worker = exit.thread("deliver");
  const ResourceId orders = exit.lock("queue.Queue orders", WaitKind::queue, "queue.Queue");
  exit.orphans(orders, "no_owner").joins(main, worker).waits(worker, orders, {.mode = Mode::read});
  exit.stack(worker, {own("deliver", "/app/a.py", 6)}, 0);
  SECTION("of threads") {
    exit.stack(main, {library("_shutdown", "/usr/lib/python3.11/threading.py")});
    const Finding finding = diagnosed_tree(exit).findings[0];
    CHECK(
        finding.headline ==
        "The program has finished but cannot exit: deliver waits for somebody to put an item into "
        "queue.Queue orders");
    CHECK(story_of(finding).find("every thread that is not a daemon") != std::string::npos);
    CHECK(finding.advice[1].text.find("daemon") != std::string::npos);
  }
  SECTION("in a function of atexit") {
    exit.stack(main, {native_frame("atexit_callfuncs"), native_frame("_Py_Finalize")});
    const Finding finding = diagnosed_tree(exit).findings[0];
    CHECK(finding.pattern == "exit-blocked");
    CHECK(finding.advice[1].text.find("daemon") == std::string::npos);
  }
}

// ---- forked children

TEST_CASE("who has the lock in the parent of a forked child", "[story]") {
  Tree forked;
  const ProcessId child = forked.child();
  const ThreadId reaper = forked.thread("MainThread"), feeder = forked.thread("feeder");
  const ThreadId putter = forked.thread_of(child, "MainThread");
  const ResourceId copy = forked.lock("orders.mutex", WaitKind::python_lock, "threading.Lock");
  const ResourceId mutex = forked.lock("orders.mutex", WaitKind::python_lock, "threading.Lock");
  const Addr at = forked.at(copy).at.front().address;
  forked.at(mutex).at = {{child, at}};
  forked.stack(feeder, {own("feed", "/app/a.py", 5)}, 0);
  forked.orphans(mutex, "holder_in_parent").holds(feeder, copy, {.frame = 0});
  forked.reaps(reaper, child).waits(putter, mutex);
  const Analysis analysis = diagnosed_tree(forked);
  REQUIRE(patterns_of(analysis).front() == "fork-orphaned-lock");
  CHECK(story_of(analysis.findings[0]).find("In the parent feeder") != std::string::npos);
  SECTION("not of an unrelated process") {
    forked.facts().processes[child.index].parent = {};
    CHECK(story_of(diagnosed_tree(forked).findings[0]).find("In the parent") == std::string::npos);
  }
}

}  // namespace
}  // namespace coldcase
