// Patterns across processes, orphans, handlers and the loader, from hand-written facts: each fires,
// is weaker without its evidence, and is silent on its healthy twin.
#include "support/tree.hpp"
#include "support/catch.hpp"

namespace coldcase {
namespace {

using namespace test;

// ---- pipes

struct Pipes : Tree {
  ProcessId other = child();
  ThreadId asker = thread_of(parent, "asker"), server = thread_of(other, "server");
  ResourceId orders = lock("pipe 1", WaitKind::pipe, ""),
             answers = lock("pipe 2", WaitKind::pipe, "");
};

TEST_CASE("a thread that fills its own process's pipe holds a lock", "[tree]") {
  Tree tree;
  const ThreadId writer = tree.thread_of(tree.parent, "writer");
  const ThreadId waiter = tree.thread_of(tree.parent, "waiter");
  const ResourceId pipe = tree.lock("pipe", WaitKind::pipe, ""), lock = tree.lock("lock");
  tree.waits_in(writer, pipe, "write", Mode::write).feeds(tree.parent, pipe);
  tree.holds(writer, lock).waits(waiter, lock);
  const Analysis analysis = diagnosed_tree(tree);
  REQUIRE(patterns_of(analysis) == Words{"pipe-cycle"});
  CHECK(contains(analysis.findings[0].headline, "only its own process"));
  CHECK(analysis.findings[0].threads == std::vector<ThreadId>{writer});
}

// Each writes into a full pipe that the other should read.
struct FullPipes : Tree {
  ProcessId filter = child();
  ThreadId main = thread_of(parent, "main"), other = thread_of(filter, "filter");
  ResourceId there = lock("pipe there", WaitKind::pipe, ""),
             back = lock("pipe back", WaitKind::pipe, "");

