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
  // The table that begins at `offset` in .debug_line, without its unit: in versions below 5 what is
  // in the compiler's own folder has no folder.
  static std::optional<LineTable> parse_alone(const Sections& sections, std::uint64_t offset);

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
  // Where texts beside the table are.
  struct Texts {
    const Sections& sections;
    const Unit* unit = nullptr;  // null: not known
    std::string_view of(const Value& value) const;
  };
  static std::optional<LineTable> parse_at(std::uint64_t offset, const Texts& texts);
  bool parse_header(Cursor& cursor, const Texts& texts);
  void parse_old_names(Cursor& cursor, const Texts& texts);
  void parse_names(Cursor& cursor, const Texts& texts);
  static std::vector<Column> take_columns(Cursor& cursor);
  File take_name(Cursor& cursor, const Texts& texts, const std::vector<Column>& columns) const;

  Bytes program_;
  Format format_;
  std::uint8_t step_ = 1, first_special_ = 0, range_ = 0;
  std::int8_t base_ = 0;
  std::vector<std::uint8_t> operands_;  // of the standard opcodes
  std::vector<std::string_view> folders_;
  std::vector<File> files_;
};

}  // namespace coldcase::dwarf
