// Arguments and variables in scope at a place in the code, from DWARF: those whose place in the
// frame is a plain offset or a register. What was split up, computed or optimized out is left out.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "modules/symbols.hpp"

namespace coldcase {

struct LocalVariable {
  enum class Place : std::uint8_t {
    frame,      // at the canonical frame address + offset
    based,      // at a register (DWARF number) + offset
    register_,  // the register is the value
  };
  // What its bytes are; `text` points at char, `letters` is an array of them.
  enum class Kind : std::uint8_t {
    other,
    signed_,
    unsigned_,
    boolean,
    floating,
    pointer,
    text,
    letters,
    enumeration
  };
  std::string name;
  std::string
      type;  // as its class is called, without namespaces; of variables of every kind: "int*"
  Kind kind = Kind::other;
  std::vector<std::pair<std::int64_t, std::string>> enumerators;  // of an enumeration, the first 64
  std::uint64_t size = 0;
  SourceLine declared;
  std::size_t inlined = 0;  // how many inlined functions it is inside of; 0: the real one's own
  Place place = Place::frame;
  std::uint8_t reg = 0;
  std::int64_t offset = 0;
};

class DwarfNames;

// Keeps what was found of a file for the next address in it.
class VariableFinder {
 public:
  VariableFinder();
  ~VariableFinder();
  VariableFinder(const VariableFinder&) = delete;
  VariableFinder& operator=(const VariableFinder&) = delete;

  // Arguments and variables of every type at file address `value`, in the order of their scopes.
  std::vector<LocalVariable> find(const Module& module, std::uint64_t value);

 private:
  std::map<const ElfFile*, std::unique_ptr<DwarfNames>> names_;
};

// Variables at file address `value` whose type's name begins with one of `types`. Empty without
// DWARF, and for modules whose DWARF is not worth opening.
std::vector<LocalVariable> find_locals(const Module& module, std::uint64_t value,
                                       std::initializer_list<std::string_view> types);

}  // namespace coldcase
