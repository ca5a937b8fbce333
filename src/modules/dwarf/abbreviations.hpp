// The shapes of the entries of a unit (.debug_abbrev), with what is needed to step over an entry
// without looking at its attributes one by one.
#pragma once

#include <vector>

#include "bytes/view.hpp"

namespace coldcase::dwarf {

// What the sizes of forms depend on.
struct Format {
  std::uint16_t version = 0;
  bool wide = false;  // the 64-bit format
};

struct Attribute {
  std::uint16_t name = 0;
  std::uint16_t form = 0;
  std::int64_t constant = 0;  // of DW_FORM_implicit_const
};

inline constexpr std::uint32_t varies = UINT32_MAX;

struct Abbreviation {
  std::uint64_t code = 0;
  std::uint16_t tag = 0;
  bool children = false;
  std::uint32_t first = 0, count = 0;  // of its attributes
  std::uint32_t size = varies;         // of all its attributes
  std::uint32_t sibling_at = varies;   // DW_AT_sibling, a DW_FORM_ref4, behind the code
};

// How many bytes a form takes; `varies` when that depends on the value, or it is unknown.
std::uint32_t size_of_form(std::uint16_t form, Format format);

class Abbreviations {
 public:
  // As far as the table is sound: what it does not hold find() does not find.
  static Abbreviations parse(Bytes section, std::uint64_t offset, Format format);

  const Abbreviation* find(std::uint64_t code) const;
  std::size_t attribute_count() const { return attributes_.size(); }
  std::span<const Attribute> attributes_of(const Abbreviation& shape) const {
    return std::span(attributes_).subspan(shape.first, shape.count);
  }

 private:
  void add_sizes(Abbreviation& shape, Format format) const;

  std::vector<Abbreviation> shapes_;  // sorted by code
  std::vector<Attribute> attributes_;
};

}  // namespace coldcase::dwarf
