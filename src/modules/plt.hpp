// Calls between modules: the stub that a call lands on, and the slot the loader filled for it.
#pragma once

#include <optional>

#include "image/image.hpp"

namespace coldcase {

// The slot a stub of the PLT jumps through: [endbr64] [bnd] jmp *disp32(%rip), in .plt, .plt.got
// and .plt.sec alike (x86_64). Nothing when there is no such code at `stub`.
std::optional<Addr> find_plt_slot(const MemoryImage& image, Addr stub);

}  // namespace coldcase
