// Which functions cover addresses of a unit, and the functions inlined there.
#pragma once

#include "modules/dwarf/ranges.hpp"

namespace coldcase::dwarf {

// For each of the sorted addresses the entry of the function around it; nothing where none is.
std::vector<std::optional<Entry>> find_functions(const Unit& unit,
                                                 std::span<const std::uint64_t> sorted,
                                                 Budget& budget);

// The functions inlined around `pc` inside `function`, the outermost first.
std::vector<Entry> find_inlined(const Unit& unit, const Entry& function, std::uint64_t pc,
                                Budget& budget);

}  // namespace coldcase::dwarf
