// Damaged debug information: every section cut at every offset, every byte changed. Every damaged
// section lies alone in a heap block of its exact size, so that the sanitizers see a read beyond.
#include <algorithm>
#include <memory>

#include "modules/dwarf/all_lines.hpp"
#include "modules/dwarf/reader.hpp"
#include "support/catch.hpp"
#include "support/dwarf_sample.hpp"

namespace coldcase::test {
namespace {

void attempt(const DwarfSample& sample, std::size_t part, Bytes damaged) {
  const auto alone = std::make_unique<std::byte[]>(damaged.size());
  std::ranges::copy(damaged, alone.get());
  std::array<Bytes, DwarfSample::count> parts;
  for (std::size_t at = 0; at < parts.size(); ++at) parts[at] = sample.parts[at];
  parts[part] = {alone.get(), damaged.size()};
  dwarf::Reader reader(DwarfSample::sections_of(parts));
  const std::vector<std::uint64_t> wanted{1, 0x1000, 0x1014, 0x103f, 0x1040, ~std::uint64_t{0}};
  for (const dwarf::CodePlace& place : reader.places_of(wanted))
    REQUIRE(place.inlines.size() <= 65);
  REQUIRE(dwarf::lines_alone(DwarfSample::sections_of(parts), wanted).size() == wanted.size());
}

TEST_CASE("debug information cut at every offset", "[hostile]") {
  const DwarfSample sample(GENERATE(4, 5));
  for (std::size_t part = 0; part < sample.parts.size(); ++part) {
    const Bytes whole(sample.parts[part]);
    for (std::size_t size = 0; size <= whole.size(); ++size)
      attempt(sample, part, whole.first(size));
  }
}

TEST_CASE("debug information with every byte changed", "[hostile]") {
  const DwarfSample sample(GENERATE(4, 5));
  for (std::size_t part = 0; part < sample.parts.size(); ++part) {
    Blob bytes = sample.parts[part];
    for (std::byte& byte : bytes) {
      const std::byte good = byte;
      for (const unsigned value : {0x00u, 0x01u, 0x7fu, 0x80u, 0xffu}) {
        byte = static_cast<std::byte>(value);
        attempt(sample, part, bytes);
      }
      byte = good;
    }
  }
}

}  // namespace
}  // namespace coldcase::test
