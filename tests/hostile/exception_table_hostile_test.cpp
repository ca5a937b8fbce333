// Damaged exception tables: cut at every offset, every byte flipped. Under the sanitizers (preset
// asan) this also says that no byte outside is read: every damaged table lies alone in a heap block
// of its exact size.
#include <memory>

#include "holders/exception_table.hpp"
#include "holders/flow.hpp"
#include "holders/machine.hpp"
#include "holders/polled_loop.hpp"
#include "support/catch.hpp"
#include "support/code_sample.hpp"
#include "support/exception_tables.hpp"

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

// Code that is none: both readers of code come to an end, whatever they meet.
TEST_CASE("cleanups and functions of random bytes", "[hostile]") {
  std::uint64_t state = 0x9e3779b97f4a7c15;
  const auto random = [&state] {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<unsigned>(state >> 24 & 0xff);
  };
  // Jumps, calls, pushes and locked changes come more often than chance would have them.
  constexpr unsigned liked[] = {0x74, 0x75, 0xeb, 0xe8, 0x53, 0x5b, 0xf0, 0x87, 0x48, 0x89, 0xff};
  for (int round = 0; round < 300; ++round) {
    CodeSample sample;
    for (int i = 0; i < 400; ++i) {
      const unsigned byte = random();
      sample.code({byte < 96 ? liked[byte % std::size(liked)] : byte});
    }
    sample.call("pthread_rwlock_rdlock").call("pthread_rwlock_unlock");
    Context frame;
    frame.set(dw_rbx, 0x5000);
    frame.set(dw_rsp, CodeSample::stack);
    Code code(sample.view());
    const CleanupRun run = run_cleanup(code, sample.view().image, CodeSample::text, frame);
    REQUIRE(run.steps <= 5'000);
    const std::vector<Watched> watched{{CodeSample::stack, 1, 0}, {0x5000, 8, 1}};
    REQUIRE(run_ahead(code, sample.view().image, CodeSample::text, frame, watched).steps <= 5'000);
    Registers registers;
    registers.words[Registers::rip] = CodeSample::text;
    registers.words[Registers::rsp] = CodeSample::stack + 32;
    const auto loop = find_polled_loop(code, sample.view(), registers);
    if (loop) REQUIRE(loop->instructions <= 10'000);
    const Flow flow(code, {CodeSample::text, sample.end()});
    const Flow::Memory memory = [](std::uint64_t at) { return std::optional(at); };
    for (std::uint64_t at = CodeSample::text; at < sample.end(); at += 7)
      (void)flow.state_at(
          {at, round % 2 == 0, LockClass::rwlock, 0x5000, frame, memory, code.work()});
  }
  SUCCEED();
}

}  // namespace
}  // namespace coldcase::test
