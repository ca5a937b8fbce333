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

  // The function around `value`, then the blocks and inlined functions inside it that cover
  // `value`, the outermost first. The handles live as long as the file.
  std::vector<Dwarf_Die> scopes_at(std::uint64_t value);

 private:
  // A function of a unit over one of its ranges.
  struct Function {
    std::uint64_t begin, end;
    Dwarf_Die die;
  };
  struct Unit {
    Dwarf_Die die;
    std::vector<Function> functions;
    bool with_local = false;  // those inside of functions, too
  };
  Unit* find_unit(std::uint64_t value);
  // Null when none covers `value`. Valid until the next call.
  static Dwarf_Die* find_function(Unit& unit, std::uint64_t value);
  static void add_functions(Dwarf_Die& parent, int depth, bool local,
                            std::vector<Function>& functions);

  const ElfFile& file_;
  std::map<Dwarf_Off, Unit> units_;
};

// The file with the module's DWARF; null when there is none, or it is not worth opening.
const ElfFile* dwarf_of(const Module& module);

}  // namespace coldcase
