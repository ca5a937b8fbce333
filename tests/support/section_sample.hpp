// Sections of a small debug file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "modules/section_file.hpp"
#include "support/core_builder.hpp"

namespace coldcase::test {

inline constexpr std::string_view sample_build_id = "0102030405060708";

struct SampleFunction {
  std::string name;
  std::uint64_t value = 0;
  std::uint8_t bind = 1;
};

// Sections as a server sends them.
struct SectionSample {
  Blob note, symtab, strtab, line, line_text;

  explicit SectionSample(const std::vector<SampleFunction>& functions = {{"outer", 0x1000},
                                                                         {"inner", 0x1040, 0}},
                         std::uint8_t first_of_id = 1) {
    for (const std::uint32_t word : {4u, 8u, 3u, 0x00554e47u}) append(note, word);
    for (std::uint8_t i = 0; i < 8; ++i) append(note, static_cast<std::uint8_t>(first_of_id + i));
    symtab.resize(sizeof(elf::Symbol));
    append(strtab, '\0');
    for (const SampleFunction& one : functions) {
      append(symtab,
             elf::Symbol{static_cast<std::uint32_t>(strtab.size()),
                         static_cast<std::uint8_t>(one.bind << 4 | 2), 0, 1, one.value, 32});
      for (const char c : one.name) append(strtab, c);
      append(strtab, '\0');
    }
    append(line, std::uint64_t{0x1234});
  }
  SectionBytes bytes() const { return {note, symtab, strtab, line, line_text}; }
};

}  // namespace coldcase::test
