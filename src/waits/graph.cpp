#include "waits/graph.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

#include "waits/members.hpp"
#include "waits/work_queue.hpp"

namespace coldcase {
namespace {

// Of a process that could act, so many threads are followed: its first and some others.
constexpr std::size_t most_followed = 16;

class Ways {
 public:
  Ways(const Facts& facts, const Members& members, ThreadId from)
      : facts_(facts), members_(members), from_(from) {}

  std::vector<Way> find() {
    const auto& wait = facts_.threads[from_.index].wait;
    if (!wait || !endless(*wait)) return {};
    for (const Ref on : wait->on) add(on, wait->confidence);
    if (wait->then.known()) add_resource(wait->then, wait->confidence);
    return std::move(ways_);
  }

 private:
  void add(Ref on, Confidence confidence) {
    if (const ThreadId ended = on.as<RefKind::thread>(); ended.known())
      ways_.push_back({ended, {from_, {}, 0, false, {}}, confidence});
    if (const ProcessId ended = on.as<RefKind::process>(); ended.known()) {
      const ThreadId main = members_.main(ended);
      if (main.known()) ways_.push_back({main, {from_, {}, 0, false, ended}, confidence});
    }
    if (const ResourceId resource = on.as<RefKind::resource>(); resource.known())
      add_resource(resource, confidence);
  }

  void add_resource(ResourceId id, Confidence confidence) {
    const ResourceFact& resource = facts_.resources[id.index];
    const bool fed = resource.owners.empty();
    const std::vector<Owner>& claims = fed ? resource.feeders : resource.owners;
    // A process that has no core here may have the same end open: no feeder is the only one for
    // sure. A future's are all of its own process.
    if (fed && resource.kind != WaitKind::future)
      confidence = std::min(confidence, Confidence::very_likely);
    for (std::size_t i = 0; i < claims.size(); ++i) {
      const Confidence sure = std::min(confidence, claims[i].confidence);
      const ThreadId thread = claims[i].by.as<RefKind::thread>();
      if (thread.known()) ways_.push_back({thread, {from_, id, i, fed, {}}, sure});
      const ProcessId process = claims[i].by.as<RefKind::process>();
      if (!process.known()) continue;
      const auto& all = members_.of(process);
      for (std::size_t k = 0; k < std::min(all.size(), most_followed); ++k)
        ways_.push_back({all[k], {from_, id, i, fed, process}, sure});
    }
  }

  const Facts& facts_;
  const Members& members_;
  ThreadId from_;
  std::vector<Way> ways_;
};

std::vector<std::vector<Way>> all_ways(const Facts& facts) {
  const Members members(facts);
  std::vector<std::vector<Way>> ways;
  ways.reserve(facts.threads.size());
  for (std::uint32_t i = 0; i < facts.threads.size(); ++i)
    ways.push_back(Ways(facts, members, ThreadId{i}).find());
  return ways;
}

constexpr std::size_t most_rings = 10'000;
constexpr std::size_t most_steps = 2'000'000;  // of the search: many owners make many paths

// A future that stands in a pool's queue is fed by each of its workers: where all of them are
// stuck, one way leads round as well as all, and n workers make no n! rings.
void keep_one_feeder(const Facts& facts, std::vector<Way>& ways) {
  std::set<ResourceId> seen;
  std::erase_if(ways, [&](const Way& way) {
    const bool future =
        way.step.fed && facts.resources[way.step.resource.index].kind == WaitKind::future;
    return future && !seen.insert(way.step.resource).second;
  });
}

// Any holder of a semaphore of several permits would do, and here all of them are stuck: one ring
// through those that want one more tells it, n holders make no n! rings. Each waits for the next.
void keep_one_holder(const Facts& facts, std::vector<Way>& ways) {
  std::map<ResourceId, ThreadId> next;
  const auto counts = [&](const Way& way) {
    return way.step.resource.known() && !way.step.fed &&
           facts.resources[way.step.resource.index].kind == WaitKind::semaphore;
  };
  for (const Way& way : ways) {
    if (!counts(way)) continue;
    const auto [kept, first] = next.emplace(way.step.resource, way.thread);
    const ThreadId from = way.step.thread;
    const auto rank = [&](ThreadId to) { return std::tuple{to == from, to < from, to}; };
    if (!first && rank(way.thread) < rank(kept->second)) kept->second = way.thread;
  }
  std::erase_if(ways, [&](const Way& way) {
    return counts(way) && next.at(way.step.resource) != way.thread;
  });
}

// Only threads that are stuck, that someone waits for and that wait for someone can be in a ring.
std::vector<std::vector<Way>> trimmed(const Facts& facts) {
  const std::vector<bool> stuck = find_stuck(facts);
  std::vector<std::vector<Way>> next = all_ways(facts);
  for (std::size_t i = 0; i < next.size(); ++i) {
    if (!stuck[i]) next[i].clear();
  }
  for (bool removed = true; removed;) {
    removed = false;
    for (auto& ways : next) {
      removed =
          std::erase_if(ways, [&](const Way& way) { return next[way.thread.index].empty(); }) > 0 ||
          removed;
    }
  }
  for (auto& ways : next) {
    keep_one_feeder(facts, ways);
    keep_one_holder(facts, ways);
  }
  return next;
}

// Depth first from `start`, through threads above it only: each ring is found once, from its lowest
// thread.
class RingSearch {
 public:
  RingSearch(const std::vector<std::vector<Way>>& next, std::vector<Ring>& rings)
      : next_(next), rings_(rings) {}

