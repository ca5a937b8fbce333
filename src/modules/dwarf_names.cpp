#include "modules/dwarf_names.hpp"

#include <dwarf.h>

#include <algorithm>

#include "base/text.hpp"
#include "modules/qualified_name.hpp"

namespace coldcase {
namespace {

constexpr int deepest_space = 8;                   // of namespaces and classes
constexpr std::size_t most_functions = 1'000'000;  // of one unit
constexpr int deepest_scope =
    64;  // of nested blocks and inlines; hostile DWARF may nest without end

bool find_unit_die(Dwarf* dwarf, std::uint64_t value, Dwarf_Die& unit) {
  if (dwarf_addrdie(dwarf, value, &unit) != nullptr) return true;
  // No .debug_aranges for it (clang writes none): ask every unit.
  Dwarf_CU* at = nullptr;
  while (dwarf_get_units(dwarf, at, &at, nullptr, nullptr, &unit, nullptr) == 0) {
    if (dwarf_haspc(&unit, value) == 1) return true;
  }
  return false;
}

std::string name_of(Dwarf_Die& function) {
  Dwarf_Attribute attribute;
  for (const unsigned key : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    if (dwarf_attr_integrate(&function, key, &attribute) == nullptr) continue;
    if (const char* text = dwarf_formstring(&attribute)) return clean_text(demangle(text), 2048);
  }
  if (dwarf_attr_integrate(&function, DW_AT_name, &attribute) != nullptr) {
    if (const char* text = dwarf_formstring(&attribute))
      return clean_text(qualified_name(function, text), 2048);
  }
  return {};
}

// The functions inlined around `value` inside `parent`, the outermost first; on request the plain
// blocks, too.
void find_inlined(Dwarf_Die& parent, std::uint64_t value, int depth, std::vector<Dwarf_Die>& scopes,
                  bool blocks = false) {
  Dwarf_Die child;
  if (depth > deepest_scope || dwarf_child(&parent, &child) != 0) return;
  do {
    const int tag = dwarf_tag(&child);
    const bool inlined = tag == DW_TAG_inlined_subroutine;
    if (!inlined && tag != DW_TAG_lexical_block) continue;
    if (dwarf_haspc(&child, value) != 1) continue;
    if (inlined || blocks) scopes.push_back(child);
    return find_inlined(child, value, depth + 1, scopes, blocks);
  } while (dwarf_siblingof(&child, &child) == 0);
}

SourceLine call_site(Dwarf_Die& unit, Dwarf_Die& inlined) {
  SourceLine where;
  Dwarf_Attribute attribute;
  Dwarf_Word number = 0;
  if (dwarf_formudata(dwarf_attr(&inlined, DW_AT_call_line, &attribute), &number) == 0) {
    where.line = static_cast<std::uint32_t>(number);
  }
  Dwarf_Files* files = nullptr;
  std::size_t count = 0;
  if (dwarf_formudata(dwarf_attr(&inlined, DW_AT_call_file, &attribute), &number) == 0 &&
      dwarf_getsrcfiles(&unit, &files, &count) == 0 && number < count) {
    if (const char* path = dwarf_filesrc(files, number, nullptr, nullptr)) {
      where.file = clean_text(shorten_home(path));
    }
  }
  return where;
}

SourceLine line_at(Dwarf_Die& unit, std::uint64_t value) {
  SourceLine where;
  Dwarf_Line* row = dwarf_getsrc_die(&unit, value);
  int line = 0;
  if (row == nullptr || dwarf_lineno(row, &line) != 0 || line <= 0) return where;
  where.line = static_cast<std::uint32_t>(line);
  if (const char* path = dwarf_linesrc(row, nullptr, nullptr)) {
    where.file = clean_text(shorten_home(path));
  }
  return where;
}

}  // namespace

void DwarfNames::add_functions(Dwarf_Die& parent, int depth, bool local,
                               std::vector<Function>& functions) {
  Dwarf_Die child;
  if (depth > deepest_space || dwarf_child(&parent, &child) != 0) return;
  do {
    const int tag = dwarf_tag(&child);
    const bool block = tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block;
    if (tag == DW_TAG_subprogram) {
      Dwarf_Addr base = 0;
      Dwarf_Addr begin = 0;
      Dwarf_Addr end = 0;
      for (std::ptrdiff_t at = 0; (at = dwarf_ranges(&child, at, &base, &begin, &end)) > 0;) {
        functions.push_back({begin, end, child});
      }
    }
    if (tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_structure_type ||
        (local && block)) {
      add_functions(child, depth + 1, local, functions);
    }
  } while (functions.size() < most_functions && dwarf_siblingof(&child, &child) == 0);
}

DwarfNames::Unit* DwarfNames::find_unit(std::uint64_t value) {
  Dwarf* dwarf = file_.dwarf();
  Dwarf_Die die;
  if (dwarf == nullptr || !find_unit_die(dwarf, value, die)) return nullptr;
  const auto [at, fresh] = units_.try_emplace(dwarf_dieoffset(&die));
  if (fresh) {
    at->second.die = die;
    add_functions(at->second.die, 0, false, at->second.functions);
  }
  return &at->second;
}

Dwarf_Die* DwarfNames::find_function(Unit& unit, std::uint64_t value) {
  for (;;) {
    const auto function = std::ranges::find_if(unit.functions, [value](const Function& one) {
      return one.begin <= value && value < one.end;
    });
    if (function != unit.functions.end()) return &function->die;
    if (unit.with_local) return nullptr;
    // What stands in a function's own classes: lambdas, the bodies of coroutines.
    unit.with_local = true;
    add_functions(unit.die, 0, true, unit.functions);
  }
}

void DwarfNames::name(std::uint64_t value, CodeName& name) {
  Unit* unit = find_unit(value);
  if (unit == nullptr) return;
  SourceLine where = line_at(unit->die, value);
  Dwarf_Die* function = find_function(*unit, value);
  std::vector<Dwarf_Die> scopes;
  if (function != nullptr) find_inlined(*function, value, 0, scopes);
  // Innermost first: each inlined function executes `where`; its caller executes the call's line.
  for (std::size_t i = scopes.size(); i-- > 0;) {
    name.inlines.push_back({name_of(scopes[i]), where});
    const SourceLine call = call_site(unit->die, scopes[i]);
    if (call.line != 0) where = call;
  }
  name.where = where;
  if (name.symbol.empty() && function != nullptr) name.function = name_of(*function);
}

std::vector<Dwarf_Die> DwarfNames::scopes_at(std::uint64_t value) {
  std::vector<Dwarf_Die> scopes;
  Unit* unit = find_unit(value);
  if (unit == nullptr) return scopes;
  Dwarf_Die* function = find_function(*unit, value);
  if (function == nullptr) return scopes;
  scopes.push_back(*function);
  find_inlined(*function, value, 0, scopes, true);
  return scopes;
}

}  // namespace coldcase
