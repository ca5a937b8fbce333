#include "diagnose/timed_ring.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "waits/graph.hpp"

namespace coldcase {
namespace {

bool is_timed(const ThreadFact& thread) {
  return thread.wait && thread.wait->ends == Ends::timeout;
}

std::string name_of(const ThreadFact& thread) {
  const std::string tid = thread.tid ? "LWP " + std::to_string(*thread.tid) : "a thread";
  return thread.name.empty() ? tid : thread.name + " (" + tid + ")";
}

// As if no time ran out for those who hold something.
std::vector<Ring> rings_without_timeouts(const Facts& facts) {
  Facts endless = facts;
  for (ThreadFact& thread : endless.threads) {
    if (is_timed(thread) && !thread.holds.empty()) thread.wait->ends = Ends::never;
  }
  return find_rings(endless);
}

}  // namespace

bool note_timed_ring(Analysis& analysis) {
  const Facts& facts = analysis.facts;
  const bool possible = std::ranges::any_of(facts.threads, [](const ThreadFact& thread) {
    return is_timed(thread) && !thread.holds.empty();
  });
  if (!possible) return false;
  const std::vector<Ring> rings = rings_without_timeouts(facts);
  const auto held = [](const Ring& ring) {
    return ring.confidence >= Confidence::likely &&
           std::ranges::all_of(ring.steps,
                               [](const RingStep& s) { return s.resource.known() && !s.fed; });
  };
  const auto ring = std::ranges::find_if(rings, held);
  if (ring == rings.end()) return false;
  constexpr std::size_t most_named = 4;
  std::vector<std::string> names;
  std::vector<Ref> about;
  std::size_t timed = 0;
  for (const RingStep& step : ring->steps) {
    const ThreadFact& thread = facts.threads[step.thread.index];
    timed += is_timed(thread) ? 1 : 0;
    about.emplace_back(step.thread);
    if (names.size() < most_named) names.push_back(name_of(thread));
  }
  const std::string who =
      join(names, ", ") + (ring->steps.size() > most_named ? " and others" : "");
  analysis.facts.notes.push_back(
      {"ring-with-timeout", Severity::warning,
       who +
           (ring->steps.size() == 1 ? " waits for a lock that it holds itself"
                                    : " wait for each other's locks in a ring") +
           "; a timeout ends " + (timed == 1 ? "one of these waits" : "these waits") +
           ". Who then tries again without giving its own lock back goes round for ever.",
       "take the locks in one order everywhere, or give the first one back when the second cannot "
       "be had; a second core some seconds later tells whether they got on.",
       "", std::move(about)});
  return true;
}

}  // namespace coldcase