  void run(ThreadId start) {
    std::vector<std::size_t> at{0};
    std::vector<Way> path;
    std::set<ThreadId> on_path;
    while (!at.empty() && !cut()) {
      const auto& ways = next_[path.empty() ? start.index : path.back().thread.index];
      if (at.back() >= ways.size()) {
        at.pop_back();
        if (!path.empty()) {
          on_path.erase(path.back().thread);
          path.pop_back();
        }
        continue;
      }
      ++steps_;
      const Way way = ways[at.back()++];
      if (way.thread == start) {
        path.push_back(way);
        add(path);
        path.pop_back();
      } else if (way.thread > start && on_path.insert(way.thread).second) {
        path.push_back(way);
        at.push_back(0);
      }
    }
  }

  // Paths are left that were not gone through.
  bool cut() const { return steps_ >= most_steps || rings_.size() >= most_rings; }

  // Its ring is found, and no other goes through it.
  bool done(ThreadId thread) const { return done_.contains(thread); }

 private:
  void add(const std::vector<Way>& path) {
    Ring ring;
    ring.confidence = Confidence::proved;
    bool closed = true;  // nobody in it waits for anyone outside
    for (const Way& way : path) {
      ring.steps.push_back(way.step);
      ring.confidence = std::min(ring.confidence, way.confidence);
      closed = closed && next_[way.step.thread.index].size() == 1;
    }
    for (const RingStep& step : ring.steps) {
      if (closed) done_.insert(step.thread);
    }
    rings_.push_back(std::move(ring));
  }

