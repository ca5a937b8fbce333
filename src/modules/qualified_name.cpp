#include "modules/qualified_name.hpp"

#include <dwarf.h>

#include <vector>

namespace coldcase {
namespace {

constexpr int deepest = 24;                     // of scopes
constexpr std::size_t most_children = 100'000;  // gone over for one name
constexpr int most_origins = 8;                 // abstract origins and specifications of each other

bool has_scopes(int language) {
  return language != DW_LANG_C && language != DW_LANG_C89 && language != DW_LANG_C99 &&
         language != DW_LANG_C11 && language != DW_LANG_Mips_Assembler;
}

bool is_scope(int tag) {
  return tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_structure_type ||
         tag == DW_TAG_union_type || tag == DW_TAG_subprogram;
}

// The declaration: it stands in its scope, the instances stand anywhere.
Dwarf_Die declaration_of(Dwarf_Die die) {
  for (int step = 0; step < most_origins; ++step) {
    Dwarf_Attribute attribute;
    Dwarf_Die origin;
    Dwarf_Attribute* found = dwarf_attr(&die, DW_AT_abstract_origin, &attribute);
    if (found == nullptr) found = dwarf_attr(&die, DW_AT_specification, &attribute);
    if (found == nullptr || dwarf_formref_die(found, &origin) == nullptr) break;
    die = origin;
  }
  return die;
}

std::string name_of_scope(Dwarf_Die& scope) {
  if (const char* text = dwarf_diename(&scope)) return text;
  return dwarf_tag(&scope) == DW_TAG_namespace ? "(anonymous namespace)" : "";
}

// The child of `parent` that is `wanted` or has it inside: children stand in the order of their
// offsets.
bool find_child(Dwarf_Die& parent, Dwarf_Off wanted, std::size_t& budget, Dwarf_Die& child) {
  Dwarf_Die next;
  if (dwarf_child(&parent, &next) != 0 || dwarf_dieoffset(&next) > wanted) return false;
  do {
    child = next;
  } while (--budget > 0 && dwarf_siblingof(&child, &next) == 0 && dwarf_dieoffset(&next) <= wanted);
  return budget > 0;
}

}  // namespace

std::string qualified_name(Dwarf_Die function, std::string name) {
  Dwarf_Die at = declaration_of(function);
  const Dwarf_Off wanted = dwarf_dieoffset(&at);
  Dwarf_Die scope;
  if (dwarf_diecu(&at, &scope, nullptr, nullptr) == nullptr || !has_scopes(dwarf_srclang(&scope)))
    return name;
  std::vector<std::string> scopes;
  std::size_t budget = most_children;
  Dwarf_Die child;
  for (int depth = 0; depth < deepest && find_child(scope, wanted, budget, child); ++depth) {
    if (dwarf_dieoffset(&child) == wanted) break;
    // Where a member of an anonymous class or of a lambda stands, nothing is said of it.
    if (is_scope(dwarf_tag(&child))) scopes.push_back(name_of_scope(child));
    scope = child;
  }
  std::string full;
  for (const std::string& one : scopes) {
    if (!one.empty()) full += one + "::";
  }
  return full + name;
}

}  // namespace coldcase
