#include "modules/dwarf/all_lines.hpp"

namespace coldcase::dwarf {
namespace {

constexpr std::uint64_t most_steps = 400'000'000;

}  // namespace

std::vector<PlainLine> lines_alone(const Sections& sections,
                                   std::span<const std::uint64_t> sorted) {
  std::vector<PlainLine> found(sorted.size());
  Budget budget(most_steps);
  for (std::uint64_t at = 0; at < sections.line.size() && budget.spend(1);) {
    Cursor start(sections.line, at);
    const auto length = take_length(start, sections.line);
    if (!length) break;
    if (const auto table = LineTable::parse_alone(sections, at)) {
      const std::vector<LineRow> rows = table->rows_at(sorted, budget);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].address == 0 || rows[i].address < found[i].row) continue;
        found[i] = {rows[i].address, {table->path_of(rows[i].file), rows[i].line}};
      }
    }
    at = length->end;
  }
  return found;
}

}  // namespace coldcase::dwarf
