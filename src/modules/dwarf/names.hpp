// How functions are called: by their linkage name, else by name, with the namespaces, classes and
// functions their declaration stands in. Compilers give no linkage name to what they only inline.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "modules/dwarf/unit.hpp"

namespace coldcase::dwarf {

// The unit that holds an offset of .debug_info; null when none does.
using FindUnit = std::function<const Unit*(std::uint64_t offset)>;

class Names {
 public:
  Names(const FindUnit& find_unit, Budget& budget) : find_unit_(find_unit), budget_(budget) {}

  // The entry's own linkage name or that of what it is an instance of, mangled; else the full name,
  // "std::sort" for "sort". Empty where there is none.
  std::string of(const Unit& unit, const Entry& entry);

 private:
  struct At {
    const Unit* unit;
    Entry entry;
  };
  std::optional<At> origin_of(const At& at) const;
  std::string text_of(At at, Value Entry::*member) const;
  std::string scopes_around(const At& declaration);
  std::optional<Entry> child_around(const Unit& unit, const Entry& parent, std::uint64_t offset);

  const FindUnit& find_unit_;
  Budget& budget_;
  std::map<std::uint64_t, std::string> scopes_;  // by the declaration's offset
};

}  // namespace coldcase::dwarf
