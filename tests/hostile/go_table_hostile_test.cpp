// Damaged tables of Go: cut at every offset, every byte changed. Every damaged table lies alone in
// a heap block of its exact size, so that the sanitizers see a read beyond.
#include <algorithm>
#include <memory>

#include "modules/go_table.hpp"
#include "support/catch.hpp"
#include "support/go_table_sample.hpp"

namespace coldcase::test {
namespace {

void attempt(Bytes damaged) {
  const auto alone = std::make_unique<std::byte[]>(damaged.size());
  std::ranges::copy(damaged, alone.get());
  const auto table = GoTable::parse({alone.get(), damaged.size()}, GoSample::text);
  if (!table) return;
  for (std::uint64_t at = GoSample::text - 8; at < GoSample::text + GoSample::end + 8; ++at) {
    const auto function = table->find(at);
    if (!function) continue;
    REQUIRE(function->depth % 8 == 0);
    REQUIRE(function->depth < std::uint64_t{1} << 31);
    REQUIRE(function->name.size() <= damaged.size());
  }
}

TEST_CASE("a table of Go cut at every offset", "[hostile]") {
  const Blob whole = GoSample{}.build();
  for (std::size_t size = 0; size <= whole.size(); ++size) attempt(Bytes(whole).first(size));
  SUCCEED();
}

TEST_CASE("a table of Go with every byte changed", "[hostile]") {
  for (const std::uint32_t magic : {0xfffffff0u, 0xfffffff1u}) {
    GoSample sample;
    sample.magic = magic;
    Blob bytes = sample.build();
    for (std::byte& byte : bytes) {
      const std::byte good = byte;
      for (const unsigned value : {0x00u, 0x01u, 0x7fu, 0x80u, 0xffu}) {
        byte = static_cast<std::byte>(value);
        attempt(bytes);
      }
      byte = good;
    }
  }
}

}  // namespace
}  // namespace coldcase::test
