// Exits that wait, wakeups that are lost, holders that wait outside, from hand-written facts: each
// fires, is weaker without its evidence, and is silent on its healthy twin.
#include "support/catch.hpp"
#include "support/tree.hpp"

namespace coldcase {
namespace {

using namespace test;

// ---- exits

struct Exit : Tree {
  ThreadId main = thread("main"), worker = thread("worker");
  ResourceId orders = lock("condition orders", WaitKind::condition, "pthread_cond_t");

  Exit() {
    orphans(orders, "no_owner");
    stack(main, {native_frame("pthread_join"), native_frame("exit")});
    joins(main, worker);
    waits(worker, orders);
    at(worker).state = ThreadState::idle;
  }
};

TEST_CASE("an exit that joins a thread which waits for work", "[hang]") {
  Exit exit;
  SECTION("nobody else: as sure as that nobody is left") {
    const Analysis analysis = diagnosed_tree(exit);
    REQUIRE(patterns_of(analysis) == Words{"exit-blocked"});
    CHECK(analysis.findings[0].confidence == Confidence::very_likely);
    CHECK(analysis.verdict.kind == VerdictKind::hang);
  }
  SECTION("another thread runs") {
    exit.thread("runs");
    const Analysis analysis = diagnosed_tree(exit);
    REQUIRE(patterns_of(analysis) == Words{"exit-blocked"});
    CHECK(analysis.findings[0].confidence == Confidence::likely);
  }
  SECTION("not exiting") {
    exit.stack(exit.main, {native_frame("pthread_join"), native_frame("main")});
    CHECK(patterns_of(diagnosed_tree(exit)) == Words{"lost-wakeup"});
  }
  SECTION("the joined thread computes") {
    exit.at(exit.worker).wait.reset();
    exit.at(exit.worker).state = ThreadState::running;
    exit.at(exit.orders).waiters.clear();
    CHECK(patterns_of(diagnosed_tree(exit)).empty());
  }
  SECTION("the joined thread serves") {
    exit.at(exit.orders).kind = exit.at(exit.worker).wait->kind = WaitKind::socket;
    exit.at(exit.worker).wait->syscall_name = "accept4";
    CHECK(patterns_of(diagnosed_tree(exit)).empty());
  }
}

TEST_CASE("nobody is left to signal", "[hang]") {
  Exit lost;
  lost.stack(lost.main, {native_frame("pthread_join"), native_frame("main")});
  SECTION("main joins") {
    CHECK(diagnosed_tree(lost).findings.at(0).confidence == Confidence::very_likely);
  }
  SECTION("main waits for a notification, too") {
    lost.at(lost.main).wait->kind = WaitKind::condition;
    lost.at(lost.main).wait->on = {lost.orders};
    lost.at(lost.orders).waiters.push_back(lost.main);
    ProcessFact& process = lost.facts().processes[0];
    SECTION("nothing could be handled") {
      process.handles_signals = false;
      CHECK(diagnosed_tree(lost).findings.at(0).confidence == Confidence::likely);
    }
    SECTION("of one nothing is known but a futex") {
      process.handles_signals = false;
      lost.at(lost.orders).kind = WaitKind::futex;
      lost.at(lost.orders).implementation = "futex";
      lost.at(lost.main).wait->kind = lost.at(lost.worker).wait->kind = WaitKind::futex;
      CHECK(patterns_of(diagnosed_tree(lost)).empty());
    }
    SECTION("a handler might notify it") {
      process.handles_signals = true;
      const Analysis analysis = diagnosed_tree(lost);
      CHECK(analysis.findings.at(0).confidence == Confidence::hypothesis);
      CHECK(analysis.verdict.kind == VerdictKind::inconclusive);
      CHECK(contains(story_of(analysis), "Unless a handler"));
    }
    SECTION("in Python it may be parked until Ctrl-C") {
      process.handles_signals = true;
      process.runtimes.push_back({.kind = "cpython"});
      const Analysis analysis = diagnosed_tree(lost);
      CHECK(patterns_of(analysis).empty());
      CHECK(analysis.verdict.kind == VerdictKind::none);
      CHECK(contains(analysis.verdict.headline, "a signal's handler alone could"));
    }
  }
  SECTION("main joins, and a handler may post the worker's semaphore") {
    lost.at(lost.orders).kind = lost.at(lost.worker).wait->kind = WaitKind::semaphore;
    ProcessFact& process = lost.facts().processes[0];
    process.handles_signals = true;
    CHECK(diagnosed_tree(lost).findings.at(0).confidence == Confidence::hypothesis);
    process.handles_signals = false;
    CHECK(diagnosed_tree(lost).findings.at(0).confidence == Confidence::very_likely);
  }
  SECTION("the worker holds a lock that who would signal needs") {
    const ThreadId sender = lost.thread("sender");
    const ResourceId session = lost.lock("mutex session");
    lost.holds(lost.worker, session).waits(sender, session);
    const Analysis analysis = diagnosed_tree(lost);
    REQUIRE(patterns_of(analysis) == Words{"lost-wakeup"});
    CHECK(analysis.findings[0].confidence == Confidence::very_likely);
    CHECK(analysis.findings[0].threads.size() == 3);
    CHECK(contains(analysis.findings[0].headline, "holds a lock that another thread waits for"));
    CHECK(contains(analysis.findings[0].advice.front().text, "mutex session"));
  }
  SECTION("main joins, and Python handles a signal") {
    lost.at(lost.orders).kind = lost.at(lost.worker).wait->kind = WaitKind::queue;
    ProcessFact& process = lost.facts().processes[0];
    process.runtimes.push_back({.kind = "cpython"});
    CHECK(diagnosed_tree(lost).findings.at(0).confidence == Confidence::very_likely);
    process.python_handlers = {"SIGINT", "SIGTERM"};  // which end it
    CHECK(diagnosed_tree(lost).findings.at(0).confidence == Confidence::very_likely);
    process.python_handlers = {"SIGTERM", "SIGUSR1"};
    const Analysis analysis = diagnosed_tree(lost);
    CHECK(analysis.findings.at(0).confidence == Confidence::hypothesis);
    CHECK(contains(story_of(analysis), "handles SIGUSR1 in Python"));
    process.python_handlers = {"SIGTERM"};
    lost.at(lost.orders).implementation = "threading.Event";  // which such handlers set
    CHECK(diagnosed_tree(lost).findings.at(0).confidence == Confidence::hypothesis);
  }
  SECTION("a timer's thread waits with a timeout") {
    const ThreadId timer = lost.thread("timer");
    lost.waits(timer, lost.orders, {.ends = Ends::timeout});
    CHECK(patterns_of(diagnosed_tree(lost)).empty());
  }
  SECTION("one accepts") {
    const ThreadId server = lost.thread("server");
    lost.waits_in(server, lost.lock("socket", WaitKind::socket, ""), "accept4");
    CHECK(patterns_of(diagnosed_tree(lost)).empty());
  }
}

// ---- permits and timeouts

struct Permits : Tree {
  ThreadId a = thread("a"), b = thread("b"), c = thread("c");
  ResourceId slots = lock("semaphore slots", WaitKind::semaphore, "threading.BoundedSemaphore");

