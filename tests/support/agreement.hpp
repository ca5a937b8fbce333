// path, wait, holds, owners and waiters are one graph written for different readers. This finds
// where they disagree: for detectors' tests, and for every report a test makes.
#pragma once

#include <algorithm>
#include <coldcase/analysis.hpp>
#include <string>
#include <vector>

namespace coldcase::test {

// Sentences about disagreements; empty when all is well.
inline std::vector<std::string> disagreements(const Analysis& analysis) {
  std::vector<std::string> found;
  const Facts& facts = analysis.facts;
  const auto has = [](const auto& values, const auto& value) {
    return std::find(values.begin(), values.end(), value) != values.end();
  };
  const auto owned_by = [](const ResourceFact& resource, Ref by) {
    return std::any_of(resource.owners.begin(), resource.owners.end(),
                       [by](const Owner& owner) { return owner.by == by; });
  };
  const auto say = [&found](const char* what, Ref from, Ref to) {
    found.push_back(std::string(what) + ": " + std::to_string(from.index) + " -> " +
                    std::to_string(to.index));
  };
  for (std::uint32_t i = 0; i < facts.threads.size(); ++i) {
    const ThreadFact& thread = facts.threads[i];
    const Ref self = ThreadId{i};
    for (const Hold& hold : thread.holds) {
      if (hold.resource.known() && !owned_by(facts.resources[hold.resource.index], self))
        say("held, but the resource does not name this owner", self, hold.resource);
    }
    if (!thread.wait) continue;
    for (const Ref on : thread.wait->on) {
      const ResourceId id = on.as<RefKind::resource>();
      if (id.known() && !has(facts.resources[id.index].waiters, self))
        say("waited for, but the resource does not name this waiter", self, on);
    }
  }
  for (std::uint32_t i = 0; i < facts.resources.size(); ++i) {
    const Ref self = ResourceId{i};
    for (const Owner& owner : facts.resources[i].owners) {
      const ThreadId id = owner.by.as<RefKind::thread>();
      if (!id.known()) continue;
      const std::vector<Hold>& holds = facts.threads[id.index].holds;
      if (std::none_of(holds.begin(), holds.end(),
                       [i](const Hold& hold) { return hold.resource.index == i; }))
        say("owned, but the thread does not hold it", self, owner.by);
    }
    for (const Ref waiter : facts.resources[i].waiters) {
      const ThreadId id = waiter.as<RefKind::thread>();
      if (!id.known()) continue;
      const std::optional<Wait>& wait = facts.threads[id.index].wait;
      if (!wait || (!has(wait->on, self) && wait->at.index != i))
        say("names a waiter that does not wait for it", self, waiter);
    }
  }
  for (const Finding& finding : analysis.findings) {
    for (const Edge& edge : finding.path) {
      const ThreadId from = edge.from.as<RefKind::thread>();
      const ResourceId resource = edge.from.as<RefKind::resource>();
      if (edge.relation == Relation::waits_for && from.known()) {
        const std::optional<Wait>& wait = facts.threads[from.index].wait;
        if (!wait || !has(wait->on, edge.to)) say("in the path, but no wait", edge.from, edge.to);
      }
      if (edge.relation == Relation::held_by && resource.known() &&
          !owned_by(facts.resources[resource.index], edge.to))
        say("in the path, but no owner", edge.from, edge.to);
    }
  }
  return found;
}

}  // namespace coldcase::test
