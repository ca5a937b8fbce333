// What a detector reads, and the words it makes of it. Values only: no core behind them.
#pragma once

#include <coldcase/analysis.hpp>
#include <string>
#include <vector>

#include "waits/graph.hpp"

namespace coldcase {

struct Scene {
  const Facts& facts;
  const std::vector<Ring>& rings;

  const ThreadFact& thread(ThreadId id) const { return facts.threads[id.index]; }
  const ResourceFact& resource(ResourceId id) const { return facts.resources[id.index]; }

  // "MainThread (LWP 885)", "LWP 898".
  std::string name_of(ThreadId id) const;
  // Without the number: for headlines, which name no process. Empty when the thread has no name.
  std::string plain_name_of(ThreadId id) const;
  // The innermost frame of the user's own code; null when there is none.
  const Frame* site_of(ThreadId id) const;
  const Frame* frame_of(ThreadId id, std::optional<std::uint32_t> index) const;
  // "transfer at bank.py:12"; the function alone without a line; empty for null.
  static std::string text_of(const Frame* frame);
  static std::optional<Location> location_of(const Frame* frame);
  std::string label_of(ResourceId id) const { return resource(id).label; }
};

// A finding's path and members from a ring.
void take_ring(const Scene& scene, const Ring& ring, Finding& finding);

// "waits for the GIL" / "waits to write-lock <label>".
std::string wait_phrase(const Scene& scene, ThreadId id);

// What a headline may be: without addresses, cut to 120 bytes.
std::string as_headline(std::string text);

}  // namespace coldcase
