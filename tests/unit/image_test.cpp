// What a read of dead memory answers: the bytes, or the first absent byte and why it is absent.
#include "image/image.hpp"

#include <algorithm>

#include "image/walk.hpp"
#include "support/catch.hpp"
#include "support/core_builder.hpp"

namespace coldcase {
namespace {

using namespace test;

// 0x1000-0x1008 "ABCDEFGH" and 0x1008-0x1010 "IJKLMNOP" touch; 0x2000-0x2010 holds four bytes and
// no more; nothing lies at 0x1010-0x2000.
struct Sample {
  Blob low = text_blob("ABCDEFGH");
  Blob high = text_blob("IJKLMNOP");
  Blob partial = text_blob("QRST");
  MemoryImage image{
      {extent(0x2000, 0x2010, partial), extent(0x1008, 0x1010, high), extent(0x1000, 0x1008, low)}};

  static Extent extent(std::uint64_t begin, std::uint64_t end, Bytes bytes,
                       Source source = Source::core, Absence rest = Absence::not_saved) {
    return {{Addr{begin}, Addr{end}}, bytes, source, rest};
  }
};

std::string text_of_read(const MemoryImage& image, std::uint64_t at, std::size_t size) {
  std::string text(size, '?');
  const auto read = image.read_into(Addr{at}, std::as_writable_bytes(std::span(text)));
  return read ? text : "fault";
}

Fault fault_of_read(const MemoryImage& image, std::uint64_t at, std::size_t size) {
  Blob into(size);
  const auto read = image.read_into(Addr{at}, into);
  REQUIRE_FALSE(read);
  return read.error();
}

bool disjoint_and_sorted(const MemoryImage& image) {
  const std::vector<Extent>& all = image.extents();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].range.begin >= all[i].range.end) return false;
    if (i > 0 && all[i].range.begin < all[i - 1].range.end) return false;
  }
  return true;
}

TEST_CASE("a read inside one extent", "[image]") {
  const Sample sample;
  CHECK(sample.image.read<std::uint8_t>(Addr{0x1000}) == std::uint8_t{'A'});
  CHECK(sample.image.read<std::uint32_t>(Addr{0x1004}) == 0x48474645u);  // "EFGH"
  CHECK(sample.image.read_pointer(Addr{0x1000}) == Addr{0x4847464544434241});
  CHECK(text_of_read(sample.image, 0x2000, 4) == "QRST");
}

TEST_CASE("a read across adjacent extents", "[image]") {
  const Sample sample;
  CHECK(sample.image.read<std::uint32_t>(Addr{0x1006}) == 0x4a494847u);  // "GHIJ"
  CHECK(sample.image.read<std::uint64_t>(Addr{0x1001}) == 0x4948474645444342u);
  CHECK(text_of_read(sample.image, 0x1000, 16) == "ABCDEFGHIJKLMNOP");
}

TEST_CASE("a read of nothing succeeds anywhere", "[image]") {
  CHECK(MemoryImage{}.read_into(Addr{0x42}, {}));
}

TEST_CASE("a fault names the first absent byte and the reason", "[image]") {
  const Sample sample;
  CHECK(fault_of_read(sample.image, 0x0fff, 2) == Fault{Addr{0x0fff}, Absence::not_mapped});
  CHECK(fault_of_read(sample.image, 0x1004, 20) == Fault{Addr{0x1010}, Absence::not_mapped});
  CHECK(fault_of_read(sample.image, 0x2002, 4) == Fault{Addr{0x2004}, Absence::not_saved});
  CHECK(fault_of_read(sample.image, 0x2008, 1) == Fault{Addr{0x2008}, Absence::not_saved});
  CHECK(fault_of_read(sample.image, 0x2010, 1) == Fault{Addr{0x2010}, Absence::not_mapped});
  CHECK(sample.image.read<std::uint32_t>(Addr{0x2001}).error() ==
        Fault{Addr{0x2004}, Absence::not_saved});
  CHECK(sample.image.read<std::uint64_t>(Addr{0x100c}).error() ==
        Fault{Addr{0x1010}, Absence::not_mapped});
  CHECK(MemoryImage{}.read<std::uint8_t>(Addr{0}).error() == Fault{Addr{0}, Absence::not_mapped});
}

