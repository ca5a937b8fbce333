// Links, packed symbols and package notes, cut at every offset and with every byte changed.
#include <algorithm>
#include <memory>

#include "modules/separate.hpp"
#include "support/catch.hpp"
#include "support/separate_samples.hpp"

namespace coldcase::test {
namespace {

void attempt(Bytes damaged) {
  const auto alone = std::make_unique<std::byte[]>(damaged.size());
  std::ranges::copy(damaged, alone.get());
  const Bytes bytes{alone.get(), damaged.size()};
  if (const auto link = parse_debug_link(bytes)) {
    REQUIRE(link->name.find('/') == std::string::npos);
    REQUIRE(link->name.size() < damaged.size());
  }
  if (const auto link = parse_alt_link(bytes)) REQUIRE(link->build_id.size() <= 128);
  if (const auto package = parse_package_note(bytes))
    REQUIRE(package->name.find_first_of(" ;$`'\"&|<>\n") == std::string::npos);
  REQUIRE(unpack_debug_data(bytes, 4096).size() <= 4096);
}

TEST_CASE("what tells of other files, damaged", "[hostile]") {
  for (Blob whole :
       {debug_link_sample("libring.so.debug", 77), alt_link_sample("../common.dwz", 20),
        package_note_sample(R"({"type":"deb","name":"coreutils","version":"9"})"),
        packed_sample(Blob(2000, std::byte{3}))}) {
    for (std::size_t size = 0; size <= whole.size(); ++size) attempt(Bytes(whole).first(size));
    for (std::byte& byte : whole) {
      const std::byte good = byte;
      for (const unsigned value : {0x00u, 0x01u, 0x2fu, 0x7fu, 0x80u, 0xffu}) {
        byte = static_cast<std::byte>(value);
        attempt(whole);
      }
      byte = good;
    }
  }
}

}  // namespace
}  // namespace coldcase::test
