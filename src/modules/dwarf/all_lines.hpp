// Lines from .debug_line alone, where a file's .debug_info is not here.
#pragma once

#include "modules/dwarf/reader.hpp"

namespace coldcase::dwarf {

struct PlainLine {
  std::uint64_t row = 0;  // address of the row of the table that covers the one asked for; 0: none
  Line where;             // of the innermost function there, inlined ones too
};

// One for each of the sorted addresses. Nothing but .debug_info tells which table is whose: all
// are gone through.
std::vector<PlainLine> lines_alone(const Sections& sections, std::span<const std::uint64_t> sorted);

}  // namespace coldcase::dwarf
