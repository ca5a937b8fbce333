// Futures and the executors whose work fills them, as facts: who runs what somebody waits for, and
// which workers could run what still stands in a queue.
#include <algorithm>
#include <map>

#include "base/text.hpp"
#include "lens/cpython/object_waits.hpp"
#include "lens/cpython/pools.hpp"

namespace coldcase::cpython {
namespace {

// Where a future stands.
struct Place {
  const RunningWork* running = nullptr;
  const ThreadPool* pool = nullptr;  // it is queued there
  std::size_t position = 0;          // in that queue
  const ProcessPool* processes = nullptr;
  std::string function;
};

std::map<std::uint64_t, Place> places_of(const Pools& pools) {
  std::map<std::uint64_t, Place> places;
  for (const ThreadPool& pool : pools.threads) {
    for (std::size_t i = 0; i < pool.queued.size(); ++i) {
      const Work& work = pool.queued[i];
      places.try_emplace(work.future.value, Place{nullptr, &pool, i, nullptr, work.function});
    }
  }
  for (const ProcessPool& pool : pools.processes) {
    for (const Work& work : pool.unfinished)
      places.try_emplace(work.future.value, Place{nullptr, nullptr, 0, &pool, work.function});
  }
  for (const RunningWork& running : pools.running)
    places[running.work.future.value] = {&running, nullptr, 0, nullptr, running.work.function};
  return places;
}

bool is_idle(const LensContext& context, const PyThread& worker, ResourceId queue) {
  const auto& wait = context.ledger.thread(context.view.thread_id(*worker.core_thread)).wait;
  return wait && std::ranges::find(wait->on, Ref(queue)) != wait->on.end();
}

// "ThreadPoolExecutor-0", or what it was given as thread_name_prefix.
std::string prefix_of(const LensContext& context, const ThreadPool& pool) {
  if (pool.executor) {
    std::string prefix = find_text(context.objects(), *pool.executor, "_thread_name_prefix");
    if (!prefix.empty()) return clean_text(prefix, 64);
  }
  const std::string& name = pool.workers.front()->name;  // prefix_0
  const auto end = name.rfind('_');
  return end == std::string::npos ? name : name.substr(0, end);
}

std::string details_of(const LensContext& context, const ThreadPool& pool, ResourceId queue) {
  const auto idle = static_cast<std::size_t>(std::ranges::count_if(
      pool.workers, [&](const PyThread* worker) { return is_idle(context, *worker, queue); }));
  std::string text = counted(pool.workers.size(), "worker") + " named " + prefix_of(context, pool) +
                     ": " + std::to_string(pool.workers.size() - idle) + " busy, " +
                     std::to_string(idle) + " idle; " + std::to_string(pool.length) + " queued";
  const bool ends =
      pool.executor && find_number(context.objects(), *pool.executor, "_shutdown").value_or(0) != 0;
  return ends ? text + ", shut down" : text;
}

// The executor, to which its queue of work belongs: its idle workers wait for it.
ResourceId add_thread_pool(LensContext& context, const ThreadPool& pool) {
  const Objects& objects = context.objects();
  const Addr at = pool.executor.value_or(pool.queue);
  const std::string type = pool.executor ? type_text(objects, Sort::thread_pool, *pool.executor)
                                         : std::string(name_of(Sort::thread_pool));
  const ResourceId id = context.ledger.resource_at(context.view.process, at, WaitKind::queue, type);
  context.ledger.share(id, context.view.process, pool.queue);
  ResourceFact& fact = context.ledger.resource(id);
  const auto place = [&](const auto& one) { return one.address == at; };
  std::stable_partition(fact.at.begin(), fact.at.end(), place);
  fact.kind = WaitKind::queue;
  fact.implementation = type;
  fact.label = type + " " + prefix_of(context, pool);
  fact.state = LockState::waiting;
  fact.details = details_of(context, pool, id);
  fact.words = {{"workers", Addr{}, pool.workers.size(), ""}, {"queued", Addr{}, pool.length, ""}};
  if (pool.executor) {
    if (const auto most = find_number(objects, *pool.executor, "_max_workers"))
      fact.words.push_back({"_max_workers", Addr{}, static_cast<std::uint64_t>(*most), ""});
  }
  fact.owner_unknown_code = "no_owner";
  fact.owner_unknown_text = "nobody owns it: some thread has to hand in work";
  return id;
}

EvidenceId add_evidence(LensContext& context, ResourceId future, std::size_t thread,
                        std::optional<std::uint32_t> frame, std::string text) {
  Evidence evidence;
  evidence.claim = std::move(text);
  evidence.basis = Basis::memory;
  evidence.thread = context.view.thread_id(thread);
  evidence.frame = frame;
  evidence.resource = future;
  return context.ledger.add_evidence(std::move(evidence));
}

class Futures {
 public:
  Futures(LensContext& context, const Pools& pools) : context_(context), places_(places_of(pools)) {
    for (const ThreadPool& pool : pools.threads) pools_[&pool] = add_thread_pool(context, pool);
  }