TEST_CASE("present, mapped, absent", "[image]") {
  const Sample sample;
  CHECK(sample.image.present(Addr{0x2003}));
  CHECK_FALSE(sample.image.present(Addr{0x2004}));
  CHECK(sample.image.mapped(Addr{0x200f}));
  CHECK_FALSE(sample.image.mapped(Addr{0x2010}));
  CHECK_FALSE(sample.image.mapped(Addr{0x0fff}));
  CHECK_FALSE(sample.image.why_absent(Addr{0x1000}));
  CHECK(sample.image.why_absent(Addr{0x2004}) == Absence::not_saved);
  CHECK(sample.image.why_absent(Addr{0x1800}) == Absence::not_mapped);
}

TEST_CASE("a view ends with its extent", "[image]") {
  const Sample sample;
  CHECK(sample.image.view(Addr{0x1006}, 100).size() == 2);
  CHECK(sample.image.view(Addr{0x1000}, 3).size() == 3);
  CHECK(sample.image.view(Addr{0x2000}, 100).size() == 4);
  CHECK(sample.image.view(Addr{0x2004}, 1).empty());
  CHECK(sample.image.view(Addr{0x1010}, 1).empty());
}

TEST_CASE("empty and inverted extents are left out", "[image]") {
  const Blob bytes = text_blob("x");
  const MemoryImage image{{Sample::extent(0x1000, 0x1000, bytes),
                           Sample::extent(0x3000, 0x2000, bytes),
                           Sample::extent(0x5000, 0x5001, bytes)}};
  CHECK(image.extents().size() == 1);
  CHECK_FALSE(image.mapped(Addr{0x1000}));
  CHECK_FALSE(image.mapped(Addr{0x2800}));
}

TEST_CASE("the top of the address space", "[image]") {
  const Blob bytes(15, std::byte{7});
  constexpr std::uint64_t begin = ~std::uint64_t{0} - 15;  // the very last byte belongs to no range
  const MemoryImage image{{Sample::extent(begin, ~std::uint64_t{0}, bytes)}};
  CHECK(image.read<std::uint8_t>(Addr{begin + 14}) == std::uint8_t{7});
  CHECK(image.read<std::uint64_t>(Addr{begin + 7}) == 0x0707070707070707u);
  CHECK(image.read<std::uint64_t>(Addr{begin + 8}).error().address == Addr{~std::uint64_t{0}});
  CHECK(image.read<std::uint32_t>(Addr{~std::uint64_t{0}}).error().address ==
        Addr{~std::uint64_t{0}});
  CHECK_FALSE(image.read_text(Addr{begin}));
  CHECK(fault_of_read(image, begin, 64).address == Addr{~std::uint64_t{0}});
  CHECK_FALSE(image.present(Addr{0}));  // nothing wraps round
}

TEST_CASE("where extents overlap the earlier one given wins", "[image]") {
  const Blob first = text_blob("1111");
  const Blob second = text_blob("22222222");
  const MemoryImage small_first{
      {Sample::extent(0x1002, 0x1006, first), Sample::extent(0x1000, 0x1008, second)}};
  CHECK(text_of_read(small_first, 0x1000, 8) == "22111122");
  CHECK(disjoint_and_sorted(small_first));
  const MemoryImage large_first{
      {Sample::extent(0x1000, 0x1008, second), Sample::extent(0x1002, 0x1006, first)}};
  CHECK(text_of_read(large_first, 0x1000, 8) == "22222222");
  CHECK(disjoint_and_sorted(large_first));
  const MemoryImage staggered{
      {Sample::extent(0x1000, 0x1004, first), Sample::extent(0x1002, 0x100a, second)}};
  CHECK(text_of_read(staggered, 0x1000, 10) == "1111222222");
  CHECK(disjoint_and_sorted(staggered));
}

TEST_CASE("the pieces of an overlapped extent keep their own bytes and their own absence",
          "[image]") {
  const Blob middle = text_blob("mm");
  const Blob around = text_blob("abcdef");  // of a range of ten: the last four are not there
  const MemoryImage image{
      {Sample::extent(0x1004, 0x1006, middle),
       Sample::extent(0x1000, 0x100a, around, Source::core, Absence::truncated)}};
  CHECK(text_of_read(image, 0x1000, 6) == "abcdmm");
  CHECK(fault_of_read(image, 0x1000, 10) == Fault{Addr{0x1006}, Absence::truncated});
}

TEST_CASE("many extents over one another stay disjoint", "[image]") {
  const Blob bytes(64, std::byte{'x'});
  std::vector<Extent> extents;
  for (std::uint64_t i = 0; i < 50; ++i)
    extents.push_back(Sample::extent(0x1000 + (i * 37) % 50, 0x1000 + (i * 37) % 50 + 7, bytes));
  const MemoryImage image{extents};
  CHECK(disjoint_and_sorted(image));
  CHECK(text_of_read(image, 0x1000, 56) == std::string(56, 'x'));
  CHECK_FALSE(image.mapped(Addr{0x1038}));
}

