#include "modules/dwarf/reader.hpp"

#include <dwarf.h>

namespace coldcase::dwarf {
namespace {

constexpr std::size_t most_units = 4'000'000, most_others = 64;
constexpr std::uint64_t nowhere = UINT64_MAX;

bool has_code(const UnitHeader& header) {
  return header.type == DW_UT_compile || header.type == DW_UT_skeleton ||
         header.type == DW_UT_partial;
}

// DWARF 5, 3.1.2; before it GNU's extension.
bool is_split(const Unit& unit) {
  return unit.header().type == DW_UT_skeleton || static_cast<bool>(unit.root().elsewhere);
}

// What each address executes, from the line table and the chain of inlined functions: the
// innermost executes the row's line, each caller the line of the call.
class Teller {
 public:
  Teller(const Unit& unit, const FindUnit& find_unit, Budget& budget)
      : unit_(unit), names_(find_unit, budget), lines_(LineTable::parse(unit)) {}

  const std::optional<LineTable>& lines() const { return lines_; }

  void tell(const LineRow& row, const Entry& function, const std::vector<Entry>& inlined,
            CodePlace& place) {
    Line where = line_of(row.file, row.line);
    for (std::size_t at = inlined.size(); at-- > 0;) {
      place.inlines.push_back({names_.of(unit_, inlined[at]), where});
      const auto line = constant_of(inlined[at].call_line);
      if (line && *line != 0)
        where = line_of(constant_of(inlined[at].call_file).value_or(nowhere),
                        static_cast<std::uint32_t>(*line));
    }
    place.where = where;
    place.function = names_.of(unit_, function);
  }

  Line line_of(std::uint64_t file, std::uint32_t line) const {
    if (line == 0 || !lines_) return {{}, line};
    return {lines_->path_of(file), line};
  }

 private:
  const Unit& unit_;
  Names names_;
  std::optional<LineTable> lines_;
};

}  // namespace

Reader::Reader(const Sections& sections, DoneWith done_with, std::uint64_t steps)
    : sections_(sections), done_with_(std::move(done_with)), budget_(steps) {}

std::size_t Reader::assign_range(std::span<const std::uint64_t> sorted, const PcRange& range,
                                 std::uint64_t unit, std::vector<std::uint64_t>& units) {
  std::size_t assigned = 0;
  auto at = std::ranges::lower_bound(sorted, range.begin);
  for (; at != sorted.end() && *at < range.end && budget_.spend(1); ++at) {
    std::uint64_t& known = units[static_cast<std::size_t>(at - sorted.begin())];
    if (known != nowhere) continue;
    known = unit;
    ++assigned;
  }
  return assigned;
}

// .debug_aranges (DWARF 5, 6.1.2): sets of address and length, each of one unit.
void Reader::assign_by_aranges(std::span<const std::uint64_t> sorted,
                               std::vector<std::uint64_t>& units) {
  Cursor cursor(sections_.aranges);
  while (cursor.good() && !cursor.at_end()) {
    const std::uint64_t begin = cursor.at();
    const auto length = take_length(cursor, sections_.aranges);
    if (!length) return;
    const auto version = cursor.take<std::uint16_t>();
    const std::uint64_t unit = cursor.take_offset(length->wide);
    const auto address_size = cursor.take<std::uint8_t>();
    const auto segment_size = cursor.take<std::uint8_t>();
    if (version == 2 && address_size == 8 && segment_size == 0) {
      cursor.skip((16 - (cursor.at() - begin) % 16) % 16);
      while (cursor.good() && cursor.at() + 16 <= length->end) {
        const auto from = cursor.take<std::uint64_t>();
        const auto size = cursor.take<std::uint64_t>();
        // Address 0: the end, or code that the linker threw away.
        if (from != 0 && size <= UINT64_MAX - from)
          assign_range(sorted, {from, from + size}, unit, units);
      }
    }
    if (length->end <= begin) return;
    cursor.seek(length->end);
  }
}

// clang writes no .debug_aranges: then every unit tells what it covers.
void Reader::assign_by_units(std::span<const std::uint64_t> sorted,
                             std::vector<std::uint64_t>& units) {
  read_headers();
  auto missing = static_cast<std::size_t>(std::ranges::count(units, nowhere));
  for (const UnitHeader& header : headers_) {
    if (missing == 0) return;
    if (!has_code(header)) continue;
    const auto unit = Unit::parse(sections_, header, budget_);
    if (!unit) continue;
    for (const PcRange& range : ranges_of(*unit, unit->root(), budget_))
      missing -= assign_range(sorted, range, header.begin, units);
  }
}

Reader::Units Reader::assign(std::span<const std::uint64_t> sorted) {
  std::vector<std::uint64_t> units(sorted.size(), nowhere);
  assign_by_aranges(sorted, units);
  if (std::ranges::count(units, nowhere) > 0) assign_by_units(sorted, units);
  Units assigned;
  for (std::size_t at = 0; at < units.size(); ++at) {
    if (units[at] != nowhere) assigned[units[at]].push_back(at);
  }
  return assigned;
}

void Reader::read_headers() {
  if (!headers_.empty()) return;
  for (std::uint64_t at = 0; headers_.size() < most_units && at < sections_.info.size();) {
    const auto header = parse_unit_header(sections_.info, at);
    if (!header) return;
    headers_.push_back(*header);
    at = header->end;
  }
}

const Unit* Reader::unit_around(std::uint64_t offset) {
  read_headers();
  auto above = std::ranges::upper_bound(headers_, offset, {}, &UnitHeader::begin);
  if (above == headers_.begin() || offset >= (--above)->end) return nullptr;
  if (const auto known = others_.find(above->begin); known != others_.end()) return &known->second;
  auto unit = Unit::parse(sections_, *above, budget_);
  if (!unit) return nullptr;
  return &others_.emplace(above->begin, std::move(*unit)).first->second;
}

void Reader::read_unit(std::uint64_t offset, std::span<const std::uint64_t> sorted,
                       std::span<CodePlace*> places) {
  const auto header = parse_unit_header(sections_.info, offset);
  const auto unit = header ? Unit::parse(sections_, *header, budget_) : std::nullopt;
  if (!unit) return;
  const FindUnit find_unit = [this](std::uint64_t wanted) { return unit_around(wanted); };
  Teller teller(*unit, find_unit, budget_);
  std::vector<LineRow> rows(sorted.size());
  if (teller.lines()) rows = teller.lines()->rows_at(sorted, budget_);
  const auto functions = find_functions(*unit, sorted, budget_);
  for (std::size_t at = 0; at < sorted.size(); ++at) {
    places[at]->split = is_split(*unit);
    if (functions[at])
      teller.tell(rows[at], *functions[at],
                  find_inlined(*unit, *functions[at], sorted[at], budget_), *places[at]);
    else
      places[at]->where = teller.line_of(rows[at].file, rows[at].line);
  }
  if (others_.size() > most_others) others_.clear();
  if (!done_with_) return;
  done_with_(sections_.info.subspan(header->begin, header->end - header->begin));
  if (teller.lines()) done_with_(teller.lines()->program());
}

std::vector<CodePlace> Reader::places_of(std::span<const std::uint64_t> sorted) {
  std::vector<CodePlace> places(sorted.size());
  for (const auto& [offset, indexes] : assign(sorted)) {
    std::vector<std::uint64_t> wanted;
    std::vector<CodePlace*> answers;
    for (const std::size_t index : indexes) {
      wanted.push_back(sorted[index]);
      answers.push_back(&places[index]);
    }
    read_unit(offset, wanted, answers);
  }
  return places;
}

}  // namespace coldcase::dwarf
