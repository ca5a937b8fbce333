#include "modules/dwarf/unit.hpp"

#include <dwarf.h>

namespace coldcase::dwarf {
namespace {

// Where the attribute is kept; null for those that nobody asks for.
Value* place_of(Entry& entry, std::uint16_t name) {
  switch (name) {
    case DW_AT_name:
      return &entry.name;
    case DW_AT_linkage_name:
    case DW_AT_MIPS_linkage_name:
      return &entry.linkage_name;
    case DW_AT_low_pc:
      return &entry.low_pc;
    case DW_AT_high_pc:
      return &entry.high_pc;
    case DW_AT_ranges:
      return &entry.ranges;
    case DW_AT_abstract_origin:
      return &entry.origin;
    case DW_AT_specification:
      return &entry.specification;
    case DW_AT_call_file:
      return &entry.call_file;
    case DW_AT_call_line:
      return &entry.call_line;
    case DW_AT_sibling:
      return &entry.sibling;
    case DW_AT_stmt_list:
      return &entry.lines;
    case DW_AT_comp_dir:
      return &entry.folder;
    case DW_AT_language:
      return &entry.language;
    case DW_AT_str_offsets_base:
      return &entry.text_base;
    case DW_AT_addr_base:
    case DW_AT_GNU_addr_base:
      return &entry.address_base;
    case DW_AT_rnglists_base:
      return &entry.ranges_base;
    case DW_AT_dwo_name:
    case DW_AT_GNU_dwo_name:
      return &entry.elsewhere;
    default:
      return nullptr;
  }
}

// Bytes behind the header of .debug_str_offsets, .debug_addr, .debug_rnglists: where the first row
// is when a unit does not tell.
constexpr std::uint64_t size_of_list_header = 8;

}  // namespace

std::optional<UnitHeader> parse_unit_header(Bytes info, std::uint64_t offset) {
  Cursor cursor(info, offset);
  const auto length = take_length(cursor, info);
  if (!length) return std::nullopt;
  UnitHeader header;
  header.begin = offset;
  header.end = length->end;
  header.format = {cursor.take<std::uint16_t>(), length->wide};
  header.type = DW_UT_compile;
  std::uint8_t address_size = 0;
  if (header.format.version >= 5) {
    header.type = cursor.take<std::uint8_t>();
    address_size = cursor.take<std::uint8_t>();
    header.abbreviations = cursor.take_offset(length->wide);
    if (header.type == DW_UT_skeleton || header.type == DW_UT_split_compile) cursor.skip(8);
    if (header.type == DW_UT_type || header.type == DW_UT_split_type)
      cursor.skip(length->wide ? 16 : 12);
  } else {
    header.abbreviations = cursor.take_offset(length->wide);
    address_size = cursor.take<std::uint8_t>();
  }
  header.first = cursor.at();
  const bool known = header.format.version >= 2 && header.format.version <= 5 && address_size == 8;
  if (!known || !cursor.good()) header.format.version = 0;
  return header;
}

std::optional<std::uint64_t> constant_of(const Value& value) {
  switch (value.form) {
    case DW_FORM_data1:
    case DW_FORM_data2:
    case DW_FORM_data4:
    case DW_FORM_data8:
    case DW_FORM_udata:
    case DW_FORM_sdata:
    case DW_FORM_implicit_const:
    case DW_FORM_sec_offset:
      return value.number;
    default:
      return std::nullopt;
  }
}

Unit::Unit(const Sections& sections, const UnitHeader& header)
    : sections_(&sections),
      header_(header),
      shapes_(Abbreviations::parse(sections.abbrev, header.abbreviations, header.format)) {}

std::optional<Unit> Unit::parse(const Sections& sections, const UnitHeader& header,
                                Budget& budget) {
  if (header.format.version == 0 || header.end > sections.info.size() ||
      header.first >= header.end || !budget.left()) {
    return std::nullopt;
  }
  Unit unit(sections, header);
  budget.spend(unit.shapes_.attribute_count() + 1);
  const auto root = unit.entry_at(header.first);
  if (!root) return std::nullopt;
  unit.root_ = *root;
  return unit;
}

const Abbreviation* Unit::take_shape(Cursor& cursor) const {
  const std::uint64_t code = cursor.take_unsigned();
  return code == 0 || !cursor.good() ? nullptr : shapes_.find(code);
}

Value Unit::take_value(Cursor& cursor, const Attribute& attribute) const {
  Value value{attribute.form, 0};
  for (int steps = 0; value.form == DW_FORM_indirect && steps < 4; ++steps)
    value.form = static_cast<std::uint16_t>(cursor.take_unsigned());
  const std::uint32_t size = size_of_form(value.form, header_.format);
  if (size != varies && size <= 8) {
    value.number = cursor.take_sized(size);
    if (value.form == DW_FORM_implicit_const)
      value.number = static_cast<std::uint64_t>(attribute.constant);
    return value;
  }
  switch (value.form) {
    case DW_FORM_data16:
      cursor.skip(16);
      break;
    case DW_FORM_string:
      value.number = cursor.at();
      (void)cursor.take_text();
      break;
    case DW_FORM_udata:
    case DW_FORM_ref_udata:
    case DW_FORM_strx:
    case DW_FORM_addrx:
    case DW_FORM_loclistx:
    case DW_FORM_rnglistx:
    case DW_FORM_GNU_addr_index:
    case DW_FORM_GNU_str_index:
      value.number = cursor.take_unsigned();
      break;
    case DW_FORM_sdata:
      value.number = static_cast<std::uint64_t>(cursor.take_signed());
      break;
    case DW_FORM_block1:
      cursor.skip(cursor.take<std::uint8_t>());
      break;
    case DW_FORM_block2:
      cursor.skip(cursor.take<std::uint16_t>());
      break;
    case DW_FORM_block4:
      cursor.skip(cursor.take<std::uint32_t>());
      break;
    case DW_FORM_block:
    case DW_FORM_exprloc:
      cursor.skip(cursor.take_unsigned());
      break;
    default:
      cursor.skip(UINT64_MAX);  // nobody knows how long it is: the unit ends here
  }
  return value;
}

void Unit::read_attributes(Entry& entry, Cursor& cursor) const {
  for (const Attribute& attribute : shapes_.attributes_of(*entry.shape)) {
    const Value value = take_value(cursor, attribute);
    if (Value* place = place_of(entry, attribute.name)) *place = value;
  }
  entry.behind = cursor.at();
}

std::optional<Entry> Unit::entry_at(std::uint64_t offset) const {
  if (offset < header_.first || offset >= header_.end) return std::nullopt;
  Cursor cursor = cursor_at(offset);
  Entry entry;
  entry.offset = offset;
  entry.shape = take_shape(cursor);
  if (entry.shape == nullptr) return std::nullopt;
  read_attributes(entry, cursor);
  return cursor.good() ? std::optional(entry) : std::nullopt;
}

bool Unit::step_over(Cursor& cursor, const Abbreviation& shape, bool children_too) const {
  const std::uint64_t behind_code = cursor.at();
  if (children_too && shape.sibling_at != varies) {
    Cursor ahead = cursor;
    ahead.skip(shape.sibling_at);
    const std::uint64_t sibling = header_.begin + ahead.take<std::uint32_t>();
    if (ahead.good() && sibling > behind_code && sibling <= header_.end) {
      cursor.seek(sibling);
      return true;
    }
  }
  if (shape.size != varies) {
    cursor.skip(shape.size);
    return false;
  }
  for (const Attribute& attribute : shapes_.attributes_of(shape)) {
    const std::uint32_t size = size_of_form(attribute.form, header_.format);
    if (size != varies)
      cursor.skip(size);
    else
      (void)take_value(cursor, attribute);
  }
  return false;
}

std::uint64_t Unit::next_of(const Entry& entry, Budget& budget) const {
  if (!entry.shape->children) return entry.behind;
  if (const auto sibling = target_of(entry.sibling);
      sibling && *sibling > entry.behind && *sibling <= header_.end) {
    return *sibling;
  }
  Cursor cursor = cursor_at(entry.behind);
  for (std::uint64_t depth = 1; depth > 0;) {
    if (!budget.spend(1)) return 0;
    const std::uint64_t at = cursor.at();
    const Abbreviation* shape = take_shape(cursor);
    if (shape == nullptr) {
      // The end of a list is one zero byte; anything else without a shape is damage.
      if (!cursor.good() || sections_->info[at] != std::byte{0}) return 0;
      --depth;
    } else if (!step_over(cursor, *shape, shape->children) && shape->children) {
      ++depth;
    }
  }
  return cursor.at();
}

std::uint64_t Unit::base_of(const Value& base) const {
  return base ? base.number : size_of_list_header;
}

std::string_view Unit::text_of(const Value& value) const {
  switch (value.form) {
    case DW_FORM_string:
      return text_at(sections_->info.first(header_.end), value.number);
    case DW_FORM_strp:
      return text_at(sections_->text, value.number);
    case DW_FORM_line_strp:
      return text_at(sections_->line_text, value.number);
    case DW_FORM_strx:
    case DW_FORM_strx1:
    case DW_FORM_strx2:
    case DW_FORM_strx3:
    case DW_FORM_strx4: {
      const std::uint64_t size = header_.format.wide ? 8 : 4;
      if (value.number > sections_->text_offsets.size()) return {};
      Cursor row(sections_->text_offsets, base_of(root_.text_base));
      row.skip(value.number * size);
      const std::uint64_t at = row.take_offset(header_.format.wide);
      return row.good() ? text_at(sections_->text, at) : std::string_view{};
    }
    default:
      return {};
  }
}

std::optional<std::uint64_t> Unit::indexed_address(std::uint64_t index) const {
  if (index > sections_->addresses.size()) return std::nullopt;
  Cursor row(sections_->addresses, base_of(root_.address_base));
  row.skip(index * 8);
  const auto address = row.take<std::uint64_t>();
  return row.good() ? std::optional(address) : std::nullopt;
}

std::optional<std::uint64_t> Unit::address_of(const Value& value) const {
  switch (value.form) {
    case DW_FORM_addr:
      return value.number;
    case DW_FORM_addrx:
    case DW_FORM_addrx1:
    case DW_FORM_addrx2:
    case DW_FORM_addrx3:
    case DW_FORM_addrx4:
    case DW_FORM_GNU_addr_index:
      return indexed_address(value.number);
    default:
      return std::nullopt;
  }
}

std::optional<std::uint64_t> Unit::target_of(const Value& value) const {
  switch (value.form) {
    case DW_FORM_ref1:
    case DW_FORM_ref2:
    case DW_FORM_ref4:
    case DW_FORM_ref8:
    case DW_FORM_ref_udata:
      if (value.number >= header_.end - header_.begin) return std::nullopt;
      return header_.begin + value.number;
    case DW_FORM_ref_addr:
      return value.number;
    default:
      return std::nullopt;
  }
}

std::optional<std::uint64_t> Unit::range_list_of(const Value& value) const {
  if (value.form == DW_FORM_rnglistx) {
    if (value.number > sections_->rnglists.size()) return std::nullopt;
    const std::uint64_t base =
        root_.ranges_base ? root_.ranges_base.number : size_of_list_header + 4;
    Cursor row(sections_->rnglists, base);
    row.skip(value.number * (header_.format.wide ? 8 : 4));
    const std::uint64_t inside = row.take_offset(header_.format.wide);
    return row.good() && inside <= sections_->rnglists.size() ? std::optional(base + inside)
                                                              : std::nullopt;
  }
  if (value.form == DW_FORM_sec_offset || value.form == DW_FORM_data4 ||
      value.form == DW_FORM_data8) {
    return value.number;
  }
  return std::nullopt;
}

}  // namespace coldcase::dwarf
