// Fuzzes a file made of sections that came one by one. The first eight bytes are the sizes of the
// first four, two bytes each; the rest is the last one.
#include <array>
#include <cstring>
#include <span>

#include "modules/section_file.hpp"

using namespace coldcase;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::array<std::uint16_t, 4> sizes{};
  if (size < sizeof sizes) return 0;
  std::memcpy(sizes.data(), data, sizeof sizes);
  Bytes rest = std::as_bytes(std::span(data, size)).subspan(sizeof sizes);
  std::array<Bytes, 5> parts;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    parts[i] = slice(rest, 0, sizes[i]);
    rest = rest.subspan(parts[i].size());
  }
  parts[4] = rest;
  const SectionBytes sections{parts[0], parts[1], parts[2], parts[3], parts[4]};
  const auto file = join_sections(sections, "parts");
  if (!file) return 0;
  Module module;  // the same sections, as the file that they have to agree with
  module.file = join_sections(sections, "own");
  module.build_id = file->build_id();
  module.headers = {{elf::pt_load, elf::flag_r | elf::flag_x, 0, 0x1000, 0x1000, 0x100, 0x100, 1}};
  (void)agrees(module, *file);
  (void)file->find_symbol("outer");
  (void)file->debug_section(".debug_line");
  return 0;
}
