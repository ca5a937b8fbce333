#include "modules/places.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "modules/dwarf/all_lines.hpp"
#include "modules/dwarf/reader.hpp"
#include "modules/dwarf_names.hpp"

namespace coldcase {
namespace {

dwarf::Sections sections_of(const ElfFile& file) {
  dwarf::Sections sections;
  sections.info = file.debug_section(".debug_info");
  sections.abbrev = file.debug_section(".debug_abbrev");
  sections.aranges = file.debug_section(".debug_aranges");
  sections.line = file.debug_section(".debug_line");
  sections.text = file.debug_section(".debug_str");
  sections.line_text = file.debug_section(".debug_line_str");
  sections.ranges = file.debug_section(".debug_ranges");
  sections.rnglists = file.debug_section(".debug_rnglists");
  sections.addresses = file.debug_section(".debug_addr");
  sections.text_offsets = file.debug_section(".debug_str_offsets");
  return sections;
}

SourceLine shown(const dwarf::Line& line) {
  return {line.line == 0 ? std::string{} : clean_text(shorten_home(line.file)), line.line};
}

std::string shown_name(std::string_view name) {
  return clean_text(demangle(name), 2048);
}

}  // namespace

void add_places(const ElfFile& file, std::span<const std::uint64_t> sorted,
                std::span<CodeName* const> names) {
  // dwz moved names into a file beside this one: libdw finds it.
  if (file.find_section(".gnu_debugaltlink") != nullptr) {
    DwarfNames through_libdw(file);
    for (std::size_t at = 0; at < sorted.size(); ++at) through_libdw.name(sorted[at], *names[at]);
    return;
  }
  dwarf::Reader reader(sections_of(file), [&file](Bytes part) { file.done_with(part); });
  const std::vector<dwarf::CodePlace> places = reader.places_of(sorted);
  for (std::size_t at = 0; at < places.size(); ++at) {
    CodeName& name = *names[at];
    for (const dwarf::InlinedCode& one : places[at].inlines)
      name.inlines.push_back({shown_name(one.name), shown(one.where)});
    name.where = shown(places[at].where);
    if (name.symbol.empty()) name.function = shown_name(places[at].function);
    if (places[at].split) name.debug_read = DebugRead::split;
    if (reader.cut_short()) name.debug_read = DebugRead::cut_short;
  }
}

void add_lines(const ElfFile& sections, std::span<const std::uint64_t> sorted, std::uint64_t bias,
               std::span<CodeName* const> names) {
  std::vector<std::uint64_t> wanted(sorted.begin(), sorted.end());
  const auto start_of = [bias](const CodeName& name) { return name.start.value - bias; };
  for (const CodeName* name : names) {
    if (!name->symbol.empty()) wanted.push_back(start_of(*name));
  }
  std::ranges::sort(wanted);
  const auto lines = dwarf::lines_alone(sections_of(sections), wanted);
  const auto line_at = [&](std::uint64_t value) -> const dwarf::PlainLine& {
    return lines[static_cast<std::size_t>(std::ranges::lower_bound(wanted, value) -
                                          wanted.begin())];
  };
  for (std::size_t at = 0; at < sorted.size(); ++at) {
    if (names[at]->symbol.empty()) continue;
    const std::uint64_t start = start_of(*names[at]);
    const dwarf::PlainLine& line = line_at(sorted[at]);
    const dwarf::PlainLine& first = line_at(start);
    const bool own = line.where.file == first.where.file;  // else of a function inlined there
    if (own && line.row >= start && first.row == start) names[at]->where = shown(line.where);
  }
}

}  // namespace coldcase
