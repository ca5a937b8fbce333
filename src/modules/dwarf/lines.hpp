// The line table of a unit (.debug_line, versions 2 to 5): the program is run once for all the
// addresses that are asked for, and no row of it is kept.
#pragma once

#include <string>

#include "modules/dwarf/unit.hpp"

namespace coldcase::dwarf {

struct LineRow {
  std::uint64_t address = 0;  // 0: nothing covers what was asked for
  std::uint64_t file = 0;
  std::uint32_t line = 0;
};

class LineTable {
 public:
  // Nothing when the unit has none, or it is of a kind that nobody writes for x86_64.
  static std::optional<LineTable> parse(const Unit& unit);

  // For each of the sorted addresses the last row at or before it, in a sequence that covers it.
  std::vector<LineRow> rows_at(std::span<const std::uint64_t> sorted, Budget& budget) const;
  // Empty where the table does not tell.
  std::string path_of(std::uint64_t file) const;
  Bytes program() const { return program_; }

 private:
  struct File {
    std::string_view name;
    std::uint64_t folder = 0;
  };
  struct Column {
    std::uint64_t content = 0;
    std::uint16_t form = 0;
  };
  bool parse_header(Cursor& cursor, const Unit& unit);
  void parse_old_names(Cursor& cursor, const Unit& unit);
  void parse_names(Cursor& cursor, const Unit& unit);
  static std::vector<Column> take_columns(Cursor& cursor);
  File take_name(Cursor& cursor, const Unit& unit, const std::vector<Column>& columns) const;

  Bytes program_;
  Format format_;
  std::uint8_t step_ = 1, first_special_ = 0, range_ = 0;
  std::int8_t base_ = 0;
  std::vector<std::uint8_t> operands_;  // of the standard opcodes
  std::vector<std::string_view> folders_;
  std::vector<File> files_;
};

}  // namespace coldcase::dwarf
