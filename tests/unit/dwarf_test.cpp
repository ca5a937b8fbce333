// Our own reader of DWARF on small hand-made information. Whole programs are compared with libdw by
// tests/live/lines_test.py.
#include "modules/dwarf/all_lines.hpp"
#include "modules/dwarf/reader.hpp"
#include "support/catch.hpp"
#include "support/dwarf_sample.hpp"

namespace coldcase::test {
namespace {

using dwarf::CodePlace;

TEST_CASE("lines and inlined functions of a unit", "[modules]") {
  const int version = GENERATE(4, 5);
  const std::string scope = version == 5 ? "(anonymous namespace)::" : "";
  const DwarfSample sample(version);
  dwarf::Reader reader(sample.sections());
  const std::vector<std::uint64_t> wanted{0xfff,  0x1000, 0x100f, 0x1010,
                                          0x101f, 0x1020, 0x103f, 0x1040};
  const std::vector<CodePlace> places = reader.places_of(wanted);
  REQUIRE(places.size() == wanted.size());
  for (const std::size_t outside : {std::size_t{0}, wanted.size() - 1}) {
    CHECK(places[outside].where.line == 0);
    CHECK(places[outside].function.empty());
  }
  for (std::size_t at = 1; at + 1 < wanted.size(); ++at) {
    const CodePlace& place = places[at];
    const bool inside = wanted[at] >= 0x1010 && wanted[at] < 0x1020;
    CAPTURE(wanted[at]);
    CHECK(place.function == scope + "outer");
    CHECK(place.where.file == "d/a.c");
    CHECK(place.where.line == (inside ? 7U : wanted[at] < 0x1010 ? 5U : 8U));
    REQUIRE(place.inlines.size() == (inside ? 1U : 0U));
    if (!inside) continue;
    CHECK(place.inlines[0].name == scope + "inner");
    CHECK(place.inlines[0].where.file == "d/a.c");
    CHECK(place.inlines[0].where.line == 2);
  }
}

TEST_CASE("a unit without what tells its lines, or without entries", "[modules]") {
  DwarfSample sample(4);
  sample.parts[3].clear();  // .debug_line
  const std::vector<std::uint64_t> wanted{0x1014};
  const auto nameless = dwarf::Reader(sample.sections()).places_of(wanted);
  CHECK(nameless[0].function == "outer");
  CHECK(nameless[0].where.file.empty());
  REQUIRE(nameless[0].inlines.size() == 1);
  sample.parts[1].clear();  // .debug_abbrev
  CHECK(dwarf::Reader(sample.sections()).places_of(wanted)[0].function.empty());
}

TEST_CASE("lines without the units they are of", "[modules]") {
  const DwarfSample sample(GENERATE(4, 5));
  dwarf::Sections sections;
  sections.line = sample.parts[3];
  const std::vector<std::uint64_t> wanted{0xfff, 0x1000, 0x100f, 0x1010, 0x1020, 0x103f, 0x1040};
  const auto found = dwarf::lines_alone(sections, wanted);
  REQUIRE(found.size() == wanted.size());
  const std::vector<std::pair<std::uint64_t, std::uint32_t>> rows{
      {0, 0}, {0x1000, 5}, {0x1000, 5}, {0x1010, 2}, {0x1020, 8}, {0x1020, 8}, {0, 0}};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CAPTURE(i);
    CHECK(found[i].row == rows[i].first);
    CHECK(found[i].where.line == rows[i].second);
    CHECK(found[i].where.file == (rows[i].first == 0 ? "" : "d/a.c"));
  }
  CHECK(dwarf::lines_alone({}, wanted).size() == wanted.size());
}

TEST_CASE("a sound unit is neither split nor cut short", "[modules]") {
  const DwarfSample sample(5);
  dwarf::Reader reader(sample.sections());
  CHECK_FALSE(reader.places_of(std::vector<std::uint64_t>{0x1014})[0].split);
  CHECK_FALSE(reader.cut_short());
  dwarf::Reader tired(sample.sections(), nullptr, 2);
  (void)tired.places_of(std::vector<std::uint64_t>{0x1014});
  CHECK(tired.cut_short());
}

TEST_CASE("numbers of seven bits a byte", "[modules]") {
  const auto cursor = [](std::initializer_list<unsigned> bytes, Blob& blob) {
    blob.clear();
    for (const unsigned byte : bytes) append(blob, static_cast<std::uint8_t>(byte));
    return dwarf::Cursor(blob);
  };
  Blob blob;
  CHECK(cursor({0xe5, 0x8e, 0x26}, blob).take_unsigned() == 624485);
  CHECK(cursor({0x9b, 0xf1, 0x59}, blob).take_signed() == -624485);
  CHECK(cursor({0x7f}, blob).take_signed() == -1);
  dwarf::Cursor cut = cursor({0x80, 0x80}, blob);
  CHECK(cut.take_unsigned() == 0);
  CHECK_FALSE(cut.good());
}

}  // namespace
}  // namespace coldcase::test
