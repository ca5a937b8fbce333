// Damaged cores: whatever the bytes, parse_core returns a Core that keeps its promises or throws
// Error. Run under the sanitizers (preset asan) this also says that no byte outside is read: every
// damaged file lies alone in a heap block of its exact size.
#include <unistd.h>

#include <coldcase/result.hpp>
#include <limits>
#include <memory>
#include <string>

#include "core/core.hpp"
#include "hostile/core_invariants.hpp"
#include "support/catch.hpp"
#include "support/core_builder.hpp"

namespace coldcase::test {
namespace {

constexpr std::uint64_t top = std::numeric_limits<std::uint64_t>::max();

// A test that hangs is killed, and so fails.
class Deadline {
 public:
  explicit Deadline(unsigned seconds) { ::alarm(seconds); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() { ::alarm(0); }
};

// Empty when parsing went as promised. Anything thrown that is no Error leaves through here and
// fails the test.
std::string attempt(Bytes damaged) {
  const auto alone = std::make_unique<std::byte[]>(damaged.size());
  std::ranges::copy(damaged, alone.get());
  const Bytes file{alone.get(), damaged.size()};
  (void)kind_of_file(file);
  try {
    return std::string(broken_promise(parse_core(file, "core.hostile"), file));
  } catch (const Error& error) {
    return error.trouble() == Trouble::not_a_core ? "" : "another trouble than not_a_core";
  }
}

// Four shapes: both writers, and both with the count of headers outside the ELF header.
Built shape(int which) {
  if (which < 2) return small_core(which == 0 ? Style::kernel : Style::gcore);
  CoreBuilder core(which == 2 ? Style::kernel : Style::gcore);
  core.align(16).extended_count().thread({.tid = 1}).files({{0x1000, 0x2000, 0, "/a"}});
  core.segment({.begin = 0x1000, .size = 0x1000, .saved = text_blob("saved")});
  return core.build();
}

void report(const std::string& problem, const char* what, std::size_t offset) {
  if (problem.empty()) return;
  FAIL(problem << ": " << what << " at offset " << offset);
}

TEST_CASE("a core cut at every offset", "[hostile]") {
  const Deadline deadline(120);
  const Built built = shape(GENERATE(0, 1, 2, 3));
  for (std::size_t size = 0; size <= built.bytes.size(); ++size)
    report(attempt(Bytes(built.bytes).first(size)), "cut", size);
  SUCCEED();
}

TEST_CASE("a core with every byte flipped", "[hostile]") {
  const Deadline deadline(300);
  Blob bytes = shape(GENERATE(0, 1, 2, 3)).bytes;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const std::byte good = bytes[at];
    for (const unsigned flip : {0x01u, 0x02u, 0x10u, 0x80u, 0xffu}) {
      bytes[at] = good ^ static_cast<std::byte>(flip);
      report(attempt(bytes), "flip", at);
    }
    bytes[at] = good;
  }
  SUCCEED();
}

TEST_CASE("a core with every word at its limits", "[hostile]") {
  const Deadline deadline(300);
  const Blob good = shape(GENERATE(0, 1, 2, 3)).bytes;
  for (std::size_t at = 0; at + 8 <= good.size(); at += 4) {
    for (const std::uint64_t value : {std::uint64_t{0}, top, top - 7, top - 55, top / 2,
                                      top / 2 + 1, std::uint64_t{0xffffffff}, top - 0xffffffff}) {
      Blob bytes = good;
      patch(bytes, at, value);
      report(attempt(bytes), "word", at);
    }
  }
  SUCCEED();
}

TEST_CASE("counts of NT_FILE near the top", "[hostile]") {
  CoreBuilder builder(Style::kernel);
  builder.align(16).thread({}).files({{0x1000, 0x2000, 0, "/a"}, {0x3000, 0x4000, 0, "/b"}});
  const Built built = builder.build();
  const std::uint64_t content = built.note_at.at(1) + offsets::note_header + 8;
  for (const std::uint64_t count : {top, top - 1, top / 24, top / 24 + 1, top / 24 + 2, top / 2,
                                    std::uint64_t{1} << 61, std::uint64_t{1} << 32}) {
    Blob bytes = built.bytes;
    patch(bytes, content, count);
    CHECK(attempt(bytes).empty());
    CHECK(parse_core(bytes, "core").files.empty());
  }
  for (const std::uint64_t unit : {top, top / 2 + 1, std::uint64_t{0}}) {
    Blob bytes = built.bytes;
    patch(bytes, content + 8, unit);
    patch(bytes, content + 16 + 16, top);
    CHECK(attempt(bytes).empty());
  }
}

TEST_CASE("note sizes near the top", "[hostile]") {
  const Built built = small_core(Style::kernel);
  for (const std::uint64_t note : built.note_at) {
    for (const std::uint64_t field : {offsets::note_namesz, offsets::note_descsz}) {
      for (const std::uint32_t size :
           {0xffffffffu, 0xfffffffeu, 0xfffffffcu, 0xfffffff4u, 0x80000000u, 0x7fffffffu, 0u, 1u}) {
        Blob bytes = built.bytes;
        patch(bytes, note + field, size);
        report(attempt(bytes), "note size", note);
      }
    }
  }
  SUCCEED();
}

TEST_CASE("header tables anywhere", "[hostile]") {
  const Deadline deadline(60);
  for (const std::uint64_t at : {top, top - 55, top - 56, top - 111, top / 2, std::uint64_t{0},
                                 std::uint64_t{1}, std::uint64_t{60}}) {
    for (const unsigned count : {0u, 1u, 0xfffeu, 0xffffu}) {
      Blob bytes = small_core(Style::kernel).bytes;
      patch(bytes, offsets::phoff, at);
      patch(bytes, offsets::shoff, at);
      patch(bytes, offsets::phnum, static_cast<std::uint16_t>(count));
      report(attempt(bytes), "phoff and phnum", count);
    }
  }
  SUCCEED();
}

TEST_CASE("a section header that counts four billion headers", "[hostile]") {
  const Deadline deadline(60);
  Built built = shape(2);
  patch(built.bytes, built.section_at + offsets::section_info, ~std::uint32_t{0});
  CHECK(attempt(built.bytes).empty());
}

// n headers that all claim the same n notes: n * n of work unless somebody stops it.
TEST_CASE("many headers over the same notes end soon", "[hostile]") {
  const Deadline deadline(30);
  CoreBuilder builder(Style::kernel);
  builder.align(16);
  for (int i = 0; i < 2000; ++i) builder.thread({.tid = i});
  for (std::uint64_t i = 1; i < 60'000; ++i)
    builder.segment({.begin = i * 0x1000, .size = 0x1000, .saved = {}});
  Built built = builder.build();
  const auto first = built.bytes.begin() + static_cast<std::ptrdiff_t>(Built::header_at(0));
  for (std::size_t i = 1; i < 60'000; ++i)
    std::copy_n(first, offsets::ph_size, first + static_cast<std::ptrdiff_t>(i * offsets::ph_size));
  CHECK(attempt(built.bytes).empty());
}

}  // namespace
}  // namespace coldcase::test
