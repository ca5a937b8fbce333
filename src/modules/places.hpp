// Lines and inlined functions for the addresses of one file: by our own reader of DWARF, or by
// libdw where a file's information is spread over others.
#pragma once

#include "modules/symbols.hpp"

namespace coldcase {

// Adds to each name what is known of the code at the address (of the file) with the same index.
// The addresses are sorted.
void add_places(const ElfFile& file, std::span<const std::uint64_t> sorted,
                std::span<CodeName* const> names);

// The same from sections without .debug_info: lines, no inlined functions, no names. A name's
// `start` tells where its function begins in the process; a line is believed when one begins there
// too, as compilers have it - sections of another file hardly agree -, and is of the same file.
void add_lines(const ElfFile& sections, std::span<const std::uint64_t> sorted, std::uint64_t bias,
               std::span<CodeName* const> names);

}  // namespace coldcase
