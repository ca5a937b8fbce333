#include "modules/dwarf/lines.hpp"

#include <dwarf.h>

#include <array>

namespace coldcase::dwarf {
namespace {

constexpr std::size_t most_names = 1'000'000;

// Runs a program and keeps, for each wanted address, the row that covers it.
class Runner {
 public:
  explicit Runner(std::span<const std::uint64_t> sorted) : wanted_(sorted), rows_(sorted.size()) {}

  std::uint64_t address = 0, file = 1;
  std::int64_t line = 1;

  void add_row() {
    if (!in_sequence_) {
      in_sequence_ = true;
      look_up(address);
    } else if (address > before_.address) {
      take_until(address);
    } else if (address < before_.address) {
      look_up(address);
    }
    before_ = {address, file, static_cast<std::uint32_t>(line)};
  }

  void end_sequence() {
    if (in_sequence_) take_until(address);
    in_sequence_ = false;
    address = 0;
    file = 1;
    line = 1;
  }

  std::vector<LineRow> take_rows() { return std::move(rows_); }

 private:
  // The first wanted address at or above this one. A sequence at address 0 is code that the linker
  // threw away.
  void look_up(std::uint64_t from) {
    at_ = from == 0
              ? wanted_.size()
              : static_cast<std::size_t>(std::ranges::lower_bound(wanted_, from) - wanted_.begin());
    next_ = at_ < wanted_.size() ? wanted_[at_] : UINT64_MAX;
  }

  // The row before covers what lies between it and `end`.
  void take_until(std::uint64_t end) {
    if (next_ >= end) return;
    for (; at_ < wanted_.size() && wanted_[at_] < end; ++at_) {
      if (before_.address >= rows_[at_].address) rows_[at_] = before_;
    }
    next_ = at_ < wanted_.size() ? wanted_[at_] : UINT64_MAX;
  }

