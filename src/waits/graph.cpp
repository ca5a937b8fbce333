#include "waits/graph.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace coldcase {
namespace {

// A wait that time ends is no edge of a deadlock. The GIL's 5 ms sleeps (poll_retry) end nothing.
bool endless(const Wait& wait) {
  return wait.ends != Ends::timeout;
}

// The threads of each process, its first in front: a process ends, and acts, with that one.
class Members {
 public:
  explicit Members(const Facts& facts) : threads_(facts.processes.size()) {
    for (std::uint32_t i = 0; i < facts.threads.size(); ++i) {
      const ProcessId process = facts.threads[i].process;
      if (process.known() && process.index < threads_.size())
        threads_[process.index].push_back({i});
    }
    for (std::uint32_t p = 0; p < threads_.size(); ++p) put_main_first(facts, {p});
  }

  const std::vector<ThreadId>& of(ProcessId process) const {
    static const std::vector<ThreadId> none;
    return process.known() && process.index < threads_.size() ? threads_[process.index] : none;
  }
  ThreadId main(ProcessId process) const {
    const auto& all = of(process);
    return all.empty() ? ThreadId{} : all.front();
  }

 private:
  void put_main_first(const Facts& facts, ProcessId process) {
    auto& all = threads_[process.index];
    const auto rank = [&](ThreadId id) {
      const ThreadFact& thread = facts.threads[id.index];
      const bool first = thread.tid && facts.processes[process.index].pid == thread.tid;
      return std::pair{!first, thread.captured ? thread.tid.value_or(INT64_MAX) : INT64_MAX};
    };
    const auto main = std::ranges::min_element(all, {}, rank);
    if (main != all.end() && facts.threads[main->index].captured)
      std::rotate(all.begin(), main, main + 1);
  }

  std::vector<std::vector<ThreadId>> threads_;
};

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
    // sure.
    if (fed) confidence = std::min(confidence, Confidence::very_likely);
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

// The greatest set of threads none of which can be set free: begin with all that wait without end,
// and take out, until nothing changes, who has a way out.
class StuckSearch {
 public:
  explicit StuckSearch(const Facts& facts)
      : facts_(facts), members_(facts), stuck_(facts.threads.size()) {}

  std::vector<bool> run() {
    for (std::size_t i = 0; i < stuck_.size(); ++i) {
      const auto& wait = facts_.threads[i].wait;
      stuck_[i] = wait && endless(*wait) && !wait->on.empty();
    }
    for (bool changed = true; changed;) {
      changed = false;
      for (std::uint32_t i = 0; i < stuck_.size(); ++i) {
        if (!stuck_[i] || closed(*facts_.threads[i].wait)) continue;
        stuck_[i] = false;
        changed = true;
      }
    }
    return std::move(stuck_);
  }

 private:
  bool stuck(ThreadId id) const { return id.known() && stuck_[id.index]; }

  bool closed(const Wait& wait) const {
    if (wait.then.known() && closed(wait.then)) return true;
    return std::ranges::all_of(wait.on, [&](Ref on) { return closed(on); });
  }
  bool closed(Ref on) const {
    if (const ThreadId id = on.as<RefKind::thread>(); id.known()) return stuck(id);
    if (const ProcessId id = on.as<RefKind::process>(); id.known()) return stuck(members_.main(id));
    const ResourceId id = on.as<RefKind::resource>();
    return id.known() && closed(id);
  }
  bool closed(ResourceId id) const {
    const ResourceFact& resource = facts_.resources[id.index];
    if (is_orphaned(resource)) return true;
    const auto acts_for = [&](const Owner& owner) { return party_stuck(owner.by); };
    // Claims about one owner exclude each other, and readers have to leave all: one that cannot is
    // enough. Any holder of a counting semaphore may release it.
    if (!resource.owners.empty())
      return resource.kind == WaitKind::semaphore ? std::ranges::all_of(resource.owners, acts_for)
                                                  : std::ranges::any_of(resource.owners, acts_for);
    return !resource.feeders.empty() && std::ranges::all_of(resource.feeders, acts_for);
  }
  bool party_stuck(Ref by) const {
    if (const ThreadId id = by.as<RefKind::thread>(); id.known()) return stuck(id);
    const ProcessId process = by.as<RefKind::process>();
    if (!process.known() || !facts_.processes[process.index].captured) return false;
    const auto& members = members_.of(process);
    return !members.empty() && std::ranges::all_of(members, [&](ThreadId id) { return stuck(id); });
  }

  const Facts& facts_;
  const Members members_;
  std::vector<bool> stuck_;
};

constexpr std::size_t most_rings = 10'000;
constexpr std::size_t most_steps = 2'000'000;  // of the search: many owners make many paths

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
  static constexpr std::array<std::string_view, 5> orphans{
      "owner_ended", "owner_before_fork", "owner_in_parent", "no_living_holder", "owner_died"};
  return resource.owners.empty() &&
         std::ranges::find(orphans, resource.owner_unknown_code) != orphans.end();
}

bool has_several_processes(const Facts& facts) {
  std::size_t captured = 0;
  for (const ProcessFact& process : facts.processes) {
    captured += process.captured ? 1 : 0;
    if (captured > 1) return true;
  }
  return false;
}

ThreadId main_thread(const Facts& facts, ProcessId process) {
  return Members(facts).main(process);
}

std::vector<Way> ways_on(const Facts& facts, ThreadId from) {
  return Ways(facts, Members(facts), from).find();
}

std::vector<bool> find_stuck(const Facts& facts) {
  return StuckSearch(facts).run();
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
