#include "waits/parties.hpp"

#include <algorithm>
#include <deque>

#include "waits/members.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_edges = 2'000'000;

// Parties by number: threads first, then tasks.
class PartyGraph {
 public:
  explicit PartyGraph(const Facts& facts)
      : facts_(facts), members_(facts), next_(facts.threads.size() + facts.tasks.size()) {
    for (std::size_t node = 0; node < next_.size(); ++node) add_steps(node);
  }

  std::size_t size() const { return next_.size(); }
  const std::vector<PartyStep>& steps(std::size_t node) const { return next_[node]; }

  std::size_t number(Ref party) const {
    return party.kind == RefKind::task ? facts_.threads.size() + party.index : party.index;
  }
  Ref party(std::size_t node) const {
    const auto index = static_cast<std::uint32_t>(node);
    if (node < facts_.threads.size()) return ThreadId{index};
    return TaskId{index - static_cast<std::uint32_t>(facts_.threads.size())};
  }

  // Leaves only what can never go on.
  void trim(const StuckParties& stuck) {
    const auto is_stuck = [&](Ref ref) {
      return ref.kind == RefKind::task ? stuck.tasks[ref.index] : stuck.threads[ref.index];
    };
    for (std::size_t node = 0; node < next_.size(); ++node) {
      if (!is_stuck(party(node))) next_[node].clear();
      std::erase_if(next_[node], [&](const PartyStep& step) { return !is_stuck(step.to); });
    }
  }

 private:
  void add_steps(std::size_t node) {
    const Ref from = party(node);
    const TaskId task = from.as<RefKind::task>();
    const auto& wait =
        task.known() ? facts_.tasks[task.index].wait : facts_.threads[from.index].wait;
    if (wait && endless(*wait)) {
      for (const Ref on : wait->on) add(node, on, wait->confidence);
      if (wait->then.known()) add(node, wait->then, wait->confidence);
    }
    if (task.known() && facts_.tasks[task.index].thread.known())
      put(node, {from, {}, facts_.tasks[task.index].thread, 0, false, Confidence::proved});
  }

  void put(std::size_t node, PartyStep step) {
    if (++edges_ <= most_edges) next_[node].push_back(step);
  }

  void add(std::size_t node, Ref on, Confidence confidence) {
    const Ref from = party(node);
    if (on.kind == RefKind::thread || on.kind == RefKind::task)
      return put(node, {from, on, on, 0, false, confidence});
    if (const ProcessId process = on.as<RefKind::process>(); process.known()) {
      const ThreadId main = members_.main(process);
      if (main.known()) put(node, {from, on, main, 0, false, confidence});
      return;
    }
    const ResourceId id = on.as<RefKind::resource>();
    if (!id.known()) return;
    const ResourceFact& resource = facts_.resources[id.index];
    const bool fed = resource.owners.empty();
    const std::vector<Owner>& claims = fed ? resource.feeders : resource.owners;
    // Whatever runs a call or coroutine is the only one to give its future a result; the end of a
    // pipe may be open elsewhere.
    if (fed && resource.kind != WaitKind::future)
      confidence = std::min(confidence, Confidence::very_likely);
    for (std::size_t i = 0; i < claims.size(); ++i) {
      const RefKind kind = claims[i].by.kind;
      if (kind == RefKind::thread || kind == RefKind::task)
        put(node, {from, on, claims[i].by, i, fed, std::min(confidence, claims[i].confidence)});
    }
  }

  const Facts& facts_;
  const Members members_;
  std::vector<std::vector<PartyStep>> next_;
  std::size_t edges_ = 0;
};

// Sets of parties that all reach each other (Tarjan's algorithm, without recursion).
class Tangles {
 public:
  explicit Tangles(const PartyGraph& graph)
      : graph_(graph), order_(graph.size()), low_(graph.size()), on_stack_(graph.size()) {}

  std::vector<std::vector<std::size_t>> find() {
    for (std::size_t node = 0; node < graph_.size(); ++node) {
      if (order_[node] == 0) visit(node);
    }
    return std::move(found_);
  }

 private:
  struct Place {
    std::size_t node, next;
  };

  void visit(std::size_t start) {
    std::vector<Place> path{{start, 0}};
    enter(start);
    while (!path.empty()) {
      Place& place = path.back();
      const auto& steps = graph_.steps(place.node);
      if (place.next < steps.size()) {
        const std::size_t to = graph_.number(steps[place.next++].to);
        if (order_[to] == 0) {
          enter(to);
          path.push_back({to, 0});
        } else if (on_stack_[to]) {
          low_[place.node] = std::min(low_[place.node], order_[to]);
        }
        continue;
      }
      const std::size_t node = place.node;
      path.pop_back();
      if (!path.empty()) low_[path.back().node] = std::min(low_[path.back().node], low_[node]);
      if (low_[node] == order_[node]) leave(node);
    }
  }
  void enter(std::size_t node) {
    order_[node] = low_[node] = ++count_;
    stack_.push_back(node);
    on_stack_[node] = true;
  }
  void leave(std::size_t node) {
    std::vector<std::size_t> tangle;
    for (bool last = false; !last;) {
      last = stack_.back() == node;
      on_stack_[stack_.back()] = false;
      tangle.push_back(stack_.back());
      stack_.pop_back();
    }
    const bool itself = std::ranges::any_of(
        graph_.steps(node), [&](const PartyStep& step) { return graph_.number(step.to) == node; });
    if (tangle.size() == 1 && !itself) return;
    std::ranges::sort(tangle);
    found_.push_back(std::move(tangle));
  }