  void run() {
    // Resources are added below: only those there are now are futures that somebody waits for.
    const std::size_t count = context_.ledger.facts.resources.size();
    for (std::uint32_t i = 0; i < count; ++i) {
      const ResourceFact& fact = context_.ledger.resource({i});
      if (fact.kind != WaitKind::future || fact.at.empty() ||
          fact.at.front().process != context_.view.process)
        continue;
      const auto place = places_.find(fact.at.front().address.value);
      if (place != places_.end()) set_place({i}, place->second);
    }
  }

 private:
  void set_place(ResourceId future, const Place& place) {
    ResourceFact& fact = context_.ledger.resource(future);
    if (!place.function.empty()) fact.label = "Future of " + place.function;
    if (place.running != nullptr) {
      fed_by_runner(future, *place.running);
    } else if (place.pool != nullptr) {
      fed_by_workers(future, place);
    } else if (place.processes != nullptr) {
      fed_by_manager(future, *place.processes);
    }
  }

  void fed_by_runner(ResourceId future, const RunningWork& running) {
    const std::size_t thread = *running.worker->core_thread;
    const auto frame = context_.python_frame(thread, running.index);
    add_feeder(
        future, thread, Confidence::proved,
        add_evidence(context_, future, thread, frame,
                     "the work item that " + context_.lwp(thread) + " runs will fill this future"));
    context_.ledger.resource(future).owner_unknown_text =
        "nobody owns it: " + running.worker->name + " (" + context_.lwp(thread) +
        "), which runs it, has to finish";
  }

  // Any worker of the pool may take it, as soon as one is free.
  void fed_by_workers(ResourceId future, const Place& place) {
    ResourceFact& fact = context_.ledger.resource(future);
    fact.part_of = pools_[place.pool];
    fact.details += ", number " + std::to_string(place.position + 1) + " in the queue of " +
                    prefix_of(context_, *place.pool);
    fact.owner_unknown_text = "nobody owns it: a worker of its pool has to run it";
    if (!place.pool->complete) return;  // a worker that was not read may be free
    for (const PyThread* worker : place.pool->workers) {
      const std::size_t thread = *worker->core_thread;
      add_feeder(future, thread, Confidence::proved,
                 add_evidence(context_, future, thread, std::nullopt,
                              "its work item stands in the queue from which " +
                                  context_.lwp(thread) + " takes work"));
    }
  }

  void fed_by_manager(ResourceId future, const ProcessPool& pool) {
    const std::size_t thread = *pool.manager->core_thread;
    ResourceFact& fact = context_.ledger.resource(future);
    fact.details += ", in a ProcessPoolExecutor of " + counted(pool.processes, "process") +
                    " with " + std::to_string(pool.unfinished.size()) + " unfinished";
    fact.owner_unknown_text = "nobody owns it: a process of its pool has to finish it";
    add_feeder(future, thread, Confidence::very_likely,
               add_evidence(context_, future, thread, std::nullopt,
                            "its work item is among those for which " + context_.lwp(thread) +
                                " takes the results from the pool's processes"));
  }

  void add_feeder(ResourceId future, std::size_t thread, Confidence sure, EvidenceId evidence) {
    Owner feeder;
    feeder.by = context_.view.thread_id(thread);
    feeder.confidence = sure;
    feeder.basis = Basis::memory;
    feeder.evidence = {evidence};
    context_.ledger.resource(future).feeders.push_back(std::move(feeder));
  }

  LensContext& context_;
  std::map<std::uint64_t, Place> places_;
  std::map<const ThreadPool*, ResourceId> pools_;
};

}  // namespace

void add_futures(LensContext& context) {
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    const Pools pools = read_pools(context.objects(), interpreter);
    Futures(context, pools).run();
  }
}

}  // namespace coldcase::cpython
