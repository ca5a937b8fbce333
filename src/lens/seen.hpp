// One process as the lenses left it. Kept for all processes of the incident until the holders have
// been looked for: that pass reads the cores once more.
#pragma once

#include <vector>

#include "lens/cpython/cpython.hpp"
#include "lens/glibc/waits.hpp"
#include "lens/stacks.hpp"

namespace coldcase {

// The parts point into each other; a Seen is made once and not moved.
struct Seen {
  explicit Seen(const View& of) : view(of), pthreads(view), native(parse_native_waits(view)) {}
  Seen(const Seen&) = delete;
  Seen& operator=(const Seen&) = delete;

  const View view;
  const Pthreads pthreads;
  const NativeWaits native;
  std::vector<StackMap> stacks;  // one for each thread of the core
  cpython::PythonFacts python;   // nothing in it when there is no CPython

  // The index in the merged stack of a frame of the thread's walk.
  std::optional<std::uint32_t> merged(std::size_t core_thread, std::size_t frame) const {
    const auto& map = stacks[core_thread].native_at;
    return frame < map.size() ? std::optional(map[frame]) : std::nullopt;
  }
};

}  // namespace coldcase