  const PartyGraph& graph_;
  std::vector<std::size_t> order_, low_;
  std::vector<bool> on_stack_;
  std::vector<std::size_t> stack_;
  std::vector<std::vector<std::size_t>> found_;
  std::size_t count_ = 0;
};

// The shortest way from the first of them back to itself.
std::vector<PartyStep> shortest_ring(const PartyGraph& graph, const std::vector<std::size_t>& of) {
  const std::size_t start = of.front();
  std::vector<const PartyStep*> came(graph.size());
  std::deque<std::size_t> open{start};
  const auto trace = [&](const PartyStep& last) {
    std::vector<PartyStep> ring{last};
    for (std::size_t at = graph.number(last.from); at != start; at = graph.number(came[at]->from))
      ring.push_back(*came[at]);
    std::ranges::reverse(ring);
    return ring;
  };
  while (!open.empty()) {
    const std::size_t at = open.front();
    open.pop_front();
    for (const PartyStep& step : graph.steps(at)) {
      const std::size_t to = graph.number(step.to);
      if (to == start) return trace(step);
      if (came[to] != nullptr || !std::ranges::binary_search(of, to)) continue;
      came[to] = &step;
      open.push_back(to);
    }
  }
  return {};
}

}  // namespace

bool enters_loop(const Facts& facts, const PartyStep& step) {
  if (!step.on.known()) return true;
  const ResourceId id = step.on.as<RefKind::resource>();
  if (!step.fed || step.to.kind != RefKind::thread || !id.known()) return false;
  const ResourceFact& resource = facts.resources[id.index];
  return resource.kind == WaitKind::future && resource.part_of.known() &&
         facts.resources[resource.part_of.index].kind == WaitKind::event_loop;
}

bool blocks_loop(const Facts& facts, const PartyRing& ring) {
  return std::ranges::any_of(ring.steps,
                             [&](const PartyStep& step) { return enters_loop(facts, step); });
}

std::vector<PartyRing> find_party_rings(const Facts& facts) {
  PartyGraph graph(facts);
  graph.trim(find_stuck_parties(facts));
  std::vector<PartyRing> rings;
  for (const std::vector<std::size_t>& tangle : Tangles(graph).find()) {
    PartyRing ring;
    ring.steps = shortest_ring(graph, tangle);
    const bool told = std::ranges::any_of(ring.steps, [&](const PartyStep& step) {
      return step.from.kind == RefKind::task || enters_loop(facts, step);
    });
    if (!told) continue;
    ring.confidence = Confidence::proved;
    std::vector<std::size_t> on_ring;
    for (const PartyStep& step : ring.steps) {
      ring.confidence = std::min(ring.confidence, step.confidence);
      on_ring.push_back(graph.number(step.from));
    }
    for (const std::size_t node : tangle) {
      if (std::ranges::find(on_ring, node) == on_ring.end())
        ring.tangled.push_back(graph.party(node));
    }
    rings.push_back(std::move(ring));
  }
  std::ranges::stable_sort(rings, [](const PartyRing& a, const PartyRing& b) {
    if (a.confidence != b.confidence) return a.confidence > b.confidence;
    return a.steps.front().from < b.steps.front().from;
  });
  return rings;
}

std::vector<Ref> find_parties_behind(const Facts& facts, const std::vector<Ref>& set) {
  const PartyGraph graph(facts);
  std::vector<std::vector<std::size_t>> waiters(graph.size());
  for (std::size_t node = 0; node < graph.size(); ++node) {
    for (const PartyStep& step : graph.steps(node)) waiters[graph.number(step.to)].push_back(node);
  }
  std::vector<bool> reached(graph.size());
  std::vector<std::size_t> open;
  for (const Ref party : set) {
    if (party.kind != RefKind::thread && party.kind != RefKind::task) continue;
    open.push_back(graph.number(party));
    reached[open.back()] = true;
  }
  std::vector<Ref> behind;
  while (!open.empty()) {
    const std::size_t at = open.back();
    open.pop_back();
    for (const std::size_t waiter : waiters[at]) {
      if (reached[waiter]) continue;
      reached[waiter] = true;
      behind.push_back(graph.party(waiter));
      open.push_back(waiter);
    }
  }
  std::ranges::sort(behind);
  return behind;
}

}  // namespace coldcase
