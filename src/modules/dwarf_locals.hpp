// Variables in scope at a place in the code, from DWARF: those whose place in the frame is a plain
// offset or a register. What was split up or computed is left out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "modules/symbols.hpp"

namespace coldcase {

struct LocalVariable {
  enum class Place : std::uint8_t {
    frame,      // at the canonical frame address + offset
    based,      // at a register (DWARF number) + offset
    register_,  // the register is the value
  };
  std::string name;
  std::string type;  // as its class is called, without namespaces
  std::uint64_t size = 0;
  SourceLine declared;
  std::size_t inlined = 0;  // how many inlined functions it is inside of; 0: the real one's own
  Place place = Place::frame;
  std::uint8_t reg = 0;
  std::int64_t offset = 0;
};

// Variables at file address `value` whose type's name begins with one of `types`. Empty without
// DWARF, and for modules whose DWARF is not worth opening.
std::vector<LocalVariable> find_locals(const Module& module, std::uint64_t value,
                                       std::initializer_list<std::string_view> types);

}  // namespace coldcase
