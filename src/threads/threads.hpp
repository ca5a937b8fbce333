// The threads of a core with their stacks and the names of every distinct pc.
#pragma once

#include <vector>

#include "modules/symbols.hpp"
#include "threads/unwind.hpp"

namespace coldcase {

struct Threads {
  Rules rules;
  std::vector<Walk> walks;      // one for each thread of the core, in the core's order
  std::vector<CodeName> names;  // one for each row of `rules`
  const CodeName& name_of(const WalkFrame& frame) const { return names[frame.row]; }
  Addr pc_of(const WalkFrame& frame) const { return rules.row(frame.row).pc; }
};

Threads unwind_threads(const Core& core, const MemoryImage& image, const Modules& modules);

}  // namespace coldcase