  const std::vector<std::vector<Way>>& next_;
  std::vector<Ring>& rings_;
  std::set<ThreadId> done_;
  std::size_t steps_ = 0;
};

// Waiting for work, until it turns out that somebody waits for it.
bool idles(const ThreadFact& thread) {
  return thread.state == ThreadState::idle && thread.wait && endless(*thread.wait);
}

void sort_resources(Facts& facts) {
  for (ResourceFact& resource : facts.resources) {
    std::ranges::sort(resource.waiters);
    resource.waiters.erase(std::unique(resource.waiters.begin(), resource.waiters.end()),
                           resource.waiters.end());
    std::ranges::sort(resource.owners, {}, &Owner::by);
    std::ranges::sort(resource.feeders, {}, &Owner::by);
    if (!resource.owners.empty()) {
      resource.owner_unknown_code.clear();
      resource.owner_unknown_text.clear();
    }
  }
}

}  // namespace

bool Ring::contains(ThreadId thread) const {
  return std::ranges::any_of(steps, [&](const RingStep& step) { return step.thread == thread; });
}

bool is_orphaned(const ResourceFact& resource) {
  static constexpr std::array<std::string_view, 14> orphans{
      "owner_ended",      "owner_before_fork",  "owner_in_parent", "no_living_holder",
      "owner_died",       "team_not_copied",    "team_in_parent",  "holder_not_copied",
      "holder_in_parent", "helpers_not_copied", "order_lost",      "worker_died",
      "handler_ended",    "pool_terminated"};
  return resource.owners.empty() &&
         std::ranges::find(orphans, resource.owner_unknown_code) != orphans.end();
}

bool is_queued(const Facts& facts, const ResourceFact& future) {
  return future.kind == WaitKind::future && future.part_of.known() &&
         facts.resources[future.part_of.index].kind == WaitKind::queue;
}

bool may_be_shared(const Facts& facts, const ResourceFact& resource) {
  const auto other_place = [&](const Place& place) {
    return place.process != resource.at.front().process;
  };
  const auto outside = [&](const Owner& feeder) {
    const ThreadId thread = feeder.by.as<RefKind::thread>();
    return !thread.known() || resource.at.empty() ||
           facts.threads[thread.index].process != resource.at.front().process;
  };
  // Waiters of these sleep on words of their own process, wherever the object lies.
  const bool local =
      resource.implementation.starts_with("std::") || resource.implementation.starts_with("absl::");
  return (resource.at.empty() && !local) || std::ranges::any_of(resource.at, other_place) ||
         std::ranges::any_of(resource.feeders, outside) ||
         resource.implementation.starts_with("multiprocessing.") ||
         std::ranges::any_of(resource.words,
                             [](const MemoryWord& word) { return word.name == "shared"; });
}

bool has_several_processes(const Facts& facts) {
  std::size_t captured = 0;
  for (const ProcessFact& process : facts.processes) {
    captured += process.captured ? 1 : 0;
    if (captured > 1) return true;
  }
  return false;
}

bool has_side_cars(const Facts& facts) {
  return std::ranges::all_of(facts.processes, [&](const ProcessFact& process) {
    const ProcessId id{static_cast<std::uint32_t>(&process - facts.processes.data())};
    return !process.captured || std::ranges::any_of(facts.inputs, [&](const InputFact& input) {
      return input.kind == InputKind::sidecar && input.process == id;
    });
  });
}

ThreadId main_thread(const Facts& facts, ProcessId process) {
  return Members(facts).main(process);
}

std::vector<Way> ways_on(const Facts& facts, ThreadId from) {
  return Ways(facts, Members(facts), from).find();
}

std::vector<Ring> find_rings(const Facts& facts, bool* cut) {
  std::vector<Ring> rings;
  const auto next = trimmed(facts);
  RingSearch search(next, rings);
  for (std::uint32_t i = 0; i < facts.threads.size(); ++i) {
    if (!next[i].empty() && !search.done(ThreadId{i})) search.run(ThreadId{i});
  }
  if (cut != nullptr) *cut = search.cut();
  std::ranges::stable_sort(
      rings, [](const Ring& a, const Ring& b) { return a.confidence > b.confidence; });
  return rings;
}

namespace {

// By thread: who waits for it directly.
std::vector<std::vector<ThreadId>> direct_waiters(const std::vector<std::vector<Way>>& ways) {
  std::vector<std::vector<ThreadId>> waiters(ways.size());
  for (std::uint32_t i = 0; i < ways.size(); ++i) {
    for (const Way& way : ways[i]) waiters[way.thread.index].push_back({i});
  }
  return waiters;
}

std::vector<ThreadId> reach(const std::vector<std::vector<ThreadId>>& waiters,
                            const std::vector<ThreadId>& set) {
  std::set<ThreadId> reached(set.begin(), set.end());
  std::vector<ThreadId> open(set);
  while (!open.empty()) {
    const ThreadId at = open.back();
    open.pop_back();
    for (const ThreadId waiter : waiters[at.index]) {
      if (reached.insert(waiter).second) open.push_back(waiter);
    }
  }
  for (const ThreadId thread : set) reached.erase(thread);
  return {reached.begin(), reached.end()};
}

}  // namespace

std::vector<ThreadId> find_behind(const Facts& facts, const std::vector<ThreadId>& set) {
  return reach(direct_waiters(all_ways(facts)), set);
}

static bool is_held(const Way& way) {
  return way.step.resource.known() && !way.step.fed;
}

std::vector<Root> find_roots(const Facts& facts) {
  const auto ways = all_ways(facts);
  std::map<ThreadId, Root> roots;
  for (const auto& from : ways) {
    for (const Way& way : from) {
      if (!ways[way.thread.index].empty()) continue;
      Root& root = roots[way.thread];
      root.thread = way.thread;
      root.holds = root.holds || is_held(way);
      root.confidence = std::max(root.confidence, way.confidence);
    }
  }
  std::vector<Root> found;
  const auto waiters = direct_waiters(ways);
  for (auto& [thread, root] : roots) {
    root.behind = reach(waiters, {thread});
    root.blocks = root.holds || std::ranges::any_of(root.behind, [&](ThreadId waiter) {
                    return std::ranges::any_of(ways[waiter.index], is_held);
                  });
    found.push_back(std::move(root));
  }
  std::ranges::stable_sort(
      found, [](const Root& a, const Root& b) { return a.behind.size() > b.behind.size(); });
  return found;
}

void settle_waits(Facts& facts) {
  settle_pools(facts);
  sort_resources(facts);
  for (ThreadFact& thread : facts.threads) {
    std::ranges::sort(thread.holds, {}, &Hold::resource);
  }
  // Somebody waits for it: then it is not idle.
  for (const auto& from : all_ways(facts)) {
    for (const Way& way : from) {
      ThreadFact& target = facts.threads[way.thread.index];
      const bool holds = way.step.resource.known() && !way.step.fed;
      if (holds && idles(target)) target.state = ThreadState::blocked;
    }
  }
}

}  // namespace coldcase
