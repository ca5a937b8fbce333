// Lines and inlined functions for the addresses of one file: by our own reader of DWARF, or by
// libdw where a file's information is spread over others.
#pragma once

#include "modules/symbols.hpp"

namespace coldcase {

// Adds to each name what is known of the code at the address (of the file) with the same index.
// The addresses are sorted.
void add_places(const ElfFile& file, std::span<const std::uint64_t> sorted,
                std::span<CodeName* const> names);

}  // namespace coldcase
