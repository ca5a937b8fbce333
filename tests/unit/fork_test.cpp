// What fork leaves behind: blocks of threads that were not copied, OpenMP's barriers, and what is
// found of both. The shapes are this file's own, written from glibc's and libgomp's sources.
#include "lens/glibc/parts.hpp"
#include "support/catch.hpp"
#include "support/core_builder.hpp"
#include "support/tree.hpp"

namespace coldcase {
namespace {

using test::Blob;
using test::Tree;
using test::Words;

constexpr std::uint64_t heap = 0x10000, heap_size = 0x4000;

struct Memory {
  Blob bytes = Blob(heap_size);
  std::uint64_t saved = heap_size;

  template <class T>
  void put(std::uint64_t at, T value) {
    test::patch(bytes, at - heap, value);
  }
  MemoryImage image() const {
    return MemoryImage(
        {{{Addr{heap}, Addr{heap + heap_size}}, slice(bytes, 0, saved), Source::core, {}}});
  }
};

// ---- struct pthread

struct Process : Memory {
  Core core;
  Modules modules;

  void block(std::uint64_t at, std::int32_t tid, std::uint32_t cancelhandling) {
    put(at, at);
    put(at + 16, at);
    put(at + 720, tid);
    put(at + 776, cancelhandling);
  }
  void thread(std::int32_t tid, std::uint64_t block_at) {
    CoreThread thread;
    thread.tid = tid;
    thread.registers.words[Registers::fs_base] = block_at;
    core.threads.push_back(thread);
  }
  BlockFate fate_of(std::uint64_t at) const {
    const MemoryImage memory = image();
    const Threads threads{Rules(modules), {}, {}};
    const View view{core, memory, modules, threads, ProcessId{0}};
    return Pthreads(view).fate_of(Addr{at});
  }
};

TEST_CASE("what became of a thread, by its block", "[fork]") {
  Process child;
  child.block(heap + 0x100, 7, 0);
  child.thread(7, heap + 0x100);
  CHECK(child.fate_of(heap + 0x100) == BlockFate::alive);
  const std::uint64_t other = heap + 0x1000;
  SECTION("it ran to its end") {
    child.block(other, 0, 0x10);
    CHECK(child.fate_of(other) == BlockFate::ended);
  }
  SECTION("fork(3) has tidied up after it") {
    child.block(other, 0, 0);
    CHECK(child.fate_of(other) == BlockFate::not_copied);
  }
  SECTION("_Fork has left all as it was") {
    child.block(other, 5, 2);
    CHECK(child.fate_of(other) == BlockFate::not_copied);
  }
  SECTION("no block") {
    CHECK(child.fate_of(other) == BlockFate::unknown);
    CHECK(child.fate_of(0) == BlockFate::unknown);
    CHECK(child.fate_of(UINT64_MAX - 8) == BlockFate::unknown);
  }
  SECTION("half a block") {
    child.block(other, 0, 0);
    child.saved = other + 700 - heap;
    CHECK(child.fate_of(other) == BlockFate::unknown);
  }
  SECTION("a core cut short may lack the thread") {
    child.block(other, 0, 0);
    child.core.declared_bytes = 1000;
    CHECK(child.fate_of(other) == BlockFate::unknown);
  }
}

TEST_CASE("the bare system call leaves the parent's number in the child's block", "[fork]") {
  Process child;
  child.core.process = ProcessInfo{};
  child.core.process->pid = 42;
  child.block(heap + 0x100, 40, 0);
  child.thread(42, heap + 0x100);
  const auto number = [&child] {
    const MemoryImage memory = child.image();
    const Threads threads{Rules(child.modules), {}, {}};
    const View view{child.core, memory, child.modules, threads, ProcessId{0}};
    return Pthreads(view).inner_pid();
  };
  CHECK(number() == 40);  // a PID namespace of its own
  child.core.process->ppid = 40;
  CHECK(number() == 42);
}

// ---- libgomp

constexpr std::uint64_t barrier_at = heap + 0x240;

struct Team : Memory {
  Team(std::uint32_t total, std::uint32_t awaited, std::uint32_t awaited_final) {
    put(barrier_at, total);
    put(barrier_at + 4, std::uint32_t{8});
    put(barrier_at + 64, awaited);
    put(barrier_at + 68, awaited_final);
  }
  std::optional<std::uint32_t> missing(std::uint64_t at = barrier_at,
                                       std::uint32_t generation = 8) const {
    const MemoryImage memory = image();
    const auto barrier = glibc::read_gomp_barrier(memory, Addr{at}, generation);
    return barrier ? std::optional(barrier->missing) : std::nullopt;
  }
};

TEST_CASE("how many of an OpenMP team have not come", "[fork]") {
  CHECK(Team(3, 3, 2).missing() == 2);  // the end of a region
  CHECK(Team(3, 1, 3).missing() == 1);  // a barrier inside it
  CHECK(Team(2, 1, 5).missing() == 1);  // the pool's, made smaller: the second is not used
  CHECK(Team(65'536, 1, 1).missing() == 1);
}

TEST_CASE("words that are no OpenMP barrier", "[fork]") {
  CHECK_FALSE(Team(3, 3, 3).missing());  // nobody has come, and somebody waits
  CHECK_FALSE(Team(1, 1, 1).missing());
  CHECK_FALSE(Team(65'537, 1, 1).missing());
  CHECK_FALSE(Team(0, 0, 0).missing());
  CHECK_FALSE(Team(3, 3, 2).missing(barrier_at, 16));  // of another generation than is waited for
  CHECK_FALSE(Team(3, 3, 2).missing(barrier_at + 8));
  CHECK_FALSE(Team(3, 3, 2).missing(0xdead0000));
  Team cut(3, 3, 2);
  cut.saved = barrier_at + 68 - heap;
  CHECK_FALSE(cut.missing());
}

// ---- findings

Finding finding_of(const std::string& code, WaitKind kind, const std::string& implementation) {
  Tree tree;
  const ThreadId waiter = tree.thread("waiter");
  const ResourceId lock = tree.lock("the lock", kind, implementation);
  tree.waits(waiter, lock);
  tree.orphans(lock, code);
  const Analysis analysis = test::diagnosed_tree(tree);
  REQUIRE(analysis.findings.size() == 1);
  return analysis.findings.front();
}

TEST_CASE("how sure it is what fork has orphaned", "[fork]") {
  const auto confidence = [](const std::string& code) {
    const Finding finding = finding_of(code, WaitKind::mutex, "pthread_mutex_t");
    CHECK(finding.pattern == "fork-orphaned-lock");
    CHECK(finding.kind == FindingKind::deadlock);
    return finding.confidence;
  };
  CHECK(confidence("owner_in_parent") == Confidence::proved);
  CHECK(confidence("owner_before_fork") == Confidence::likely);
  CHECK(confidence("team_in_parent") == Confidence::very_likely);
  CHECK(confidence("team_not_copied") == Confidence::likely);
  CHECK(confidence("holder_in_parent") == Confidence::likely);
  CHECK(confidence("holder_not_copied") == Confidence::likely);
  CHECK(confidence("helpers_not_copied") == Confidence::hypothesis);
}

TEST_CASE("what helps depends on what it waits for", "[fork]") {
  const auto first_advice = [](WaitKind kind, const std::string& implementation,
                               const std::string& code = "owner_before_fork") {
    return finding_of(code, kind, implementation).advice.at(0).text;
  };
  using test::contains;
  CHECK(contains(first_advice(WaitKind::barrier, "libgomp barrier", "team_not_copied"),
                 "omp_pause_resource_all"));
  CHECK(contains(first_advice(WaitKind::malloc_arena, "malloc arena"), "posix_spawn"));
  CHECK(contains(first_advice(WaitKind::import_lock, "importlib._ModuleLock"), "Import"));
  CHECK(contains(first_advice(WaitKind::python_lock, "_io.BufferedWriter"), "file object"));
  CHECK(contains(first_advice(WaitKind::mutex, "pthread_mutex_t"), "spawn"));
}

TEST_CASE("a guess is no verdict", "[fork]") {
  Tree tree;
  const ThreadId waiter = tree.thread("waiter");
  const ResourceId queue =
      tree.lock("gRPC's completion queue", WaitKind::queue, "grpc_completion_queue");
  tree.waits(waiter, queue);
  tree.orphans(queue, "helpers_not_copied");
  CHECK(test::diagnosed_tree(tree).verdict.kind == VerdictKind::inconclusive);
}

TEST_CASE("a worker that has lost its order to end", "[fork]") {
  Tree tree;
  const ThreadId main = tree.thread("main"), worker = tree.thread("worker");
  const ResourceId queue =
      tree.lock("OpenBLAS's work queue", WaitKind::condition, "OpenBLAS thread_status");
  tree.waits(worker, queue).joins(main, worker);
  tree.orphans(queue, "order_lost");
  const Analysis analysis = test::diagnosed_tree(tree);
  REQUIRE(test::patterns_of(analysis) == Words{"lost-wakeup"});
  CHECK(analysis.verdict.kind == VerdictKind::hang);
  CHECK(analysis.findings[0].confidence == Confidence::very_likely);
  CHECK(analysis.findings[0].threads == std::vector<ThreadId>{worker, main});
}

}  // namespace
}  // namespace coldcase