  FullPipes() {
    waits_in(main, there, "write", Mode::write).waits_in(other, back, "write", Mode::write);
    feeds(filter, there).feeds(parent, back);
  }
};

TEST_CASE("threads that only their own process could wake end no pipe cycle", "[tree]") {
  FullPipes pipes;
  CHECK(patterns_of(diagnosed_tree(pipes)) == Words{"pipe-cycle"});
  const ThreadId more = pipes.thread_of(pipes.parent, "more");
  const ResourceId work = pipes.lock("work", WaitKind::condition, "pthread_cond_t");
  SECTION("an idle worker, and one that waits for its end") {
    pipes.waits(more, work);
    const ThreadId joiner = pipes.thread_of(pipes.parent, "joiner");
    pipes.joins(joiner, more);
    const Analysis analysis = diagnosed_tree(pipes);
    CHECK(patterns_of(analysis).at(0) == "pipe-cycle");
  }
  SECTION("a timer's thread may read") {
    pipes.waits(more, work, {.ends = Ends::timeout});
    CHECK(patterns_of(diagnosed_tree(pipes)).empty());
  }
  SECTION("one that runs may read") {
    pipes.at(more).state = ThreadState::running;
    CHECK(patterns_of(diagnosed_tree(pipes)).empty());
  }
  SECTION("a semaphore may be posted from elsewhere") {
    pipes.waits(more, pipes.lock("sem", WaitKind::semaphore, "sem_t"));
    CHECK(patterns_of(diagnosed_tree(pipes)).empty());
  }
}

TEST_CASE("each side reads what the other should write", "[tree]") {
  Pipes pipes;
  pipes.waits_in(pipes.asker, pipes.answers, "read").waits_in(pipes.server, pipes.orders, "read");
  SECTION("ends known") {
    pipes.feeds(pipes.other, pipes.answers).feeds(pipes.parent, pipes.orders);
    const Analysis analysis = diagnosed_tree(pipes);
    REQUIRE(patterns_of(analysis) == Words{"pipe-cycle"});
    CHECK(analysis.findings[0].confidence == Confidence::very_likely);  // as far as the cores go
    CHECK(contains(story_of(analysis), "is the one to write to pipe 2"));
  }
  SECTION("ends unknown: by exclusion, and not as sure") {
    const Analysis analysis = diagnosed_tree(pipes);
    REQUIRE(patterns_of(analysis) == Words{"pipe-cycle"});
    CHECK(analysis.findings[0].confidence == Confidence::likely);
  }
  SECTION("unknown, and the processes are strangers") {
    pipes.facts().processes[1].parent = {};
    CHECK(patterns_of(diagnosed_tree(pipes)).empty());
  }
  SECTION("somebody still computes") {
    pipes.thread_of(pipes.other, "worker");
    CHECK(patterns_of(diagnosed_tree(pipes)).empty());
  }
  SECTION("one has a timeout") {
    pipes.feeds(pipes.other, pipes.answers).feeds(pipes.parent, pipes.orders);
    pipes.at(pipes.server).wait->ends = Ends::timeout;
    CHECK(patterns_of(diagnosed_tree(pipes)).empty());
  }
}

TEST_CASE("each side writes what the other should read", "[tree]") {
  Pipes pipes;
  pipes.waits_in(pipes.asker, pipes.orders, "write", Mode::write)
      .waits_in(pipes.server, pipes.answers, "write", Mode::write);
  pipes.feeds(pipes.other, pipes.orders).feeds(pipes.parent, pipes.answers);
  const Analysis analysis = diagnosed_tree(pipes);
  REQUIRE(patterns_of(analysis) == Words{"pipe-cycle"});
  CHECK(contains(story_of(analysis), "is the one to read from pipe 1"));
}

// ---- processes that wait for each other's end

TEST_CASE("a parent reaps a child that reads the parent's pipe", "[tree]") {
  Pipes pipes;
  pipes.reaps(pipes.asker, pipes.other).waits_in(pipes.server, pipes.orders, "read");
  SECTION("known") {
    pipes.feeds(pipes.parent, pipes.orders);
    CHECK(patterns_of(diagnosed_tree(pipes)) == Words{"join-cycle"});
    CHECK(diagnosed_tree(pipes).verdict.kind == VerdictKind::deadlock);
  }
  SECTION("not known: as any shell whose child reads") {
    CHECK(patterns_of(diagnosed_tree(pipes)).empty());
  }
}

TEST_CASE("both ends of a pipe in one process", "[tree]") {
  Pipes pipes;
  pipes.waits_in(pipes.asker, pipes.answers, "read").feeds(pipes.parent, pipes.answers);
  SECTION("and in no other: it waits for itself") {
    const Analysis analysis = diagnosed_tree(pipes);
    REQUIRE(patterns_of(analysis) == Words{"pipe-cycle"});
    CHECK(contains(analysis.findings[0].headline, "only its own process"));
  }
  SECTION("another thread of it runs") {
    pipes.thread_of(pipes.parent, "worker");
    CHECK(patterns_of(diagnosed_tree(pipes)).empty());
  }
  SECTION("and in the other, which computes") {
    pipes.feeds(pipes.other, pipes.answers);
    CHECK(patterns_of(diagnosed_tree(pipes)).empty());
  }
  SECTION("and in the other, which waits for this one: told once") {
    pipes.feeds(pipes.other, pipes.answers);
    pipes.waits_in(pipes.server, pipes.orders, "read").feeds(pipes.parent, pipes.orders);
    pipes.feeds(pipes.other, pipes.orders);
    const Analysis analysis = diagnosed_tree(pipes);
    REQUIRE(patterns_of(analysis) == Words{"pipe-cycle"});
    CHECK(analysis.findings[0].threads.size() == 2);
  }
}

TEST_CASE("a child cannot end before its queue is read", "[tree]") {
  Tree tree;
  const ProcessId other = tree.child();
  const ThreadId main = tree.thread_of(tree.parent, "main");
  const ThreadId child = tree.thread_of(other, "child"), feeder = tree.thread_of(other, "feeder");
  const ResourceId pipe = tree.lock("file descriptor 4", WaitKind::unknown, "");
  tree.reaps(main, other);
  tree.joins(child, feeder);
  tree.waits_in(feeder, pipe, "write", Mode::write);
  const auto feed = python_frame("Queue._feed", "/usr/lib/python3.11/multiprocessing/queues.py", 1);
  tree.stack(feeder, {native_frame("write"), feed});
  CHECK(patterns_of(diagnosed_tree(tree)) == Words{"join-undrained-queue"});
  SECTION("the pipe's ends are known: still the refined pattern") {
    tree.feeds(tree.parent, pipe);
    const Analysis analysis = diagnosed_tree(tree);
    CHECK(patterns_of(analysis) == Words{"join-undrained-queue"});
    CHECK(analysis.findings[0].confidence == Confidence::very_likely);
  }
  SECTION("the feeder waits for something else") {
    tree.at(feeder).wait->syscall_name = "futex";
    CHECK(patterns_of(diagnosed_tree(tree)).empty());
  }
  SECTION("the parent's wait has a timeout") {
    tree.at(main).wait->ends = Ends::timeout;
    CHECK(patterns_of(diagnosed_tree(tree)).empty());
  }
}

TEST_CASE("file locks in a ring", "[tree]") {
  Pipes files;
  files.at(files.orders).kind = files.at(files.answers).kind = WaitKind::file_lock;
  files.waits_in(files.asker, files.orders, "flock").waits_in(files.server, files.answers, "flock");
  SECTION("holders known") {
    files.at(files.orders)
        .owners.push_back({files.other, Mode::exclusive, Confidence::proved, Basis::side_car, {}});
    files.at(files.answers)
        .owners.push_back({files.parent, Mode::exclusive, Confidence::proved, Basis::side_car, {}});
    CHECK(patterns_of(diagnosed_tree(files)) == Words{"file-lock-cycle"});
  }
  SECTION("not known: open, and what would help is said") {
    const Analysis analysis = diagnosed_tree(files);
    CHECK(analysis.verdict.kind == VerdictKind::inconclusive);
    REQUIRE_FALSE(analysis.facts.notes.empty());
    CHECK(contains(analysis.facts.notes.back().advice, "coldcase capture"));
  }
}

// ---- holders that are gone

TEST_CASE("a lock whose holder has ended", "[tree]") {
  Tree tree;
  const ThreadId waiter = tree.thread("waiter"), main = tree.thread("main");
  const ResourceId lock = tree.lock("mutex journal");
  tree.waits(waiter, lock).joins(main, waiter);
  const std::string code = GENERATE("owner_ended", "owner_died");
  tree.orphans(lock, code);
  const Analysis analysis = diagnosed_tree(tree);
  REQUIRE(patterns_of(analysis) == Words{"orphaned-lock"});
  CHECK(analysis.findings[0].confidence == Confidence::proved);
  CHECK(analysis.findings[0].threads == std::vector<ThreadId>{waiter, main});
  SECTION("somebody holds it") {
    tree.holds(tree.thread("holder"), lock);
    CHECK(patterns_of(diagnosed_tree(tree)).empty());
  }
  SECTION("the wait has a timeout") {
    tree.at(waiter).wait->ends = Ends::timeout;
    CHECK(patterns_of(diagnosed_tree(tree)).empty());
  }
  SECTION("its holder is merely not known") {
    tree.orphans(lock, "owner_not_recorded");
    CHECK(patterns_of(diagnosed_tree(tree)).empty());
  }
}

TEST_CASE("a lock of before the fork", "[tree]") {
  Tree tree;
  const ThreadId waiter = tree.thread("waiter");
  const ResourceId lock =
      tree.lock("threading.RLock journal", WaitKind::python_rlock, "threading.RLock");
  tree.waits(waiter, lock);
  SECTION("the parent's core tells") {
    tree.orphans(lock, "owner_in_parent");
    const Analysis analysis = diagnosed_tree(tree);
    REQUIRE(patterns_of(analysis) == Words{"fork-orphaned-lock"});
    CHECK(analysis.findings[0].confidence == Confidence::proved);
    CHECK(contains(analysis.findings[0].headline, "waits for a threading.RLock"));
  }
  SECTION("the child alone") {
    tree.orphans(lock, "owner_before_fork");
    CHECK(diagnosed_tree(tree).findings.at(0).confidence == Confidence::likely);
  }
}

TEST_CASE("a shared semaphore that nobody alive holds", "[tree]") {
  Tree tree;
  const ProcessId writer = tree.child();
  const ThreadId main = tree.thread_of(tree.parent, "main");
  const ThreadId feeder = tree.thread_of(tree.parent, "feeder");
  const ThreadId reader = tree.thread_of(writer, "reader");
  const ResourceId lock = tree.lock("the write lock of multiprocessing.Queue q", WaitKind::semlock,
                                    "multiprocessing.SemLock");
  const ResourceId queue =
      tree.lock("multiprocessing.Queue q", WaitKind::queue, "multiprocessing.Queue");
  tree.at(lock).at.push_back({writer, Addr{0x7000}});
  tree.reaps(main, writer).waits_in(reader, queue, "read");
  tree.waits(feeder, lock);
  tree.orphans(lock, "no_living_holder").feeds(feeder, queue, Confidence::likely);
  CHECK(diagnosed_tree(tree).findings.at(0).confidence == Confidence::likely);
  for (const ProcessId process : {tree.parent, writer}) {  // which tell every child
    InputFact side_car;
    side_car.kind = InputKind::sidecar;
    side_car.process = process;
    tree.facts().inputs.push_back(side_car);
  }
  const Analysis analysis = diagnosed_tree(tree);
  REQUIRE(patterns_of(analysis) == Words{"orphaned-semaphore"});
  CHECK(analysis.findings[0].confidence == Confidence::very_likely);
  CHECK(analysis.findings[0].threads.size() == 3);
  CHECK(contains(analysis.findings[0].headline, "Queue"));
  SECTION("a process of the tree was not read") {
    tree.child(false);
    CHECK(diagnosed_tree(tree).findings.at(0).confidence == Confidence::hypothesis);
  }
  SECTION("one process alone") {
    tree.at(lock).at.resize(1);
    CHECK(diagnosed_tree(tree).findings.at(0).confidence == Confidence::likely);
  }
  SECTION("a counting semaphore has no holder") {
    tree.orphans(lock, "no_owner").orphans(queue, "no_owner");
    tree.at(feeder).state = ThreadState::idle;
    CHECK(patterns_of(diagnosed_tree(tree)).empty());
    CHECK(diagnosed_tree(tree).verdict.kind == VerdictKind::none);
  }
}

// ---- signals, the loader, spinning

TEST_CASE("a handler takes what the code below it holds", "[tree]") {
  Tree tree;
  const ThreadId thread = tree.thread("main");
  const ResourceId lock = tree.lock("mutex counters");
  Frame handler = native_frame("on_signal", "/src/a.c", 9);
  Frame interrupted = native_frame("count", "/src/a.c", 20);
  handler.in_app = interrupted.in_app = true;
  Frame signal = native_frame("__restore_rt");
  signal.kind = FrameKind::signal;
  tree.stack(thread, {native_frame("futex"), handler, signal, native_frame("raise"), interrupted},
             1);
  tree.waits(thread, lock);
  SECTION("taken below") {
    tree.holds(thread, lock);
    const Analysis analysis = diagnosed_tree(tree);
    REQUIRE(patterns_of(analysis) == Words{"async-signal-reentry"});
    CHECK(contains(story_of(analysis), "interrupted count at a.c:20"));
  }
  SECTION("taken in the handler itself: a plain second attempt") {
    tree.holds(thread, lock, {.frame = 1});
    CHECK(patterns_of(diagnosed_tree(tree)) == Words{"self-deadlock"});
  }
  SECTION("another thread holds it") {
    tree.holds(tree.thread("other"), lock);
    CHECK(patterns_of(diagnosed_tree(tree)).empty());
  }
}

TEST_CASE("the loader's lock in a ring", "[tree]") {
  Tree tree;
  const ThreadId main = tree.thread("main"), loader = tree.thread("loader");
  const ResourceId lock = tree.lock("the loader's lock", WaitKind::loader_lock, "");
  tree.holds(main, lock).joins(main, loader).waits(loader, lock);
  CHECK(patterns_of(diagnosed_tree(tree)) == Words{"loader-lock-cycle"});
  SECTION("the joined thread computes") {
    tree.at(loader).wait.reset();
    tree.at(loader).state = ThreadState::running;
    tree.at(lock).waiters.clear();
    CHECK(patterns_of(diagnosed_tree(tree)).empty());
  }
}

TEST_CASE("a ring with a spin lock", "[tree]") {
  Tree tree;
  const auto threads = tree.ring(2);
  CHECK(patterns_of(diagnosed_tree(tree)) == Words{"lock-cycle"});
  tree.at(ResourceId{0}).kind = WaitKind::spinlock;
  tree.at(threads[1]).state = ThreadState::spinning;
  CHECK(patterns_of(diagnosed_tree(tree)) == Words{"spin-wait-cycle"});
}

TEST_CASE("a ring with a word that one polls", "[tree]") {
  Tree tree;
  const ThreadId reader = tree.thread("reader"), writer = tree.thread("writer");
  const ResourceId lock = tree.lock("mutex ledger");
  const ResourceId word = tree.lock("word published", WaitKind::polled_word, "word");
  tree.holds(reader, lock).waits(writer, lock).waits(reader, word);
  tree.at(reader).wait->kind = WaitKind::polled_word;
  tree.at(reader).state = ThreadState::spinning;
  SECTION("who would change it is not known") {
    const Analysis analysis = diagnosed_tree(tree);
    CHECK(patterns_of(analysis).empty());
    CHECK(analysis.verdict.kind == VerdictKind::none);
  }
  SECTION("who would change it waits for what the polling thread holds") {
    tree.feeds(writer, word, Confidence::likely);
    tree.at(reader).cpu_ms = 4100;
    tree.at(reader).cpu_from = CpuFrom::core;
    tree.at(reader).in_syscall = false;
    const Analysis analysis = diagnosed_tree(tree);
    REQUIRE(patterns_of(analysis) == Words{"spin-wait-cycle"});
    CHECK(analysis.findings[0].confidence == Confidence::likely);
    CHECK(contains(story_of(analysis), "polls word published"));
    CHECK(contains(story_of(analysis), "; it ran 4.1 s of CPU, no system call."));
    CHECK(contains(story_of(analysis), " would change word published"));
  }
  SECTION("who would change it runs") {
    tree.feeds(writer, word, Confidence::likely);
    tree.at(writer).wait.reset();
    tree.at(lock).waiters.clear();
    tree.at(writer).state = ThreadState::running;
    CHECK(patterns_of(diagnosed_tree(tree)).empty());
  }
}

TEST_CASE("processor time alone is no hang", "[tree]") {
  Tree tree;
  const ThreadId thread = tree.thread("worker");
  tree.at(thread).state = ThreadState::running;
  tree.at(thread).cpu_ms = 3'600'000;
  tree.at(thread).cpu_from = CpuFrom::core;
  const Analysis analysis = diagnosed_tree(tree);
  CHECK(patterns_of(analysis).empty());
  CHECK(analysis.verdict.kind == VerdictKind::none);
  REQUIRE(analysis.facts.notes.size() == 1);
  CHECK(analysis.facts.notes[0].code == "running-threads");
  CHECK(analysis.facts.notes[0].about == std::vector<Ref>{thread});
}

}  // namespace
}  // namespace coldcase
