// The spelling of ids in a report, and which of them point at something.
#pragma once

#include <array>
#include <coldcase/analysis.hpp>
#include <string>

namespace coldcase::report {

inline constexpr std::size_t ref_kinds = 12;
inline constexpr std::uint64_t largest_integer = (std::uint64_t{1} << 53) - 1;
inline constexpr std::size_t text_limit = 1024;
inline constexpr std::size_t long_text_limit = 2048;

using Counts = std::array<std::uint32_t, ref_kinds>;

// How many objects of each kind an analysis has.
Counts counts_of(const Analysis& analysis);

// "t3"; empty for a reference to nothing.
std::string spell(const Counts& counts, Ref ref);
std::string spell(RefKind kind, std::uint32_t index);

inline bool points(const Counts& counts, Ref ref) {
  return ref.known() && ref.index < counts[static_cast<std::size_t>(ref.kind)];
}

}  // namespace coldcase::report
