// Lines and inlined functions from DWARF, through libdw. Internal to the stage.
#pragma once

#include <map>

#include "modules/symbols.hpp"

namespace coldcase {

// Reads one file's debug information; keeps what was found of a unit for the next address in it.
class DwarfNames {
 public:
  explicit DwarfNames(const ElfFile& file) : file_(file) {}

  // Adds what is known about the code at `value` (an address of the file): line, inlines, and the
  // function's name where no symbol gave one.
  void name(std::uint64_t value, CodeName& name);

 private:
  // A function of a unit over one of its ranges.
  struct Function {
    std::uint64_t begin, end;
    Dwarf_Die die;
  };
  struct Unit {
    Dwarf_Die die;
    std::vector<Function> functions;
  };
  Unit* find_unit(std::uint64_t value);
  static void add_functions(Dwarf_Die& parent, int depth, std::vector<Function>& functions);

  const ElfFile& file_;
  std::map<Dwarf_Off, Unit> units_;
};

}  // namespace coldcase
