// Owners of the elfutils handles.
#pragma once

#include <elfutils/libdw.h>
#include <libelf.h>

#include <memory>

namespace coldcase {

struct CloseElf {
  void operator()(Elf* elf) const { elf_end(elf); }
};
struct CloseDwarf {
  void operator()(Dwarf* dwarf) const { dwarf_end(dwarf); }
};
struct CloseCfi {
  void operator()(Dwarf_CFI* cfi) const { dwarf_cfi_end(cfi); }
};
using ElfHandle = std::unique_ptr<Elf, CloseElf>;
using DwarfHandle = std::unique_ptr<Dwarf, CloseDwarf>;
using CfiHandle = std::unique_ptr<Dwarf_CFI, CloseCfi>;

}  // namespace coldcase
