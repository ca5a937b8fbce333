// Lines and inlined functions from DWARF, through libdw. Internal to the stage.
#pragma once

#include "modules/symbols.hpp"

namespace coldcase {

// Adds what the debug information knows about the code at `value` (an address of the file): line,
// inlines, and the function's name where no symbol gave one.
void name_from_dwarf(const ElfFile& file, std::uint64_t value, CodeName& name);

}  // namespace coldcase
