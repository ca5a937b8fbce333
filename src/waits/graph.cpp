#include "waits/graph.hpp"

#include <algorithm>
#include <set>

namespace coldcase {
namespace {

constexpr std::size_t most_steps = 2'000'000;  // of the search: many owners make many paths

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

using Successors = std::vector<std::vector<Successor>>;

// Only threads that someone waits for and that wait for someone can be in a ring: the others go.
Successors trimmed(const Facts& facts) {
  Successors next;
  for (std::uint32_t i = 0; i < facts.threads.size(); ++i)
    next.push_back(successors(facts, ThreadId{i}));
  for (bool removed = true; removed;) {
    removed = false;
    for (auto& steps : next) {
      removed =
          std::erase_if(
              steps, [&](const Successor& step) { return next[step.thread.index].empty(); }) > 0 ||
          removed;
    }
  }
  return next;
}

// Depth first from `start`, through threads above it only: each ring is found once, from its lowest
// thread.
class RingSearch {
 public:
  RingSearch(const Successors& next, std::vector<Ring>& rings) : next_(next), rings_(rings) {}

  void run(ThreadId start) {
    std::vector<std::size_t> at{0};
    std::vector<Successor> path;
    std::set<ThreadId> on_path;
    while (!at.empty() && steps_ < most_steps) {
      const auto& steps = next_[path.empty() ? start.index : path.back().thread.index];
      if (at.back() >= steps.size()) {
        at.pop_back();
        if (!path.empty()) {
          on_path.erase(path.back().thread);
          path.pop_back();
        }
        continue;
      }
      ++steps_;
      const Successor step = steps[at.back()++];
      if (step.thread == start) {
        path.push_back(step);
        add(path);
        path.pop_back();
      } else if (step.thread > start && on_path.insert(step.thread).second) {
        path.push_back(step);
        at.push_back(0);
      }
    }
  }

  // Its ring is found, and no other goes through it.
  bool done(ThreadId thread) const { return done_.contains(thread); }

 private:
  void add(const std::vector<Successor>& path) {
    Ring ring;
    ring.confidence = Confidence::proved;
    bool closed = true;  // nobody in it waits for anyone outside
    for (const Successor& step : path) {
      ring.steps.push_back(step.step);
      ring.confidence = std::min(ring.confidence, step.confidence);
      closed = closed && next_[step.step.thread.index].size() == 1;
    }
    for (const RingStep& step : ring.steps) {
      if (closed) done_.insert(step.thread);
    }
    rings_.push_back(std::move(ring));
  }

  const Successors& next_;
  std::vector<Ring>& rings_;
  std::set<ThreadId> done_;
  std::size_t steps_ = 0;
};

}  // namespace

bool Ring::contains(ThreadId thread) const {
  return std::ranges::any_of(steps, [&](const RingStep& step) { return step.thread == thread; });
}

std::vector<Ring> find_rings(const Facts& facts) {
  std::vector<Ring> rings;
  const Successors next = trimmed(facts);
  RingSearch search(next, rings);
  for (std::uint32_t i = 0; i < facts.threads.size(); ++i) {
    if (!next[i].empty() && !search.done(ThreadId{i})) search.run(ThreadId{i});
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
