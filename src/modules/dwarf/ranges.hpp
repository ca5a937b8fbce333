// The addresses that an entry of DWARF covers: DW_AT_low_pc and DW_AT_high_pc, or a list
// (.debug_ranges up to DWARF 4, .debug_rnglists from 5 on).
#pragma once

#include "modules/dwarf/unit.hpp"

namespace coldcase::dwarf {

struct PcRange {
  std::uint64_t begin = 0, end = 0;
  bool covers(std::uint64_t pc) const { return begin <= pc && pc < end; }
};

// In the order of the list; empty ones, and those at address 0 (code that the linker threw away),
// are left out. Every row read is a step of the budget.
std::vector<PcRange> ranges_of(const Unit& unit, const Entry& entry, Budget& budget);

}  // namespace coldcase::dwarf