  Permits() {
    for (const ThreadId id : {a, b, c})
      holds(id, slots, {.confidence = Confidence::likely}).waits(id, slots);
  }
};

TEST_CASE("who holds a permit and wants one more", "[hang]") {
  Permits permits;
  SECTION("all holders do: one ring through them, no ring of one") {
    const Analysis analysis = diagnosed_tree(permits);
    REQUIRE(patterns_of(analysis) == Words{"lock-cycle"});
    CHECK(analysis.findings[0].threads.size() == 3);
    CHECK(contains(analysis.findings[0].headline, "3 threads each hold a permit"));
  }
  SECTION("one of them will give its own back") {
    permits.at(permits.c).wait.reset();
    permits.at(permits.c).state = ThreadState::running;
    permits.at(permits.slots).waiters.pop_back();
    CHECK(patterns_of(diagnosed_tree(permits)).empty());
  }
}

TEST_CASE("a ring that timeouts open", "[hang]") {
  Tree tree;
  const ThreadId a = tree.thread("a"), b = tree.thread("b");
  const ResourceId first = tree.lock("mutex first"), second = tree.lock("mutex second");
  tree.holds(a, first).holds(b, second).waits(a, second).waits(b, first, {.ends = Ends::timeout});
  const auto note = [&] {
    const Analysis analysis = diagnosed_tree(tree);
    CHECK(patterns_of(analysis).empty());
    std::string text;
    for (const Note& one : analysis.facts.notes)
      if (one.code == "ring-with-timeout") text += one.text;
    return text;
  };
  SECTION("is told, and is no deadlock") {
    CHECK(contains(note(), "a timeout ends one of these waits"));
  }
  SECTION("who waits with a timeout holds nothing of the others'") {
    tree.at(b).holds.clear();
    tree.at(second).owners.clear();
    CHECK(note().empty());
  }
}

// ---- holders that wait outside

struct Held : Tree {
  ThreadId holder = thread("holder"), waiter = thread("waiter");
  ResourceId cache = lock("mutex cache");

