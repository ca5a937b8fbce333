// Deep recursion as one round of frames and how often it goes on: 100,000 frames are a dozen.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace coldcase {

// `times` more rounds of the `of` frames before it.
struct Repeat {
  std::uint64_t times = 0;
  std::uint64_t of = 0;
  friend bool operator==(const Repeat&, const Repeat&) = default;
};

struct FoldedStack {
  std::vector<std::uint32_t> frames;
  std::vector<std::uint32_t> at;  // index of a frame before -> after; one left out: of its likeness
};

// Folds what repeats with a round of up to 16 frames and leaves out at least 100. `label` gives the
// frame that stands for a repeat. Empty when nothing is folded.
FoldedStack fold_repeats(std::span<const std::uint32_t> frames,
                         const std::function<std::uint32_t(const Repeat&)>& label);

}  // namespace coldcase
