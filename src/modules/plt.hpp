// Calls between modules: the stub that a call lands on, and the slot the loader filled for it.
#pragma once

#include <optional>
#include <string>

#include "image/image.hpp"
#include "modules/elf_file.hpp"

namespace coldcase {

// The slot a stub of the PLT jumps through: [endbr64] [bnd] jmp *disp32(%rip), in .plt, .plt.got
// and .plt.sec alike (x86_64). Nothing when there is no such code at `stub`.
std::optional<Addr> find_plt_slot(const MemoryImage& image, Addr stub);

// A stub of the file's own around its address `value`, with what it leads to.
struct PltStub {
  std::uint64_t begin = 0, size = 0;
  std::string name;
};
std::optional<PltStub> find_plt_stub(const ElfFile& file, std::uint64_t value);

}  // namespace coldcase