  Held() { holds(holder, cache).waits(waiter, cache); }
};

TEST_CASE("a holder that waits for an answer", "[hang]") {
  Held held;
  const ResourceId line = held.lock("a socket", WaitKind::socket, "");
  held.waits_in(held.holder, line, "recvfrom");
  SECTION("without a timeout in the call: its socket may have one") {
    const Analysis analysis = diagnosed_tree(held);
    REQUIRE(patterns_of(analysis) == Words{"blocked-holder"});
    CHECK(analysis.findings[0].confidence == Confidence::likely);
    CHECK(contains(story_of(analysis), "with no timeout in the call"));
    CHECK(contains(analysis.findings[0].headline, "holds a lock and waits in recvfrom"));
  }
  SECTION("a pipe has none") {
    held.at(line).kind = held.at(held.holder).wait->kind = WaitKind::pipe;
    held.at(held.holder).wait->syscall_name = "read";
    CHECK(diagnosed_tree(held).findings.at(0).confidence == Confidence::proved);
  }
  SECTION("half a second at a time") {
    held.at(held.holder).wait->ends = Ends::timeout;
    held.at(held.holder).wait->timeout_ms = 500;
    CHECK(patterns_of(diagnosed_tree(held)).empty());
  }
}

TEST_CASE("a holder that sleeps", "[hang]") {
  Held held;
  SECTION("long") {
    held.sleeps(held.holder, 3'600'000);
    const Analysis analysis = diagnosed_tree(held);
    REQUIRE(patterns_of(analysis) == Words{"blocked-holder"});
    CHECK(analysis.findings[0].confidence == Confidence::likely);
  }
  SECTION("shortly") {
    held.sleeps(held.holder, 50);
    CHECK(patterns_of(diagnosed_tree(held)).empty());
  }
  SECTION("until a point in time: nobody knows how long") {
    held.sleeps(held.holder, std::nullopt);
    CHECK(patterns_of(diagnosed_tree(held)).empty());
  }
}

TEST_CASE("a holder that waits for a child", "[hang]") {
  Held held;
  SECTION("whose core is not here: it may be at work") {
    held.reaps(held.holder, held.child(false));
    const Analysis analysis = diagnosed_tree(held);
    REQUIRE(patterns_of(analysis) == Words{"blocked-holder"});
    CHECK(analysis.findings[0].confidence == Confidence::likely);
  }
  const ProcessId child = held.child();
  const ThreadId helper = held.thread_of(child, "helper");
  held.reaps(held.holder, child);
  SECTION("that computes") {
    CHECK(patterns_of(diagnosed_tree(held)).empty());
  }
  SECTION("that waits for its pipe: the chain is told to its end") {
    held.waits_in(helper, held.lock("pipe", WaitKind::pipe, ""), "read");
    const Analysis analysis = diagnosed_tree(held);
    REQUIRE(patterns_of(analysis) == Words{"blocked-holder"});
    CHECK(analysis.findings[0].threads.size() == 3);
    CHECK(analysis.findings[0].threads.front() == helper);
  }
}

TEST_CASE("workers take turns at a queue", "[hang]") {
  Held pool;
  const ResourceId queue =
      pool.lock("multiprocessing.Queue q", WaitKind::queue, "multiprocessing.Queue");
  pool.orphans(queue, "no_owner").waits_in(pool.holder, queue, "read");
  pool.at(pool.cache).label = "the read lock of multiprocessing.Queue q";
  CHECK(patterns_of(diagnosed_tree(pool)).empty());
  CHECK(diagnosed_tree(pool).verdict.kind == VerdictKind::none);
  SECTION("but a lock of one's own is no turn") {
    pool.at(pool.cache).label = "multiprocessing.Lock accounts";
    CHECK(patterns_of(diagnosed_tree(pool)) == Words{"blocked-holder"});
  }
}

TEST_CASE("many behind one that runs", "[hang]") {
  Held held;
  held.waits(held.thread("second"), held.cache);
  SECTION("two, and one that joins: no crowd") {
    held.joins(held.thread("main"), held.holder);
    CHECK(patterns_of(diagnosed_tree(held)).empty());
  }
  SECTION("three") {
    held.waits(held.thread("third"), held.cache);
    const Analysis analysis = diagnosed_tree(held);
    REQUIRE(patterns_of(analysis) == Words{"lock-convoy"});
    CHECK(contains(analysis.findings[0].headline, "3 threads wait for a lock"));
    CHECK(analysis.verdict.kind == VerdictKind::none);
  }
}

TEST_CASE("a lone thread that waits for one answer", "[hang]") {
  Tree tree;
  const ThreadId main = tree.thread("main");
  tree.waits_in(main, tree.lock("a socket", WaitKind::socket, ""), "recvfrom");
  Frame ask = native_frame("ask", "/src/ask.c", 3);
  ask.in_app = true;
  tree.stack(main, {native_frame("recv"), ask}, 1);
  CHECK(diagnosed_tree(tree).findings.at(0).confidence == Confidence::likely);
  SECTION("it accepts") {
    tree.at(main).wait->syscall_name = "accept4";
    CHECK(patterns_of(diagnosed_tree(tree)).empty());
  }
  SECTION("with a timeout") {
    tree.at(main).wait->ends = Ends::timeout;
    CHECK(patterns_of(diagnosed_tree(tree)).empty());
  }
  SECTION("others have work") {
    tree.thread("runs");
    CHECK(patterns_of(diagnosed_tree(tree)).empty());
  }
}

// What a side-car adds to it: since when, and who has the other end.
struct Asked : Tree {
  ThreadId main = thread("main");
  ResourceId line = lock("a TCP socket to port 80 of this machine", WaitKind::socket, "");

