// A small file's debug information, in DWARF 4 as GCC writes it (addresses, .debug_aranges,
// .debug_ranges) or in DWARF 5 as clang does (indexes everywhere), from this file's own idea of the
// format: outer() over [0x1000, 0x1040), inner() inlined into it over [0x1010, 0x1020) and called
// in line 7.
#pragma once

#include <array>
#include <string_view>

#include "modules/dwarf/sections.hpp"
#include "support/core_builder.hpp"

namespace coldcase::test {

struct DwarfSample {
  static constexpr std::uint64_t begin = 0x1000, inlined = 0x1010, inlined_end = 0x1020,
                                 end = 0x1040;
  static constexpr std::size_t count = 10;
  // In the order of dwarf::Sections.
  std::array<Blob, count> parts;

  explicit DwarfSample(int version) {
    version == 4 ? build_4() : build_5();
    add_lines(version);
  }

  static dwarf::Sections sections_of(const std::array<Bytes, count>& parts) {
    return {parts[0], parts[1], parts[2], parts[3], parts[4],
            parts[5], parts[6], parts[7], parts[8], parts[9]};
  }
  dwarf::Sections sections() const {
    std::array<Bytes, count> views;
    for (std::size_t at = 0; at < count; ++at) views[at] = parts[at];
    return sections_of(views);
  }

 private:
  static void add(Blob& blob, std::initializer_list<unsigned> bytes) {
    for (const unsigned byte : bytes) append(blob, static_cast<std::uint8_t>(byte));
  }
  static void add(Blob& blob, std::string_view text) {
    for (const char c : text) append(blob, c);
    append(blob, '\0');
  }
  // Puts the length of what stands behind it before a table.
  static Blob closed(const Blob& body) {
    Blob whole;
    append(whole, static_cast<std::uint32_t>(body.size()));
    whole.insert(whole.end(), body.begin(), body.end());
    return whole;
  }

  void build_4() {
    auto& [info, abbrev, aranges, line, text, line_text, ranges, rnglists, addresses, offsets] =
        parts;
    // 1: unit {name string, stmt_list sec_offset, low_pc addr, high_pc data8}; 2: function, without
    // code {name string}; 3: function {abstract_origin ref4, low_pc, high_pc data8, sibling ref4};
    // 4: block {ranges sec_offset}; 5: inlined {abstract_origin ref4, low_pc, high_pc data8,
    // call_file data1, call_line data1}
    add(abbrev, {1, 0x11, 1, 0x03, 8, 0x10, 0x17, 0x11, 1, 0x12, 7, 0, 0});
    add(abbrev, {2, 0x2e, 0, 0x03, 8, 0, 0});
    add(abbrev, {3, 0x2e, 1, 0x31, 0x13, 0x11, 1, 0x12, 7, 0x01, 0x13, 0, 0});
    add(abbrev, {4, 0x0b, 1, 0x55, 0x17, 0, 0});
    add(abbrev, {5, 0x1d, 0, 0x31, 0x13, 0x11, 1, 0x12, 7, 0x58, 0x0b, 0x59, 0x0b, 0, 0, 0});
    Blob body;
    append(body, std::uint16_t{4});
    append(body, std::uint32_t{0});
    add(body, {8, 1});
    add(body, "a.c");
    append(body, std::uint32_t{0});
    append(body, begin);
    append(body, end - begin);
    const auto inner_at = static_cast<std::uint32_t>(body.size() + 4);
    add(body, {2});
    add(body, "inner");
    const auto outer_at = static_cast<std::uint32_t>(body.size() + 4);
    add(body, {2});
    add(body, "outer");
    add(body, {3});
    append(body, outer_at);
    append(body, begin);
    append(body, end - begin);
    append(body, static_cast<std::uint32_t>(body.size() + 4 + 4 + 5 + 23 + 2));
    add(body, {4});
    append(body, std::uint32_t{0});
    add(body, {5});
    append(body, inner_at);
    append(body, inlined);
    append(body, inlined_end - inlined);
    add(body, {1, 7, 0, 0, 0});
    info = closed(body);
    for (const std::uint64_t word :
         {std::uint64_t{0}, end - begin, std::uint64_t{0}, std::uint64_t{0}})
      append(ranges, word);
    Blob set;
    append(set, std::uint16_t{2});
    append(set, std::uint32_t{0});
    add(set, {8, 0, 0, 0, 0, 0});
    for (const std::uint64_t word : {begin, end - begin, std::uint64_t{0}, std::uint64_t{0}})
      append(set, word);
    aranges = closed(set);
  }

