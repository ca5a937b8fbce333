// Which functions cover addresses of a unit, the functions inlined there, and how they are called.
#pragma once

#include <functional>

#include "modules/dwarf/ranges.hpp"

namespace coldcase::dwarf {

// For each of the sorted addresses the entry of the function around it; nothing where none is.
std::vector<std::optional<Entry>> find_functions(const Unit& unit,
                                                 std::span<const std::uint64_t> sorted,
                                                 Budget& budget);

// The functions inlined around `pc` inside `function`, the outermost first.
std::vector<Entry> find_inlined(const Unit& unit, const Entry& function, std::uint64_t pc,
                                Budget& budget);

// The unit that holds an offset of .debug_info; null when none does.
using FindUnit = std::function<const Unit*(std::uint64_t offset)>;

// The linkage name, else the name: the entry's own or that of what it is an instance of.
std::string_view name_of(const Unit& unit, const Entry& entry, const FindUnit& find_unit);

}  // namespace coldcase::dwarf
