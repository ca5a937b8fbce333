// A unit of .debug_info and its entries: headers, attribute values, steps from one entry to the
// next. Of an entry only the attributes are kept that names, lines and ranges need.
#pragma once

#include <optional>
#include <vector>

#include "modules/dwarf/abbreviations.hpp"
#include "modules/dwarf/cursor.hpp"
#include "modules/dwarf/sections.hpp"

namespace coldcase::dwarf {

// An attribute's value as it is stored: what it means depends on the form and the unit.
struct Value {
  std::uint16_t form = 0;    // 0: the entry does not have it
  std::uint64_t number = 0;  // of text in place (DW_FORM_string): its offset in .debug_info
  explicit operator bool() const { return form != 0; }
};

struct Entry {
  std::uint64_t offset = 0;  // in .debug_info
  std::uint64_t behind = 0;  // its attributes
  const Abbreviation* shape = nullptr;
  Value name, linkage_name, low_pc, high_pc, ranges, origin, specification, call_file, call_line,
      sibling;
  // Of a unit's own entry.
  Value lines, folder, language, text_base, address_base, ranges_base, elsewhere;
};

struct UnitHeader {
  std::uint64_t begin = 0, end = 0;  // in .debug_info
  std::uint64_t first = 0;           // its own entry
  std::uint64_t abbreviations = 0;
  std::uint8_t type = 0;  // DW_UT_*; DWARF 4 has only DW_UT_compile
  Format format;
};

// The header at `offset`, and where the next one is; nothing where it makes no sense. Units of
// machines with other than 8-byte addresses have no `format`.
std::optional<UnitHeader> parse_unit_header(Bytes info, std::uint64_t offset);

class Unit {
 public:
  // Nothing when it has no entry of its own.
  static std::optional<Unit> parse(const Sections& sections, const UnitHeader& header,
                                   Budget& budget);

  const Sections& sections() const { return *sections_; }
  const UnitHeader& header() const { return header_; }
  const Entry& root() const { return root_; }

  // The entry at `offset`; nothing at the end of a list of children, and where no shape fits.
  std::optional<Entry> entry_at(std::uint64_t offset) const;
  // Behind the entry and all its children. 0 where the unit is damaged.
  std::uint64_t next_of(const Entry& entry, Budget& budget) const;
  // The shape at the cursor, which is moved behind the code; null at an end of children.
  const Abbreviation* take_shape(Cursor& cursor) const;
  // Moves from behind the code to behind the attributes or, where a sibling is told and
  // `children_too`, behind the children: then true.
  bool step_over(Cursor& cursor, const Abbreviation& shape, bool children_too) const;

  Cursor cursor_at(std::uint64_t offset) const {
    return Cursor(sections_->info.first(header_.end), offset);
  }
  std::string_view text_of(const Value& value) const;
  std::optional<std::uint64_t> address_of(const Value& value) const;
  std::optional<std::uint64_t> indexed_address(std::uint64_t index) const;
  std::uint64_t low_pc() const { return address_of(root_.low_pc).value_or(0); }
  // The offset in .debug_info that a reference inside the same section tells.
  std::optional<std::uint64_t> target_of(const Value& value) const;
  std::optional<std::uint64_t> range_list_of(const Value& value) const;

 private:
  Unit(const Sections& sections, const UnitHeader& header);
  Value take_value(Cursor& cursor, const Attribute& attribute) const;
  void read_attributes(Entry& entry, Cursor& cursor) const;
  std::uint64_t base_of(const Value& base) const;

  const Sections* sections_;
  UnitHeader header_;
  Abbreviations shapes_;
  Entry root_;
};

// A number: of a form that holds one.
std::optional<std::uint64_t> constant_of(const Value& value);

}  // namespace coldcase::dwarf