  void build_5() {
    auto& [info, abbrev, aranges, line, text, line_text, ranges, rnglists, addresses, offsets] =
        parts;
    // 1: unit {name strx1, stmt_list sec_offset, low_pc addrx, high_pc data4, str_offsets_base,
    // addr_base, rnglists_base}; 2: namespace; 3: function {name strx1, inline implicit_const}; 4:
    // function {abstract_origin ref4, low_pc addrx, high_pc data4}; 5: inlined {abstract_origin
    // ref4, ranges rnglistx, call_file data1, call_line data1}
    add(abbrev, {1, 0x11, 1, 0x03, 0x25, 0x10, 0x17, 0x11, 0x1b, 0x12, 6, 0x72, 0x17, 0x73, 0x17,
                 0x74, 0x17, 0, 0});
    add(abbrev, {2, 0x39, 1, 0, 0});
    add(abbrev, {3, 0x2e, 0, 0x03, 0x25, 0x20, 0x21, 1, 0, 0});
    add(abbrev, {4, 0x2e, 1, 0x31, 0x13, 0x11, 0x1b, 0x12, 6, 0, 0});
    add(abbrev, {5, 0x1d, 0, 0x31, 0x13, 0x55, 0x23, 0x58, 0x0b, 0x59, 0x0b, 0, 0, 0});
    Blob body;
    append(body, std::uint16_t{5});
    add(body, {1, 8});
    append(body, std::uint32_t{0});
    add(body, {1, 0});
    append(body, std::uint32_t{0});
    add(body, {0});
    append(body, static_cast<std::uint32_t>(end - begin));
    for (const std::uint32_t base : {8u, 8u, 12u}) append(body, base);
    add(body, {2});
    const auto inner_at = static_cast<std::uint32_t>(body.size() + 4);
    add(body, {3, 1});
    const auto outer_at = static_cast<std::uint32_t>(body.size() + 4);
    add(body, {3, 2, 4});
    append(body, outer_at);
    add(body, {0});
    append(body, static_cast<std::uint32_t>(end - begin));
    add(body, {5});
    append(body, inner_at);
    add(body, {0, 0, 7, 0, 0, 0});
    info = closed(body);
    for (const std::string_view one : {"a.c", "inner", "outer"}) add(text, one);
    add(offsets, {0, 0, 0, 0, 5, 0, 0, 0});
    for (const std::uint32_t at : {0u, 4u, 10u}) append(offsets, at);
    add(addresses, {0, 0, 0, 0, 5, 0, 8, 0});
    append(addresses, begin);
    // One list: an offset pair from the unit's begin.
    add(rnglists, {0, 0, 0, 0, 5, 0, 8, 0, 1, 0, 0, 0, 4, 0, 0, 0, 4, 0x10, 0x20, 0});
  }

  void add_lines(int version) {
    Blob tables;
    add(tables, {1});
    if (version >= 4) add(tables, {1});
    add(tables, {1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1});
    if (version == 4) {
      add(tables, "d");
      add(tables, {0});
      add(tables, "a.c");
      add(tables, {1, 0, 0, 0});
    } else {
      // A folder and a file, both {path string}, the file with {folder udata}, too.
      add(tables, {1, 1, 8, 1});
      add(tables, "d");
      add(tables, {2, 1, 8, 2, 0x0f, 1});
      add(tables, "a.c");
      add(tables, {0});
    }
    Blob body;
    append(body, static_cast<std::uint16_t>(version));
    if (version == 5) add(body, {8, 0});
    append(body, static_cast<std::uint32_t>(tables.size()));
    body.insert(body.end(), tables.begin(), tables.end());
    if (version == 5) add(body, {4, 0});
    // At 0x1000 line 5, at 0x1010 line 2, at 0x1020 line 8 (a special opcode), the end at 0x1040.
    add(body, {0, 9, 2});
    append(body, begin);
    add(body, {3, 4, 1, 2, 0x10, 3, 0x7d, 1, 2, 0x0f, 13 + 14 + 5 + 6, 2, 0x20, 0, 1, 1});
    parts[3] = closed(body);
  }
};

}  // namespace coldcase::test
