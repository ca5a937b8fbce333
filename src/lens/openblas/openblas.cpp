// OpenBLAS ends its threads before each fork and at exit (driver/others/blas_server.c,
// blas_thread_shutdown_): it writes -1 into the queue of each, wakes it, and joins it. A worker
// that is computing at that moment sets its queue to 0 when it has finished, as always, and sleeps:
// the order is lost, and the join never ends. Seen with 0.3.21 (Debian 12) and with PyPI's
// numpy 2.4.
#include "lens/openblas/openblas.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace coldcase::openblas {
namespace {

constexpr std::size_t innermost = 16, most_frames = 64;
constexpr std::uint64_t alignment = 128, sleeping = 2;  // THREAD_STATUS_SLEEP
constexpr std::uint64_t mutex_size = 40;

const Module* module_at(const View& view, std::size_t i, std::size_t frame) {
  return view.threads.rules.row(view.threads.walks[i].frames[frame].row).module;
}

std::optional<std::size_t> find_symbol(const View& view, std::size_t i, std::size_t from,
                                       std::size_t to,
                                       std::initializer_list<std::string_view> names) {
  const auto& frames = view.threads.walks[i].frames;
  for (std::size_t f = from; f < std::min(frames.size(), to); ++f) {
    const std::string& symbol = view.threads.name_of(frames[f]).symbol;
    if (std::ranges::find(names, symbol) != names.end()) return f;
  }
  return std::nullopt;
}

// The worker's entry of thread_status[]: queue, (node,) status, lock, wakeup, 128-aligned.
struct Worker {
  Addr queue;
  std::uint64_t order = 0, status = 0;
};

// By its wait: on `wakeup`, with `lock` right in front of it.
std::optional<Worker> read_worker(const View& view, const Ledger& ledger, const Wait& wait) {
  if (wait.kind != WaitKind::condition || wait.on.size() != 1 || !wait.then.known())
    return std::nullopt;
  const ResourceId condition = wait.on.front().as<RefKind::resource>();
  if (!condition.known()) return std::nullopt;
  const auto& places = ledger.facts.resources[condition.index].at;
  const auto& others = ledger.facts.resources[wait.then.index].at;
  if (places.empty() || others.empty()) return std::nullopt;
  const Addr wakeup = places.front().address, lock = others.front().address;
  if (lock.value < alignment || lock.value + mutex_size != wakeup.value) return std::nullopt;
  const Addr queue{lock.value & ~(alignment - 1)};
  const std::uint64_t before = lock.value - queue.value;
  if (before != 16 && before != 24) return std::nullopt;  // 24: built with affinity
  const auto order = view.image.read<std::uint64_t>(queue);
  const auto status = view.image.read<std::uint64_t>(offset_by(lock, -8));
  if (!order || !status) return std::nullopt;
  return Worker{queue, *order, *status};
}

void tell(const View& view, std::size_t joiner, std::size_t frame, std::size_t target,
          const Worker& worker, const std::vector<StackMap>& stacks, Ledger& ledger) {
  const ThreadId id = view.thread_id(target);
  const ResourceId resource = ledger.thread(id).wait->on.front().as<RefKind::resource>();
  const bool forks =
      find_symbol(view, joiner, frame, most_frames, {"fork", "__fork", "__libc_fork"}).has_value();
  const std::string lwp = "LWP " + std::to_string(view.core.threads[target].tid);
  ResourceFact& fact = ledger.resource(resource);
  fact.label = "OpenBLAS's work queue for " + lwp;
  fact.implementation = "OpenBLAS thread_status";
  fact.words = {{"queue", Addr{}, worker.order, "empty"},
                {"status", Addr{}, worker.status, "asleep"}};
  fact.owner_unknown_code = "order_lost";
  fact.owner_unknown_text =
      std::string(forks ? "fork's handler" : "the library's end") +
      " has ordered the worker to end and joins it, and the queue is empty: the worker was "
      "computing, and cleared the order when it had finished";
  Evidence evidence;
  evidence.claim =
      "it joins " + lwp +
      " in blas_thread_shutdown_, after its order to end; that worker's queue is empty "
      "and its status is asleep";
  evidence.basis = Basis::memory;
  evidence.thread = view.thread_id(joiner);
  const auto& map = stacks[joiner].native_at;
  if (frame < map.size()) evidence.frame = map[frame];
  evidence.resource = resource;
  evidence.address = worker.queue;
  evidence.words = {{"", worker.queue, worker.order, ""}};
  evidence.source = "thread_status_t, OpenBLAS 0.3";
  ledger.add_evidence(std::move(evidence));
  ledger.thread(id).state = ThreadState::blocked;
}

}  // namespace

void look_at_openblas(const View& view, const Pthreads& pthreads,
                      const std::vector<StackMap>& stacks, Ledger& ledger) {
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    const auto& wait = ledger.thread(view.thread_id(i)).wait;
    if (!wait || wait->kind != WaitKind::thread_exit || wait->on.size() != 1) continue;
    const auto frame = find_symbol(view, i, 0, innermost, {"blas_thread_shutdown_"});
    const ThreadId joined = wait->on.front().as<RefKind::thread>();
    if (!frame || !joined.known() || joined.index < view.first_thread) continue;
    const std::size_t target = joined.index - view.first_thread;
    if (target >= view.core.threads.size()) continue;
    const auto& block = pthreads.block(target);
    const auto& its_wait = ledger.thread(joined).wait;
    if (!block || !its_wait ||
        view.modules.find(block->start_routine) != module_at(view, i, *frame))
      continue;
    const auto worker = read_worker(view, ledger, *its_wait);
    if (worker && worker->order == 0 && worker->status == sleeping)
      tell(view, i, *frame, target, *worker, stacks, ledger);
  }
}

}  // namespace coldcase::openblas
