#include "waits/graph.hpp"

#include <algorithm>
#include <set>

namespace coldcase {
namespace {

constexpr std::size_t longest_ring = 10'000;

// A wait that time ends is no edge of a deadlock. The GIL's 5 ms sleeps (poll_retry) end nothing.
bool endless(const Wait& wait) {
  return wait.ends != Ends::timeout && wait.on.size() == 1;
}

struct Successor {
  ThreadId thread;
  RingStep step;
  Confidence confidence;
};

std::vector<Successor> successors(const Facts& facts, ThreadId from) {
  std::vector<Successor> next;
  const auto& wait = facts.threads[from.index].wait;
  if (!wait || !endless(*wait)) return next;
  const Ref on = wait->on.front();
  if (const ThreadId ended = on.as<RefKind::thread>(); ended.known()) {
    next.push_back({ended, {from, {}, 0}, wait->confidence});
  }
  const ResourceId resource = on.as<RefKind::resource>();
  if (!resource.known()) return next;
  const auto& owners = facts.resources[resource.index].owners;
  for (std::size_t i = 0; i < owners.size(); ++i) {
    const ThreadId owner = owners[i].by.as<RefKind::thread>();
    if (owner.known()) {
      next.push_back(
          {owner, {from, resource, i}, std::min(wait->confidence, owners[i].confidence)});
    }
  }
  return next;
}

// Depth first from `start`, through threads above it only: each ring is found once, from its lowest
// thread.
class RingSearch {
 public:
  RingSearch(const Facts& facts, ThreadId start, std::vector<Ring>& rings)
      : facts_(facts), start_(start), rings_(rings) {}

  void run() {
    struct Level {
      std::vector<Successor> next;
      std::size_t at = 0;
    };
    std::vector<Level> levels;
    levels.push_back({successors(facts_, start_), 0});
    std::vector<Successor> path;
    while (!levels.empty()) {
      Level& level = levels.back();
      if (level.at >= level.next.size() || levels.size() > longest_ring) {
        levels.pop_back();
        if (!path.empty()) path.pop_back();
        continue;
      }
      const Successor step = level.next[level.at++];
      if (step.thread == start_) {
        path.push_back(step);
        add(path);
        path.pop_back();
      } else if (step.thread > start_ && seen_.insert(step.thread).second) {
        path.push_back(step);
        levels.push_back({successors(facts_, step.thread), 0});
      }
    }
  }

 private:
  void add(const std::vector<Successor>& path) {
    Ring ring;
    ring.confidence = Confidence::proved;
    for (const Successor& step : path) {
      ring.steps.push_back(step.step);
      ring.confidence = std::min(ring.confidence, step.confidence);
    }
    rings_.push_back(std::move(ring));
  }

  const Facts& facts_;
  ThreadId start_;
  std::vector<Ring>& rings_;
  std::set<ThreadId> seen_;
};

}  // namespace

bool Ring::contains(ThreadId thread) const {
  return std::ranges::any_of(steps, [&](const RingStep& step) { return step.thread == thread; });
}

std::vector<Ring> find_rings(const Facts& facts) {
  std::vector<Ring> rings;
  for (std::uint32_t i = 0; i < facts.threads.size(); ++i) {
    RingSearch(facts, ThreadId{i}, rings).run();
  }
  std::ranges::stable_sort(
      rings, [](const Ring& a, const Ring& b) { return a.confidence > b.confidence; });
  return rings;
}

std::vector<ThreadId> find_behind(const Facts& facts, const std::vector<ThreadId>& set) {
  std::set<ThreadId> reached(set.begin(), set.end());
  for (bool grew = true; grew;) {
    grew = false;
    for (std::uint32_t i = 0; i < facts.threads.size(); ++i) {
      if (reached.contains(ThreadId{i})) continue;
      for (const Successor& next : successors(facts, ThreadId{i})) {
        if (reached.contains(next.thread)) grew = reached.insert(ThreadId{i}).second;
      }
    }
  }
  for (const ThreadId thread : set) reached.erase(thread);
  return {reached.begin(), reached.end()};
}

void settle_waits(Facts& facts) {
  for (ResourceFact& resource : facts.resources) {
    std::ranges::sort(resource.waiters);
    resource.waiters.erase(std::unique(resource.waiters.begin(), resource.waiters.end()),
                           resource.waiters.end());
    std::ranges::sort(resource.owners, {}, &Owner::by);
    if (!resource.owners.empty()) {
      resource.owner_unknown_code.clear();
      resource.owner_unknown_text.clear();
    }
  }
  for (ThreadFact& thread : facts.threads) {
    std::ranges::sort(thread.holds, {}, &Hold::resource);
  }
}

}  // namespace coldcase
