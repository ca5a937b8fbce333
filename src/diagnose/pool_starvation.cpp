// pool-starvation: every worker of a pool waits for work that only that pool could do; or futures
// wait for each other's results in a ring.
#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_told = 4;

// A pool as the facts have it: what its queue holds, and who could take that.
struct Pool {
  ResourceId queue;
  std::vector<ResourceId> futures;  // in the queue, with waiters
  std::vector<ThreadId> workers;
};

std::vector<ThreadId> feeders_of(const ResourceFact& future) {
  std::vector<ThreadId> threads;
  for (const Owner& feeder : future.feeders) {
    const ThreadId thread = feeder.by.as<RefKind::thread>();
    if (thread.known()) threads.push_back(thread);
  }
  return threads;
}

std::vector<Pool> find_pools(const Scene& scene) {
  std::vector<Pool> pools;
  for (std::uint32_t i = 0; i < scene.facts.resources.size(); ++i) {
    const ResourceFact& future = scene.facts.resources[i];
    if (!is_queued(scene.facts, future) || future.feeders.empty()) continue;
    auto at = std::ranges::find(pools, future.part_of, &Pool::queue);
    if (at == pools.end()) {
      pools.push_back({future.part_of, {}, feeders_of(future)});
      at = pools.end() - 1;
    }
    at->futures.push_back({i});
  }
  return pools;
}

bool starves(const Scene& scene, const Pool& pool) {
  return !pool.workers.empty() && std::ranges::all_of(pool.workers, [&](ThreadId worker) {
    return scene.stuck[worker.index];
  });
}

// Among what stands in the queues of these pools; nothing when it waits for something else.
ResourceId awaited_of(const Scene& scene, ThreadId worker, const std::vector<Pool>& pools) {
  for (const Ref on : scene.thread(worker).wait->on) {
    const ResourceId future = on.as<RefKind::resource>();
    const bool queued = future.known() && std::ranges::any_of(pools, [&](const Pool& pool) {
                          return std::ranges::find(pool.futures, future) != pool.futures.end();
                        });
    if (queued) return future;
  }
  return {};
}

// Who first: the workers that wait for work in a queue, then those that wait for something else.
std::vector<ThreadId> in_order(const Scene& scene, const std::vector<Pool>& pools) {
  std::vector<ThreadId> threads;
  for (const Pool& pool : pools)
    threads.insert(threads.end(), pool.workers.begin(), pool.workers.end());
  // Not ranges': clang 14 refuses it.
  std::stable_partition(threads.begin(), threads.end(),
                        [&](ThreadId id) { return awaited_of(scene, id, pools).known(); });
  return threads;
}

// Nobody is left who could cancel or fill a future that stands in a queue.
bool nobody_else(const Scene& scene, ProcessId process) {
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    const ThreadFact& thread = scene.facts.threads[i];
    if (thread.process == process && !scene.stuck[i]) return false;
  }
  return true;
}

std::string pool_text(const Scene& scene, const Pool& pool) {
  const ResourceFact& queue = scene.resource(pool.queue);
  return queue.label + (queue.details.empty() ? "" : " (" + queue.details + ")");
}

void add_member(const Scene& scene, ThreadId worker, const std::vector<Pool>& pools,
                Finding& finding) {
  const Wait& wait = *scene.thread(worker).wait;
  finding.threads.push_back(worker);
  finding.confidence = std::min(finding.confidence, wait.confidence);
  const ResourceId future = awaited_of(scene, worker, pools);
  if (!future.known()) {
    finding.path.push_back(
        {worker, Relation::waits_for, wait.on.front(), wait.confidence, wait.evidence});
    return;
  }
  finding.path.push_back({worker, Relation::waits_for, future, wait.confidence, wait.evidence});
  if (std::ranges::find(finding.resources, future) != finding.resources.end()) return;
  finding.resources.push_back(future);
  // Of a large pool one worker stands for the others.
  const auto& feeders = scene.resource(future).feeders;
  const std::size_t shown = feeders.size() <= most_told ? feeders.size() : 1;
  for (std::size_t i = 0; i < feeders.size(); ++i) {
    finding.confidence = std::min(finding.confidence, feeders[i].confidence);
    if (i >= shown) continue;
    finding.path.push_back(
        {future, Relation::fed_by, feeders[i].by, feeders[i].confidence, feeders[i].evidence});
  }
}

void add_advice(const Scene& scene, Finding& finding) {
  finding.location = Scene::location_of(scene.site_of(finding.threads.front()));
  finding.advice = {
      {"Do not wait inside a pool's task for another task of the same pool: give the inner tasks "
       "an executor of their own, or return the future and let the caller wait for it.",
       finding.location, ""},
      {"More workers only move the limit: it comes back when as many tasks wait at once.",
       std::nullopt, ""}};
}

