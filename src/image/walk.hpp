// The one way to follow a linked structure in dead memory: bounded, loops noticed, faults returned.
#pragma once

#include <coldcase/result.hpp>
#include <cstddef>
#include <optional>
#include <unordered_set>

namespace coldcase {

struct WalkEnd {
  enum class Why : std::uint8_t { finished, loop, limit, fault };
  Why why = Why::finished;
  std::size_t visited = 0;
  Fault fault;
};

// Visits `head` and what `next(at)` (a Read<Addr>; null ends the walk) gives after it. `visit(at)`
// returns false to stop early, which counts as finished.
template <class Next, class Visit>
WalkEnd walk_list(Addr head, std::size_t limit, Next next, Visit visit) {
  WalkEnd end;
  std::unordered_set<std::uint64_t> seen;
  for (Addr at = head; at.value != 0;) {
    if (end.visited >= limit) return {WalkEnd::Why::limit, end.visited, {}};
    if (!seen.insert(at.value).second) return {WalkEnd::Why::loop, end.visited, {}};
    ++end.visited;
    if (!visit(at)) return end;
    const Read<Addr> following = next(at);
    if (!following) return {WalkEnd::Why::fault, end.visited, following.error()};
    at = *following;
  }
  return end;
}

}  // namespace coldcase
