#include "modules/dwarf/abbreviations.hpp"

#include <dwarf.h>

#include "modules/dwarf/cursor.hpp"

namespace coldcase::dwarf {
namespace {

constexpr std::size_t most_shapes = 1'000'000, most_attributes = 16'000'000;

}  // namespace

std::uint32_t size_of_form(std::uint16_t form, Format format) {
  const std::uint32_t offset = format.wide ? 8 : 4;
  switch (form) {
    case DW_FORM_flag_present:
    case DW_FORM_implicit_const:
      return 0;
    case DW_FORM_data1:
    case DW_FORM_ref1:
    case DW_FORM_flag:
    case DW_FORM_strx1:
    case DW_FORM_addrx1:
      return 1;
    case DW_FORM_data2:
    case DW_FORM_ref2:
    case DW_FORM_strx2:
    case DW_FORM_addrx2:
      return 2;
    case DW_FORM_strx3:
    case DW_FORM_addrx3:
      return 3;
    case DW_FORM_data4:
    case DW_FORM_ref4:
    case DW_FORM_ref_sup4:
    case DW_FORM_strx4:
    case DW_FORM_addrx4:
      return 4;
    case DW_FORM_data8:
    case DW_FORM_ref8:
    case DW_FORM_ref_sig8:
    case DW_FORM_ref_sup8:
    case DW_FORM_addr:
      return 8;
    case DW_FORM_data16:
      return 16;
    case DW_FORM_strp:
    case DW_FORM_line_strp:
    case DW_FORM_strp_sup:
    case DW_FORM_sec_offset:
    case DW_FORM_GNU_ref_alt:
    case DW_FORM_GNU_strp_alt:
      return offset;
    case DW_FORM_ref_addr:
      return format.version <= 2 ? 8 : offset;
    default:
      return varies;
  }
}

void Abbreviations::add_sizes(Abbreviation& shape, Format format) const {
  std::uint64_t size = 0;
  for (const Attribute& attribute : attributes_of(shape)) {
    if (attribute.name == DW_AT_sibling && attribute.form == DW_FORM_ref4)
      shape.sibling_at = static_cast<std::uint32_t>(size);
    const std::uint32_t one = size_of_form(attribute.form, format);
    if (one == varies) return;
    size += one;
  }
  if (size < varies) shape.size = static_cast<std::uint32_t>(size);
}

Abbreviations Abbreviations::parse(Bytes section, std::uint64_t offset, Format format) {
  Abbreviations table;
  Cursor cursor(section, offset);
  while (table.shapes_.size() < most_shapes) {
    Abbreviation shape;
    shape.code = cursor.take_unsigned();
    if (!cursor.good() || shape.code == 0) break;
    shape.tag = static_cast<std::uint16_t>(cursor.take_unsigned());
    shape.children = cursor.take<std::uint8_t>() != 0;
    shape.first = static_cast<std::uint32_t>(table.attributes_.size());
    while (cursor.good() && table.attributes_.size() < most_attributes) {
      Attribute one;
      one.name = static_cast<std::uint16_t>(cursor.take_unsigned());
      one.form = static_cast<std::uint16_t>(cursor.take_unsigned());
      if (one.form == DW_FORM_implicit_const) one.constant = cursor.take_signed();
      if (one.name == 0 && one.form == 0) break;
      table.attributes_.push_back(one);
    }
    if (!cursor.good()) break;
    shape.count = static_cast<std::uint32_t>(table.attributes_.size()) - shape.first;
    table.add_sizes(shape, format);
    table.shapes_.push_back(shape);
  }
  if (!std::ranges::is_sorted(table.shapes_, {}, &Abbreviation::code))
    std::ranges::stable_sort(table.shapes_, {}, &Abbreviation::code);
  return table;
}

const Abbreviation* Abbreviations::find(std::uint64_t code) const {
  // Compilers number them 1, 2, 3...
  if (code - 1 < shapes_.size() && shapes_[code - 1].code == code) return &shapes_[code - 1];
  const auto found = std::ranges::lower_bound(shapes_, code, {}, &Abbreviation::code);
  return found != shapes_.end() && found->code == code ? &*found : nullptr;
}

}  // namespace coldcase::dwarf
