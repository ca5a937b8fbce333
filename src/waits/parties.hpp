// Threads and tasks in one graph. A task goes on only when what it awaits is there and the thread
// that runs its loop comes to it; a thread may wait for what a task holds or produces.
#pragma once

#include "waits/graph.hpp"

namespace coldcase {

struct StuckParties {
  std::vector<bool> threads, tasks;  // by index: can never go on
};
StuckParties find_stuck_parties(const Facts& facts);

// `from` waits for `on`: a resource that `to` holds or would feed, or `to` itself. With nothing in
// `on`, `from` is a task and `to` the thread of its loop, which is stuck.
struct PartyStep {
  Ref from, on, to;
  std::size_t owner = 0;  // into the resource's owners, or feeders
  bool fed = false;
  Confidence confidence = Confidence::hypothesis;
};

struct PartyRing {
  std::vector<PartyStep> steps;
  Confidence confidence = Confidence::hypothesis;
  std::vector<Ref> tangled;  // others that wait for each other together with these
};

// The step leads into the thread that runs a loop: `from` needs that loop to go on.
bool enters_loop(const Facts& facts, const PartyStep& step);
bool blocks_loop(const Facts& facts, const PartyRing& ring);

// The rings with a task in them or with what a loop would produce: for each set of parties that
// all wait for each other one ring, the shortest through its first.
std::vector<PartyRing> find_party_rings(const Facts& facts);

// Who waits for one of these, directly or not, or is a task of one of these threads' loops.
std::vector<Ref> find_parties_behind(const Facts& facts, const std::vector<Ref>& set);

}  // namespace coldcase
