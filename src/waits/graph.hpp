// Who waits for whom: the graph over threads and resources, its rings, and who is held up behind
// them.
#pragma once

#include <coldcase/facts.hpp>
#include <vector>

namespace coldcase {

// One step of a ring: the thread waits for the resource, which the next thread of the ring holds;
// or, with no resource, it waits for the next thread's end.
struct RingStep {
  ThreadId thread;
  ResourceId resource;
  std::size_t owner =
      0;  // index into the resource's owners: the claim that the next thread holds it
};

// Threads in a ring, each waiting for what the next holds; a ring of one waits for itself. Begins
// with its lowest thread.
struct Ring {
  std::vector<RingStep> steps;
  Confidence confidence = Confidence::hypothesis;  // of its weakest edge
  bool contains(ThreadId thread) const;
};

// All rings whose waits no timeout ends. Sorted: the surest first, then by thread.
std::vector<Ring> find_rings(const Facts& facts);

// Threads that wait, directly or through others, for a thread of the set; without the set itself.
std::vector<ThreadId> find_behind(const Facts& facts, const std::vector<ThreadId>& set);

// Makes the two sides of the graph agree and puts it in the report's order. Before anything is
// concluded.
void settle_waits(Facts& facts);

}  // namespace coldcase