TEST_CASE("the core wins over the file", "[image]") {
  const Blob saved = text_blob("core");
  const Blob file = text_blob("FILEFILE");
  const MemoryImage core{{Sample::extent(0x1002, 0x1006, saved)}};
  const MemoryImage both = core.with_files({Sample::extent(0x1000, 0x1008, file, Source::file)});
  CHECK(text_of_read(both, 0x1000, 8) == "FIcoreLE");
  CHECK(disjoint_and_sorted(both));
  CHECK(both.find(Addr{0x1000})->source == Source::file);
  CHECK(both.find(Addr{0x1003})->source == Source::core);
  CHECK(both.find(Addr{0x1007})->source == Source::file);
  CHECK(text_of_read(core, 0x1000, 1) == "fault");  // the first image is as it was
}

TEST_CASE("a file fills only what the core left out", "[image]") {
  const Blob saved = text_blob("core");
  const Blob file = text_blob("FILEFILE");
  // Saved only in part: the first page is in the core, the rest in the file.
  const MemoryImage core{{Sample::extent(0x1000, 0x1008, saved)}};
  const MemoryImage both = core.with_files({Sample::extent(0x1000, 0x1008, file, Source::file)});
  CHECK(text_of_read(both, 0x1000, 8) == "coreFILE");
  CHECK(disjoint_and_sorted(both));
  // Not saved at all, and a file that covers only its middle.
  const MemoryImage bare{{Sample::extent(0x1000, 0x1010, {})}};
  const MemoryImage filled = bare.with_files({Sample::extent(0x1004, 0x100c, file, Source::file)});
  CHECK(text_of_read(filled, 0x1004, 8) == "FILEFILE");
  CHECK(filled.why_absent(Addr{0x1003}) == Absence::not_saved);
  CHECK(filled.why_absent(Addr{0x100c}) == Absence::not_saved);
  CHECK(disjoint_and_sorted(filled));
}

TEST_CASE("a file that is not here tells why its bytes are absent", "[image]") {
  const Absence why = GENERATE(Absence::file_missing, Absence::file_mismatch);
  const Blob saved = text_blob("core");
  const MemoryImage core{
      {Sample::extent(0x1000, 0x1008, saved), Sample::extent(0x2000, 0x2008, {})}};
  const MemoryImage both = core.with_files({Sample::extent(0x1000, 0x1008, {}, Source::file, why)});
  CHECK(text_of_read(both, 0x1000, 4) == "core");
  CHECK(fault_of_read(both, 0x1000, 8) == Fault{Addr{0x1004}, why});
  CHECK(both.why_absent(Addr{0x2000}) == Absence::not_saved);  // of another mapping
}

TEST_CASE("past the end of a mapped file nothing is mapped", "[image]") {
  const Blob file = text_blob("EOF");
  const MemoryImage both = MemoryImage{{Sample::extent(0x1000, 0x2000, {})}}.with_files(
      {Sample::extent(0x1000, 0x2000, file, Source::file, Absence::not_mapped)});
  CHECK(fault_of_read(both, 0x1000, 4) == Fault{Addr{0x1003}, Absence::not_mapped});
}

TEST_CASE("a core's image: saved, cut off, not saved, only named in the file note", "[image]") {
  CoreBuilder builder(Style::gcore);
  builder.thread({})
      .files({{0x1000, 0x3000, 0, "/lib/a"}, {0x8000, 0x9000, 0, "/lib/b"}})
      .segment({.begin = 0x1000, .size = 0x1000, .saved = text_blob("part")})
      .segment({.begin = 0x5000, .size = 8, .saved = text_blob("deadbeef")});
  Built built = builder.build();
  const std::uint64_t keep = built.segment_at.at(1) + 4;
  {
    const Core core = parse_core(built.bytes, "whole");
    const MemoryImage image = core_image(core);
    CHECK(disjoint_and_sorted(image));
    CHECK(text_of_read(image, 0x5000, 8) == "deadbeef");
    CHECK(fault_of_read(image, 0x1000, 5) == Fault{Addr{0x1004}, Absence::not_saved});
    CHECK(image.why_absent(Addr{0x2000}) == Absence::not_saved);   // of /lib/a, no segment
    CHECK(image.why_absent(Addr{0x8fff}) == Absence::not_saved);   // of /lib/b
    CHECK(image.why_absent(Addr{0x3000}) == Absence::not_mapped);  // after /lib/a
    CHECK(image.why_absent(Addr{0x9000}) == Absence::not_mapped);
  }
  const Bytes cut = Bytes(built.bytes).first(keep);
  const Core core = parse_core(cut, "cut");
  const MemoryImage image = core_image(core);
  CHECK(fault_of_read(image, 0x5000, 8) == Fault{Addr{0x5004}, Absence::truncated});
}

