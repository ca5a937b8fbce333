#include "lens/fold.hpp"

#include <algorithm>

namespace coldcase {
namespace {

constexpr std::size_t longest_round = 16;
constexpr std::size_t least_left_out = 100;

// How many frames after the round of `length` at `begin` are further rounds of it, whole ones.
std::size_t repeated(std::span<const std::uint32_t> frames, std::size_t begin, std::size_t length) {
  std::size_t at = begin + length;
  while (at < frames.size() && frames[at] == frames[at - length]) ++at;
  return (at - begin - length) / length * length;
}

}  // namespace

FoldedStack fold_repeats(std::span<const std::uint32_t> frames,
                         const std::function<std::uint32_t(const Repeat&)>& label) {
  FoldedStack folded;
  if (frames.size() <= least_left_out) return folded;
  bool any = false;
  folded.at.reserve(frames.size());
  for (std::size_t i = 0; i < frames.size();) {
    std::size_t length = 0;
    std::size_t left_out = 0;
    for (std::size_t n = 1; n <= longest_round && left_out == 0; ++n) {
      const std::size_t more = repeated(frames, i, n);
      if (more >= least_left_out) left_out = more, length = n;
    }
    const auto begin = static_cast<std::uint32_t>(folded.frames.size());
    const std::size_t kept = std::max<std::size_t>(length, 1);
    for (std::size_t k = 0; k < kept; ++k) folded.frames.push_back(frames[i + k]);
    for (std::size_t k = 0; k < kept + left_out; ++k)
      folded.at.push_back(begin + static_cast<std::uint32_t>(k % kept));
    if (left_out > 0) folded.frames.push_back(label({left_out / length, length}));
    any = any || left_out > 0;
    i += kept + left_out;
  }
  return any ? folded : FoldedStack{};
}

}  // namespace coldcase