std::string headline_of(const Scene& scene, const std::vector<Pool>& pools,
                        const std::vector<ThreadId>& workers) {
  const std::string place = " in " + site_name(scene, workers.front());
  if (pools.size() > 1)
    return "the workers of " + counted(pools.size(), "pool") + " wait" + place +
           " for work queued in each other's";
  std::string pool = scene.label_of(pools.front().queue);
  constexpr std::string_view package = "concurrent.futures.";
  if (pool.starts_with(package)) pool.erase(0, package.size());
  if (workers.size() == 1)
    return "the only worker of " + pool + " waits" + place + " for work queued behind it";
  const std::string all = workers.size() == 2 ? std::string("both workers")
                                              : "all " + counted(workers.size(), "worker");
  return all + " of " + pool + " wait" + place + " for work queued in the same pool";
}

Finding make_finding(const Scene& scene, const std::vector<Pool>& pools) {
  Finding finding;
  finding.pattern = "pool-starvation";
  finding.kind = FindingKind::deadlock;
  finding.cyclic = true;
  const std::vector<ThreadId> workers = in_order(scene, pools);
  const bool closed = nobody_else(scene, scene.thread(workers.front()).process);
  finding.confidence = closed ? Confidence::proved : Confidence::very_likely;
  for (const ThreadId worker : workers) add_member(scene, worker, pools, finding);
  for (const Pool& pool : pools) {
    finding.resources.push_back(pool.queue);
    finding.story.push_back({"Every worker of " + pool_text(scene, pool) + " waits.", {}});
  }
  for (std::size_t i = 0; i < std::min(workers.size(), most_told); ++i)
    finding.story.push_back(tell_wait(scene, workers[i]));
  if (workers.size() > most_told)
    finding.story.push_back(
        {"So do " + counted(workers.size() - most_told, "more worker") + ".", {}});
  const bool one = pools.size() == 1;
  finding.story.push_back(
      {std::string("What they wait for stands in the queue of ") +
           (one ? "their own pool" : "these pools") +
           ", and only a free worker could take it from there: none is, and none will be.",
       {}});
  finding.headline = as_headline("Pool starvation: " + headline_of(scene, pools, workers));
  finding.summary = {finding.story.front().text, finding.story[pools.size()].text,
                     finding.story.back().text};
  add_advice(scene, finding);
  return finding;
}

// Two tasks that run wait for each other: more workers would not help.
Finding make_ring(const Scene& scene, const Ring& ring) {
  Finding finding = ring_finding(scene, ring, "pool-starvation");
  finding.story.back() = {
      "Each of these tasks waits for the result of the next one, and no timeout ends these waits: "
      "none can ever finish.",
      {}};
  finding.summary.back() = finding.story.back().text;
  finding.headline = as_headline(
      ring.steps.size() == 1
          ? site_name(scene, ring.steps.front().thread) + " waits for its own result"
          : "Tasks wait for each other's results: " + site_name(scene, ring.steps.front().thread) +
                " and " + site_name(scene, ring.steps.back().thread));
  finding.advice = {
      {"Let one of the tasks finish without the other's result: pass it what it needs, or wait "
       "for both outside of them.",
       finding.location, ""}};
  return finding;
}

// All steps are results that running tasks owe; what is queued is a pool's story.
bool is_ring_of_tasks(const Scene& scene, const Ring& ring) {
  return std::ranges::all_of(ring.steps, [&](const RingStep& step) {
    if (!is_future(scene, step)) return false;
    const ResourceFact& future = scene.resource(step.resource);
    return !future.part_of.known() && future.feeders.size() == 1;
  });
}

}  // namespace

std::vector<Finding> detect_pool_starvation(const Scene& scene) {
  std::vector<Finding> findings;
  std::vector<Pool> starved;
  for (Pool& pool : find_pools(scene)) {
    if (starves(scene, pool)) starved.push_back(std::move(pool));
  }
  // Workers that wait for something else alone (a lock) are stuck for another reason.
  std::vector<Pool> alone, together;
  for (const Pool& pool : starved) {
    const auto waits_in = [&](const std::vector<Pool>& pools) {
      return std::ranges::any_of(
          pool.workers, [&](ThreadId worker) { return awaited_of(scene, worker, pools).known(); });
    };
    if (waits_in({pool}))
      alone.push_back(pool);
    else if (waits_in(starved))
      together.push_back(pool);
  }
  findings.reserve(alone.size() + 1);
  for (const Pool& pool : alone) findings.push_back(make_finding(scene, {pool}));
  if (together.size() > 1) findings.push_back(make_finding(scene, together));
  for (const Ring& ring : scene.rings) {
    if (is_ring_of_tasks(scene, ring)) findings.push_back(make_ring(scene, ring));
  }
  return findings;
}

}  // namespace coldcase