TEST_CASE("text ends at its NUL", "[image]") {
  const Blob bytes = text_blob(std::string_view("one\0two", 7));
  const MemoryImage image{{Sample::extent(0x1000, 0x1007, bytes)}};
  CHECK(image.read_text(Addr{0x1000}) == "one");
  CHECK(image.read_text(Addr{0x1003}) == "");
  CHECK(image.read_text(Addr{0x1004}).error() == Fault{Addr{0x1007}, Absence::not_mapped});
}

TEST_CASE("text across extents", "[image]") {
  const Blob one = text_blob("hello ");
  const Blob two = text_blob(std::string_view("world\0!", 7));
  const MemoryImage image{
      {Sample::extent(0x1000, 0x1006, one), Sample::extent(0x1006, 0x100d, two)}};
  CHECK(image.read_text(Addr{0x1000}) == "hello world");
}

TEST_CASE("text is cut at its limit, which is no fault", "[image]") {
  const Blob bytes = text_blob(std::string_view("abcdef\0", 7));
  const MemoryImage image{{Sample::extent(0x1000, 0x1007, bytes)}};
  CHECK(image.read_text(Addr{0x1000}, 0) == "");
  CHECK(image.read_text(Addr{0x1000}, 3) == "abc");
  CHECK(image.read_text(Addr{0x1000}, 6) == "abcdef");
  CHECK(image.read_text(Addr{0x1000}, 7) == "abcdef");
  CHECK(image.read_text(Addr{0x3000}, 1).error() == Fault{Addr{0x3000}, Absence::not_mapped});
}

// Lists of 16-byte nodes: the next pointer, then a value nobody reads.
class Nodes {
 public:
  explicit Nodes(const std::vector<std::uint64_t>& next) {
    for (const std::uint64_t pointer : next) {
      append(bytes_, pointer);
      append(bytes_, std::uint64_t{0});
    }
    image_ = MemoryImage{{Sample::extent(0x1000, 0x1000 + bytes_.size(), bytes_)}};
  }
  WalkEnd walk(std::size_t limit, std::size_t stop_after = 1000) const {
    std::size_t left = stop_after;
    return walk_list(
        Addr{0x1000}, limit, [&](Addr at) { return image_.read_pointer(at); },
        [&](Addr) { return --left > 0; });
  }

 private:
  Blob bytes_;
  MemoryImage image_;
};

TEST_CASE("a walk ends at null", "[image]") {
  const WalkEnd end = Nodes({0x1010, 0x1020, 0}).walk(10);
  CHECK(end.why == WalkEnd::Why::finished);
  CHECK(end.visited == 3);
  const WalkEnd none = walk_list(
      Addr{0}, 10, [](Addr at) { return Read<Addr>(at); }, [](Addr) { return true; });
  CHECK(none.why == WalkEnd::Why::finished);
  CHECK(none.visited == 0);
}

TEST_CASE("a walk notices a loop", "[image]") {
  const WalkEnd own = Nodes({0x1000}).walk(10);
  CHECK(own.why == WalkEnd::Why::loop);
  CHECK(own.visited == 1);
  const WalkEnd later = Nodes({0x1010, 0x1020, 0x1010}).walk(10);
  CHECK(later.why == WalkEnd::Why::loop);
  CHECK(later.visited == 3);
}

TEST_CASE("a walk stops at its limit, and at the visitor's word", "[image]") {
  const Nodes nodes({0x1010, 0x1020, 0x1030, 0});
  CHECK(nodes.walk(4).why == WalkEnd::Why::finished);
  CHECK(nodes.walk(3).why == WalkEnd::Why::limit);
  CHECK(nodes.walk(3).visited == 3);
  CHECK(nodes.walk(0).visited == 0);
  CHECK(nodes.walk(10, 2).why == WalkEnd::Why::finished);
  CHECK(nodes.walk(10, 2).visited == 2);
}

TEST_CASE("a walk into absent memory tells where", "[image]") {
  const WalkEnd end = Nodes({0x1010, 0xdead0}).walk(10);
  CHECK(end.why == WalkEnd::Why::fault);
  CHECK(end.visited == 3);
  CHECK(end.fault == Fault{Addr{0xdead0}, Absence::not_mapped});
}

}  // namespace
}  // namespace coldcase
