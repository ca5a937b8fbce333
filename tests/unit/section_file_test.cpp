// A file made of sections that came one by one, and what makes them believed.
#include "modules/section_file.hpp"

#include "support/catch.hpp"
#include "support/section_sample.hpp"

namespace coldcase::test {
namespace {

Module module_with(const SectionSample& own) {
  Module module;
  module.build_id = sample_build_id;
  module.headers = {{elf::pt_load, elf::flag_r | elf::flag_x, 0, 0x1000, 0x1000, 0x100, 0x100, 1}};
  module.file = join_sections(own.bytes(), "own");
  return module;
}

TEST_CASE("sections make a file", "[modules]") {
  const SectionSample parts;
  const auto file = join_sections(parts.bytes(), "name");
  REQUIRE(file);
  CHECK(file->build_id() == sample_build_id);
  CHECK(file->path() == "name");
  CHECK(file->elf() != nullptr);
  const auto outer = file->find_symbol("outer");
  REQUIRE(outer);
  CHECK(outer->value == 0x1000);
  CHECK(outer->size == 32);
  CHECK(file->find_symbol("inner")->value == 0x1040);
  CHECK(file->debug_section(".debug_line").size() == parts.line.size());
  CHECK(file->debug_section(".debug_line_str").empty());
  CHECK_FALSE(file->has_dwarf());
}

TEST_CASE("without names there is no file, without lines there is", "[modules]") {
  for (Blob SectionSample::*part :
       {&SectionSample::note, &SectionSample::symtab, &SectionSample::strtab}) {
    SectionSample parts;
    (parts.*part).clear();
    CHECK(join_sections(parts.bytes(), "name") == nullptr);
  }
  SectionSample parts;
  parts.line.clear();
  REQUIRE(join_sections(parts.bytes(), "name"));
  CHECK(join_sections(parts.bytes(), "name")->find_section(".debug_line") == nullptr);
}

TEST_CASE("a packed section is told by its own header", "[modules]") {
  SectionSample parts;
  parts.line.clear();
  for (const std::uint64_t word : {1ull, 100ull, 1ull, 5ull}) append(parts.line, word);
  const auto file = join_sections(parts.bytes(), "name");
  REQUIRE(file);
  CHECK(file->inflated_bytes() == 100);
  CHECK(file->debug_section(".debug_line").empty());  // nothing that could be inflated
}

TEST_CASE("sections agree with the file that they are of", "[modules]") {
  const Module module = module_with(SectionSample({{"outer", 0x1000}}));
  const auto agree = [&](const SectionSample& parts) {
    return agrees(module, *join_sections(parts.bytes(), "parts"));
  };
  CHECK(agree(SectionSample()));
  CHECK(agree(SectionSample({{"outer@@V_1", 0x1000}, {"more", 0x10ff}})));
  CHECK(
      agree(SectionSample({{"outer", 0x1000}, {"outer", 0x1020, 0}})));  // a local one of that name
  CHECK_FALSE(agree(SectionSample({{"outer", 0x1000}}, 2)));             // another build-id
  CHECK_FALSE(agree(SectionSample({{"outer", 0x1001}})));                // elsewhere
  CHECK_FALSE(agree(SectionSample({{"other", 0x1000}})));                // nothing that it exports
  CHECK_FALSE(agree(SectionSample({{"outer", 0x1000}, {"more", 0x1100}})));  // beyond its code
  CHECK_FALSE(agree(SectionSample({{"outer", 0x1000}, {"more", 0xfff}})));
  CHECK_FALSE(agree(SectionSample(std::vector<SampleFunction>{})));
  Module none = module_with(SectionSample());
  none.file.reset();
  CHECK_FALSE(agrees(none, *join_sections(SectionSample().bytes(), "parts")));
  none = module_with(SectionSample());
  none.build_id.clear();
  CHECK_FALSE(agrees(none, *join_sections(SectionSample().bytes(), "parts")));
}

TEST_CASE("damaged sections end", "[modules]") {
  const Module module = module_with(SectionSample({{"outer", 0x1000}}));
  const SectionSample whole;
  for (Blob SectionSample::*part : {&SectionSample::note, &SectionSample::symtab,
                                    &SectionSample::strtab, &SectionSample::line}) {
    for (std::size_t size = 0; size < (whole.*part).size(); ++size) {
      SectionSample parts;
      (parts.*part).resize(size);
      if (const auto file = join_sections(parts.bytes(), "cut")) (void)agrees(module, *file);
    }
    for (std::size_t at = 0; at < (whole.*part).size(); ++at) {
      SectionSample parts;
      (parts.*part)[at] ^= std::byte{0xff};
      const auto file = join_sections(parts.bytes(), "changed");
      REQUIRE(file);
      (void)agrees(module, *file);
      (void)file->debug_section(".debug_line");
    }
  }
}

}  // namespace
}  // namespace coldcase::test
