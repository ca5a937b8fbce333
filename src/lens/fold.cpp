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

// The shortest round at `begin` that is worth folding; nothing where there is none.
Repeat round_at(std::span<const std::uint32_t> frames, std::size_t begin) {
  for (std::size_t n = 1; n <= longest_round; ++n) {
    if (frames.size() - begin < n + least_left_out) break;
    const std::size_t left_out = repeated(frames, begin, n);
    if (left_out >= least_left_out) return {left_out / n, n};
  }
  return {};
}

}  // namespace

FoldedStack fold_repeats(std::span<const std::uint32_t> frames,
                         const std::function<std::uint32_t(const Repeat&)>& label) {
  FoldedStack folded;
  std::size_t first = 0;  // most stacks have nothing to fold
  while (first < frames.size() && round_at(frames, first).of == 0) ++first;
  if (first == frames.size()) return folded;
  folded.at.reserve(frames.size());
  for (std::size_t i = 0; i < frames.size();) {
    const Repeat repeat = round_at(frames, i);
    const auto begin = static_cast<std::uint32_t>(folded.frames.size());
    const std::size_t kept = std::max<std::size_t>(repeat.of, 1);
    const std::size_t left_out = repeat.times * repeat.of;
    for (std::size_t k = 0; k < kept; ++k) folded.frames.push_back(frames[i + k]);
    for (std::size_t k = 0; k < kept + left_out; ++k)
      folded.at.push_back(begin + static_cast<std::uint32_t>(k % kept));
    if (left_out > 0) folded.frames.push_back(label(repeat));
    i += kept + left_out;
  }
  return folded;
}

}  // namespace coldcase
