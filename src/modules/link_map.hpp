// Modules that NT_FILE does not tell: from the dynamic loader's own list, and by ELF magic in a
// core that lost its notes.
#pragma once

#include "modules/modules.hpp"

namespace coldcase {

// glibc's and musl's struct link_map (link.h): l_addr, l_name, l_ld, l_next, l_prev, found through
// AT_PHDR, PT_DYNAMIC and DT_DEBUG. Adds what is not among the modules yet, and marks those of the
// program's own namespace.
void read_link_maps(const Core& core, const MemoryImage& image, Modules& modules);

// A gcore cut short has neither NT_FILE nor auxv; its library headers are still there.
void add_modules_by_magic(const Core& core, const MemoryImage& image, Modules& modules);

}  // namespace coldcase
