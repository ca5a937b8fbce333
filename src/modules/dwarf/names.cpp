#include "modules/dwarf/names.hpp"

#include <dwarf.h>

#include <algorithm>
#include <array>

namespace coldcase::dwarf {
namespace {

constexpr int longest_origin = 16;  // from an instance to what it is an instance of
constexpr int deepest = 24;         // of scopes

bool has_scopes(std::uint64_t language) {
  static constexpr std::array<std::uint64_t, 5> plain{DW_LANG_C, DW_LANG_C89, DW_LANG_C99,
                                                      DW_LANG_C11, DW_LANG_Mips_Assembler};
  return std::ranges::find(plain, language) == plain.end();
}

bool is_scope(std::uint16_t tag) {
  return tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_structure_type ||
         tag == DW_TAG_union_type || tag == DW_TAG_subprogram;
}

}  // namespace

std::optional<Names::At> Names::origin_of(const At& at) const {
  const auto target =
      at.unit->target_of(at.entry.origin ? at.entry.origin : at.entry.specification);
  if (!target) return std::nullopt;
  const UnitHeader& header = at.unit->header();
  const bool inside = *target >= header.begin && *target < header.end;
  const Unit* unit = inside ? at.unit : find_unit_(*target);
  const auto entry = unit == nullptr ? std::nullopt : unit->entry_at(*target);
  return entry ? std::optional(At{unit, *entry}) : std::nullopt;
}

std::string Names::text_of(At at, Value Entry::*member) const {
  for (int steps = 0; steps < longest_origin; ++steps) {
    if (const std::string_view text = at.unit->text_of(at.entry.*member); !text.empty())
      return std::string(text);
    const auto origin = origin_of(at);
    if (!origin) break;
    at = *origin;
  }
  return {};
}

// The child that begins at `offset` or has it inside: children stand in the order of their offsets.
// A unit has thousands: those before it are stepped over unread.
std::optional<Entry> Names::child_around(const Unit& unit, const Entry& parent,
                                         std::uint64_t offset) {
  if (!parent.shape->children) return std::nullopt;
  std::uint64_t child = 0;
  Cursor cursor = unit.cursor_at(parent.behind);
  while (cursor.good() && cursor.at() <= offset && budget_.spend(1)) {
    const std::uint64_t at = cursor.at();
    const Abbreviation* shape = unit.take_shape(cursor);
    if (shape == nullptr) break;
    child = at;
    if (unit.step_over(cursor, *shape, shape->children) || !shape->children) continue;
    const auto entry = unit.entry_at(at);
    const std::uint64_t next = entry ? unit.next_of(*entry, budget_) : 0;
    if (next <= at) break;
    cursor.seek(next);
  }
  return child == 0 ? std::nullopt : unit.entry_at(child);
}

// "std::" for std::sort.
std::string Names::scopes_around(const At& declaration) {
  const auto [known, fresh] = scopes_.try_emplace(declaration.entry.offset);
  const Unit& unit = *declaration.unit;
  if (!fresh || !has_scopes(constant_of(unit.root().language).value_or(0))) return known->second;
  Entry scope = unit.root();
  for (int depth = 0; depth < deepest; ++depth) {
    const auto child = child_around(unit, scope, declaration.entry.offset);
    if (!child || child->offset == declaration.entry.offset) break;
    scope = *child;
    if (!is_scope(scope.shape->tag)) continue;
    const std::string name = text_of({&unit, scope}, &Entry::name);
    // Where a member of an anonymous class or of a lambda stands, nothing is said of it.
    if (!name.empty())
      known->second += name + "::";
    else if (scope.shape->tag == DW_TAG_namespace)
      known->second += "(anonymous namespace)::";
  }
  return known->second;
}

std::string Names::of(const Unit& unit, const Entry& entry) {
  if (std::string text = text_of({&unit, entry}, &Entry::linkage_name); !text.empty()) return text;
  const std::string name = text_of({&unit, entry}, &Entry::name);
  if (name.empty()) return {};
  At declaration{&unit, entry};
  for (int steps = 0; steps < longest_origin; ++steps) {
    const auto origin = origin_of(declaration);
    if (!origin) break;
    declaration = *origin;
  }
  return scopes_around(declaration) + name;
}

}  // namespace coldcase::dwarf
