#include "modules/functions.hpp"

#include <dwarf.h>

namespace coldcase {
namespace {

// The entry at file address `entry` in .eh_frame: its function's range. Encodings pcrel|sdata4
// (0x1b, what every compiler on x86_64 emits) only.
std::optional<FunctionRange> range_of_entry(const ElfFile& file, std::uint64_t entry) {
  const Bytes bytes = file.at_address(entry, 20);
  const auto length = parse_at<std::uint32_t>(bytes, 0);
  const auto parent = parse_at<std::uint32_t>(bytes, 4);
  const auto begin = parse_at<std::int32_t>(bytes, 8);
  const auto size = parse_at<std::uint32_t>(bytes, 12);
  if (!length || !parent || !begin || !size || *parent == 0) return std::nullopt;
  const std::uint64_t start = entry + 8 + static_cast<std::uint64_t>(std::int64_t{*begin});
  return FunctionRange{start, start + *size};
}

// version 1, eh_frame_ptr encoding, count udata4 (3), table datarel|sdata4 (0x3b): what linkers
// write.
bool has_search_table(const ElfFile& file, const elf::ProgramHeader& header) {
  const Bytes table = file.at_address(header.vaddr, 12);
  return table.size() == 12 && table[2] == std::byte{3} && table[3] == std::byte{0x3b};
}

// A function with the address of its entry.
struct FoundEntry {
  std::uint64_t entry = 0;
  FunctionRange range;
};

std::optional<FoundEntry> find_in_table(const ElfFile& file, const elf::ProgramHeader& header,
                                        std::uint64_t value) {
  const Bytes table = file.at_address(header.vaddr, header.memsz);
  if (table.size() < 12) return std::nullopt;
  const std::uint64_t count =
      std::min<std::uint64_t>(*parse_at<std::uint32_t>(table, 8), (table.size() - 12) / 8);
  std::uint64_t low = 0;
  std::uint64_t high = count;
  const auto start_of = [&](std::uint64_t i) {
    return header.vaddr +
           static_cast<std::uint64_t>(std::int64_t{*parse_at<std::int32_t>(table, 12 + i * 8)});
  };
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (start_of(middle) <= value)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == 0) return std::nullopt;
  const auto entry = header.vaddr + static_cast<std::uint64_t>(std::int64_t{
                                        *parse_at<std::int32_t>(table, 12 + (low - 1) * 8 + 4)});
  const auto range = range_of_entry(file, entry);
  if (!range || value < range->begin || value >= range->end) return std::nullopt;
  return FoundEntry{entry, *range};
}

std::optional<FoundEntry> find_by_walking(const ElfFile& file, const ElfSection& section,
                                          std::uint64_t value) {
  std::uint64_t at = 0;
  while (at + 8 <= section.header.size) {
    const auto length = parse_at<std::uint32_t>(file.at_address(section.header.addr + at, 4), 0);
    if (!length || *length == 0 || *length == 0xffffffff) return std::nullopt;
    const auto range = range_of_entry(file, section.header.addr + at);
    if (range && range->begin <= value && value < range->end)
      return FoundEntry{section.header.addr + at, *range};
    at += std::uint64_t{*length} + 4;
  }
  return std::nullopt;
}

std::optional<FoundEntry> find(const ElfFile& file, std::uint64_t value) {
  for (const auto& header : file.program_headers()) {
    if (header.type == elf::pt_gnu_eh_frame && has_search_table(file, header))
      return find_in_table(file, header, value);
  }
  const ElfSection* section = file.find_section(".eh_frame");
  return section != nullptr ? find_by_walking(file, *section, value) : std::nullopt;
}

}  // namespace

std::optional<FunctionRange> find_function(const ElfFile& file, std::uint64_t value) {
  const auto found = find(file, value);
  return found ? std::optional(found->range) : std::nullopt;
}

std::optional<std::uint64_t> find_frame_entry(const ElfFile& file, std::uint64_t value) {
  const auto found = find(file, value);
  return found ? std::optional(found->entry) : std::nullopt;
}

}  // namespace coldcase