  Asked() {
    waits_in(main, line, "recvfrom");
    Frame ask = native_frame("ask", "/src/ask.c", 3);
    ask.in_app = true;
    stack(main, {native_frame("recv"), ask}, 1);
    ConnectionFact connection;
    connection.protocol = "tcp";
    connection.received_ms = 12'300;
    connection.sent_ms = 12'000;
    connection.received_bytes = 50;
    connection.sent_bytes = 6;
    at(line).connection = connection;
  }
};

TEST_CASE("since when a reply is missing", "[hang]") {
  Asked asked;
  SECTION("it asked, and nothing came since") {
    CHECK(contains(story_of(diagnosed_tree(asked)),
                   "waits for a reply on a TCP socket to port 80 of this machine, no data received "
                   "for 12.3 s"));
  }
  SECTION("something came after it had asked") {
    asked.at(asked.line).connection->received_ms = 11'000;
    CHECK(contains(story_of(diagnosed_tree(asked)),
                   "waits to read from a TCP socket to port 80 of this machine, no data received "
                   "for 11.0 s"));
  }
  SECTION("it never asked, and nothing ever came") {
    asked.at(asked.line).connection->received_bytes = 0;
    asked.at(asked.line).connection->sent_bytes = 0;
    CHECK(contains(story_of(diagnosed_tree(asked)),
                   "waits to read from a TCP socket to port 80 of this machine, no data received "
                   "for 12.3 s, since it was connected"));
  }
  SECTION("the kernel did not say") {
    asked.at(asked.line).connection->received_ms.reset();
    CHECK_FALSE(contains(story_of(diagnosed_tree(asked)), "no data received"));
  }
}

TEST_CASE("who has the other end of a socket", "[hang]") {
  Asked asked;
  const ProcessId server = asked.child(false);
  asked.analysis.facts.processes[server.index].label = "server";
  asked.feeds(server, asked.line);
  SECTION("a process that has no core here") {
    const Analysis analysis = diagnosed_tree(asked);
    REQUIRE(patterns_of(analysis) == Words{"blocked-holder"});
    CHECK(contains(story_of(analysis), "has the other end; it has no core here."));
    CHECK(analysis.findings[0].processes == std::vector<ProcessId>{server});
    // One process has a core: its threads need no process to be told by.
    CHECK_FALSE(contains(analysis.findings[0].story[0].text, " of process"));
  }
  SECTION("a process of the incident") {
    asked.analysis.facts.processes[server.index].captured = true;
    CHECK(patterns_of(diagnosed_tree(asked)).empty());
  }
}

}  // namespace
}  // namespace coldcase