  std::span<const std::uint64_t> wanted_;
  std::vector<LineRow> rows_;
  LineRow before_;
  std::size_t at_ = 0;
  std::uint64_t next_ = UINT64_MAX;  // the wanted address at `at_`
  bool in_sequence_ = false;
};

void run_extended(Cursor& cursor, Runner& runner) {
  const std::uint64_t size = cursor.take_unsigned();
  const std::uint64_t end = cursor.at() + size;
  if (size == 0 || end < size) return;
  switch (cursor.take<std::uint8_t>()) {
    case DW_LNE_end_sequence:
      runner.end_sequence();
      break;
    case DW_LNE_set_address:
      runner.address = cursor.take<std::uint64_t>();
      break;
    default:
      break;  // discriminators; DW_LNE_define_file has not been seen since DWARF 2
  }
  cursor.seek(end);
}

}  // namespace

std::vector<LineRow> LineTable::rows_at(std::span<const std::uint64_t> sorted,
                                        Budget& budget) const {
  // A byte is at most a row; a program that is run for every unit of a damaged file is not.
  if (!budget.spend(program_.size())) return std::vector<LineRow>(sorted.size());
  Runner runner(sorted);
  // How far each special opcode moves: no division for every row.
  std::array<std::uint64_t, 256> moves{};
  std::array<std::int64_t, 256> lines{};
  for (unsigned op = first_special_; op < 256; ++op) {
    moves[op] = std::uint64_t{(op - first_special_) / range_} * step_;
    lines[op] = base_ + static_cast<std::int64_t>((op - first_special_) % range_);
  }
  Cursor cursor(program_);
  while (cursor.good() && !cursor.at_end()) {
    const auto op = cursor.take<std::uint8_t>();
    if (op >= first_special_) {
      runner.address += moves[op];
      runner.line += lines[op];
      runner.add_row();
      continue;
    }
    switch (op) {
      case 0:
        run_extended(cursor, runner);
        break;
      case DW_LNS_copy:
        runner.add_row();
        break;
      case DW_LNS_advance_pc:
        runner.address += cursor.take_unsigned() * step_;
        break;
      case DW_LNS_advance_line:
        // Wraps around where a program is damaged.
        runner.line = static_cast<std::int64_t>(static_cast<std::uint64_t>(runner.line) +
                                                static_cast<std::uint64_t>(cursor.take_signed()));
        break;
      case DW_LNS_set_file:
        runner.file = cursor.take_unsigned();
        break;
      case DW_LNS_const_add_pc:
        runner.address += moves[255];
        break;
      case DW_LNS_fixed_advance_pc:
        runner.address += cursor.take<std::uint16_t>();
        break;
      default:
        for (int left = operands_[op - 1U]; left > 0 && cursor.good(); --left)
          (void)cursor.take_unsigned();
    }
  }
  return runner.take_rows();
}

std::string_view LineTable::Texts::of(const Value& value) const {
  if (unit != nullptr) return unit->text_of(value);
  if (value.form == DW_FORM_line_strp) return text_at(sections.line_text, value.number);
  return value.form == DW_FORM_strp ? text_at(sections.text, value.number) : std::string_view{};
}

std::optional<LineTable> LineTable::parse(const Unit& unit) {
  const auto offset = constant_of(unit.root().lines);
  if (!offset) return std::nullopt;
  return parse_at(*offset, {unit.sections(), &unit});
}

std::optional<LineTable> LineTable::parse_alone(const Sections& sections, std::uint64_t offset) {
  return parse_at(offset, {sections});
}

std::optional<LineTable> LineTable::parse_at(std::uint64_t offset, const Texts& texts) {
  const Bytes section = texts.sections.line;
  Cursor start(section, offset);
  const auto length = take_length(start, section);
  if (!length) return std::nullopt;
  const Bytes bytes = section.first(length->end);
  LineTable table;
  table.format_.wide = length->wide;
  Cursor cursor(bytes, start.at());
  if (!table.parse_header(cursor, texts)) return std::nullopt;
  return table;
}

bool LineTable::parse_header(Cursor& cursor, const Texts& texts) {
  format_.version = cursor.take<std::uint16_t>();
  if (format_.version < 2 || format_.version > 5) return false;
  if (format_.version >= 5) {
    if (cursor.take<std::uint8_t>() != 8) return false;  // size of an address
    cursor.skip(1);                                      // of a segment selector
  }
  const std::uint64_t size = cursor.take_offset(format_.wide);
  const std::uint64_t program_at = cursor.at() + size;
  step_ = cursor.take<std::uint8_t>();
  if (format_.version >= 4 && cursor.take<std::uint8_t>() != 1) return false;  // VLIW machines
  cursor.skip(1);                                                              // default_is_stmt
  base_ = cursor.take<std::int8_t>();
  range_ = cursor.take<std::uint8_t>();
  first_special_ = cursor.take<std::uint8_t>();
  if (range_ == 0 || first_special_ == 0 || program_at < size) return false;
  for (unsigned op = 1; op < first_special_; ++op) operands_.push_back(cursor.take<std::uint8_t>());
  if (format_.version >= 5)
    parse_names(cursor, texts);
  else
    parse_old_names(cursor, texts);
  Cursor program = cursor;
  program.seek(program_at);
  if (!cursor.good() || !program.good()) return false;
  program_ = program.rest();
  return true;
}

void LineTable::parse_old_names(Cursor& cursor, const Texts& texts) {
  folders_.push_back(texts.unit != nullptr ? texts.unit->text_of(texts.unit->root().folder)
                                           : std::string_view{});
  while (cursor.good() && folders_.size() < most_names) {
    const std::string_view folder = cursor.take_text();
    if (folder.empty()) break;
    folders_.push_back(folder);
  }
  files_.emplace_back();  // they are numbered from 1 on
  while (cursor.good() && files_.size() < most_names) {
    const std::string_view name = cursor.take_text();
    if (name.empty()) break;
    files_.push_back({name, cursor.take_unsigned()});
    (void)cursor.take_unsigned();  // when it was changed, and its size
    (void)cursor.take_unsigned();
  }
}

std::vector<LineTable::Column> LineTable::take_columns(Cursor& cursor) {
  std::vector<Column> columns(cursor.take<std::uint8_t>());
  for (Column& column : columns) {
    column.content = cursor.take_unsigned();
    column.form = static_cast<std::uint16_t>(cursor.take_unsigned());
  }
  return columns;
}

LineTable::File LineTable::take_name(Cursor& cursor, const Texts& texts,
                                     const std::vector<Column>& columns) const {
  File file;
  for (const Column& column : columns) {
    Value value{column.form, 0};
    if (column.form == DW_FORM_string) {
      const std::string_view text = cursor.take_text();
      if (column.content == DW_LNCT_path) file.name = text;
      continue;
    }
    if (column.form == DW_FORM_udata)
      value.number = cursor.take_unsigned();
    else if (const std::uint32_t size = size_of_form(column.form, format_); size > 8)
      cursor.skip(column.form == DW_FORM_block ? cursor.take_unsigned() : size);
    else
      value.number = cursor.take_sized(size);
    if (column.content == DW_LNCT_path) file.name = texts.of(value);
    if (column.content == DW_LNCT_directory_index) file.folder = value.number;
  }
  return file;
}

void LineTable::parse_names(Cursor& cursor, const Texts& texts) {
  for (const bool folders : {true, false}) {
    const std::vector<Column> columns = take_columns(cursor);
    const std::uint64_t count = cursor.take_unsigned();
    if (columns.empty() || count > std::min(cursor.rest().size(), most_names)) continue;
    for (std::uint64_t at = 0; at < count && cursor.good(); ++at) {
      const File file = take_name(cursor, texts, columns);
      if (folders)
        folders_.push_back(file.name);
      else
        files_.push_back(file);
    }
  }
}

std::string LineTable::path_of(std::uint64_t file) const {
  if (file >= files_.size() || files_[file].name.empty()) return {};
  const auto& [name, folder] = files_[file];
  if (name.starts_with('/')) return std::string(name);
  // A folder that is relative stays so, as libdw has it: which one it is below leaves the machine
  // only where the compiler put it into the name.
  const std::string_view place = folder < folders_.size() ? folders_[folder] : std::string_view{};
  return place.empty() ? std::string(name) : std::string(place) + "/" + std::string(name);
}

}  // namespace coldcase::dwarf
