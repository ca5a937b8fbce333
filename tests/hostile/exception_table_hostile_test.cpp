// Damaged exception tables: cut at every offset, every byte flipped. Under the sanitizers (preset
// asan) this also says that no byte outside is read: every damaged table lies alone in a heap block
// of its exact size.
#include <memory>

#include "holders/exception_table.hpp"
#include "support/catch.hpp"
#include "support/code_sample.hpp"

namespace coldcase::test {
namespace {

struct Counts {
  std::size_t entries = 0, sites = 0;
};

// What was read has to be sane, whatever the bytes.
Counts attempt(Bytes damaged, const Tables& tables) {
  const auto alone = std::make_unique<std::byte[]>(damaged.size());
  std::ranges::copy(damaged, alone.get());
  const Bytes bytes{alone.get(), damaged.size()};
  Counts counts;
  for (std::uint64_t at = tables.base; at <= tables.base + bytes.size(); ++at) {
    const auto entry = parse_frame_entry(bytes, tables.base, at);
    if (!entry) continue;
    ++counts.entries;
    REQUIRE(entry->begin <= entry->end);
  }
  for (const CallSite& site : parse_call_sites(bytes, tables.base, tables.lsda, 0x1000)) {
    ++counts.sites;
    REQUIRE(site.begin <= site.end);
  }
  return counts;
}

TEST_CASE("exception tables cut at every offset", "[hostile]") {
  const Tables tables = sample_tables();
  for (std::size_t size = 0; size < tables.bytes.size(); ++size)
    attempt(Bytes(tables.bytes).first(size), tables);
  CHECK(attempt(tables.bytes, tables).sites == 3);
}

TEST_CASE("exception tables with every byte changed", "[hostile]") {
  const Tables tables = sample_tables();
  Blob bytes = tables.bytes;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const std::byte good = bytes[at];
    for (const unsigned value : {0x00u, 0x01u, 0x7fu, 0x80u, 0xffu}) {
      bytes[at] = static_cast<std::byte>(value);
      attempt(bytes, tables);
    }
    bytes[at] = good;
  }
  SUCCEED();
}

}  // namespace
}  // namespace coldcase::test
