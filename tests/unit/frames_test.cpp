// Seekable .zst: what is unpacked when, and which tables are believed.
#include <sys/resource.h>

#include <csignal>
#include <random>

#include "base/xxh64.hpp"
#include "bytes/input.hpp"
#include "core/core.hpp"
#include "support/catch.hpp"
#include "support/seekable.hpp"
#include "support/temporary_folder.hpp"

namespace coldcase::test {
namespace {

Blob noise(std::size_t size) {
  Blob bytes(size);
  std::minstd_rand random(11);
  for (std::byte& one : bytes) one = static_cast<std::byte>(random() >> 8);
  return bytes;
}

bool same(Bytes one, Bytes other) {
  return std::ranges::equal(one, other);
}

std::uint64_t xxh64(Bytes bytes, std::size_t step) {
  Xxh64 hash;
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(step, bytes.size())))
    hash.add(bytes.first(std::min(step, bytes.size())));
  return hash.value();
}

TEST_CASE("XXH64 is what others compute", "[frames]") {
  const Blob content = noise(700);
  CHECK(Xxh64().value() == 0xef46db3751d8e999);  // xxHash's own test: nothing, seed 0
  CHECK(xxh64(text_blob("abc"), 9) == 0x44bc2cf5ad770999);
  for (std::size_t size = 1; size < content.size(); size = size < 100 ? size + 1 : size + 37) {
    const Bytes part = Bytes(content).first(size);
    const PackedFrame frame = packed_frames(part).front();
    for (const std::size_t step : {1u, 7u, 31u, 32u, 33u, 64u, 1000u})
      REQUIRE(static_cast<std::uint32_t>(xxh64(part, step)) == frame.checksum);
    if (size > 600) break;
  }
}

TEST_CASE("reading a range unpacks the frames that hold it", "[frames]") {
  const TemporaryFolder folder;
  constexpr std::size_t frame = 64 * 1024;
  const bool checksums = GENERATE(false, true);
  const bool sizes = GENERATE(false, true);
  const Blob content = noise(20 * frame + 5);
  const Blob packed = seekable_file(content, {frame, checksums, sizes});
  const Input input = open_input(folder.write("core.zst", packed));
  REQUIRE(input.frames != nullptr);
  CHECK(input.compression == Compression::zstd);
  CHECK(input.file_bytes == packed.size());
  CHECK(input.content().size() == content.size());
  CHECK(folder.spooled() == 0);

  const FileSpan span = input.content();
  CHECK(same(span.bytes(3 * frame + 10, 100), Bytes(content).subspan(3 * frame + 10, 100)));
  CHECK(folder.spooled() >= frame);
  CHECK(folder.spooled() < 2 * frame);
  CHECK(same(span.bytes(5 * frame - 1, 2), Bytes(content).subspan(5 * frame - 1, 2)));
  CHECK(folder.spooled() >= 3 * frame);
  CHECK(folder.spooled() < 4 * frame);
  CHECK(same(span.part(3 * frame, 3 * frame).bytes(0, 2 * frame),
             Bytes(content).subspan(3 * frame, 2 * frame)));
  CHECK(folder.spooled() < 4 * frame);  // they were there
  CHECK(parse_at<std::uint8_t>(span, content.size() - 1) ==
        std::to_integer<std::uint8_t>(content.back()));
  CHECK_FALSE(parse_at<std::uint16_t>(span, content.size() - 1));
  CHECK(span.bytes(content.size(), 1).empty());
  CHECK(span.part(frame, ~std::uint64_t{0}).part(content.size(), 1).empty());
  CHECK(same(span.bytes(), content));
}

TEST_CASE("frames need not fill pages, and zeros stay holes", "[frames]") {
  const TemporaryFolder folder;
  Blob content = noise(10'000);
  content.resize(content.size() + (std::size_t{8} << 20));
  const Blob tail = noise(3000);
  content.insert(content.end(), tail.begin(), tail.end());
  const std::size_t frame = GENERATE(333u, 4097u, 100'000u);
  const std::string path = folder.write("core.zst", seekable_file(content, {frame, true, true}));
  const Input input = open_input(path);
  REQUIRE(input.frames != nullptr);
  // Last first, so that neighbours share a page that is there already.
  for (std::size_t at = content.size(); at > frame; at -= frame)
    CHECK(
        same(input.content().bytes(at - frame, frame), Bytes(content).subspan(at - frame, frame)));
  CHECK(same(input.content().bytes(), content));
  CHECK(folder.spooled() <= std::uint64_t{64} << 10);
}

TEST_CASE("skippable frames stand in the table with no content", "[frames]") {
  const TemporaryFolder folder;
  const Blob content = noise(2500);
  std::vector<PackedFrame> frames = packed_frames(content);
  frames.insert(frames.begin(), skippable_frame("first"));
  frames.insert(frames.begin() + 2, skippable_frame(""));
  frames.insert(frames.end(), 2, skippable_frame("last"));
  const Input input = open_input(folder.write("core.zst", seekable_file(frames)));
  REQUIRE(input.frames != nullptr);
  CHECK(same(input.content().bytes(999, 2), Bytes(content).subspan(999, 2)));
  CHECK(same(input.content().bytes(), content));
}

TEST_CASE("an input read by frames outlives being moved", "[frames]") {
  const TemporaryFolder folder;
  const Blob content = noise(5000);
  Input first = open_input(folder.write("core.zst", seekable_file(content)));
  const FileSpan span = first.content();
  const Input second = std::move(first);
  CHECK(same(span.bytes(), content));
  CHECK(same(second.content().bytes(), content));
}

struct Lie {
  const char* what;
  std::size_t from_end;  // of the file
  std::uint32_t flip;
};

TEST_CASE("a table that does not agree with its file is not believed", "[frames]") {
  const TemporaryFolder folder;
  const Blob content = noise(2500);
  Blob file = seekable_file(content);  // three frames: rows at -33, -25, -17; footer at -9
  REQUIRE(parse_seek_table(file));
  const Lie lie =
      GENERATE(Lie{"footer's magic", 4, 1}, Lie{"a reserved flag", 5, 0x40},
               Lie{"checksums", 5, 0x80}, Lie{"more frames", 9, 4}, Lie{"fewer frames", 9, 1},
               Lie{"no frames", 9, 3}, Lie{"millions of frames", 9, 0xff00'0000},
               Lie{"packed size", 17, 1}, Lie{"a packed size past the end", 33, 0x8000'0000},
               Lie{"plain size", 29, 1}, Lie{"an absurd plain size", 29, 0x8000'0000},
               Lie{"table's magic", 41, 1}, Lie{"table's size", 37, 1});
  INFO(lie.what);
  const std::size_t at = file.size() - lie.from_end;
  std::uint32_t word = 0;
  std::memcpy(&word, &file.at(at), lie.from_end == 5 ? 1 : 4);
  lie.from_end == 5 ? patch(file, at, static_cast<std::uint8_t>(word ^ lie.flip))
                    : patch(file, at, word ^ lie.flip);
  CHECK_FALSE(parse_seek_table(file));
  const Input input = open_input(folder.write("core.zst", file));
  CHECK(input.frames == nullptr);
  CHECK(same(input.content().bytes(), content));
  // The skippable frame's own size is what the one way needs of the table.
  CHECK(input.cut_short.empty() == (lie.from_end != 37));
}

TEST_CASE("unused flags are not looked at", "[frames]") {
  Blob file = seekable_file(noise(2500));
  patch(file, file.size() - 5, std::uint8_t{3});
  CHECK(parse_seek_table(file));
}

TEST_CASE("two files in one, or more behind the table: one stream", "[frames]") {
  const TemporaryFolder folder;
  const Blob one = seekable_file(noise(2500));
  Blob file = one;
  file.insert(file.end(), one.begin(), one.end());
  const Input twice = open_input(folder.write("twice.zst", file));
  CHECK(twice.frames == nullptr);
  CHECK(twice.content().size() == 5000);
  file = one;
  const Blob more = packed_frames(noise(10)).front().bytes;
  file.insert(file.end(), more.begin(), more.end());
  const Input longer = open_input(folder.write("longer.zst", file));
  CHECK(longer.frames == nullptr);
  CHECK(longer.content().size() == 2510);
}

TEST_CASE("a frame is empty when it says so itself", "[frames]") {
  std::vector<PackedFrame> frames = packed_frames(noise(2500), {1000, false, false});
  CHECK(parse_seek_table(seekable_file(frames)));
  frames[1].plain = 0;
  CHECK_FALSE(parse_seek_table(seekable_file(frames)));
}

TEST_CASE("a table without content is no way to read", "[frames]") {
  CHECK_FALSE(parse_seek_table(seekable_file(std::vector<PackedFrame>{})));
  CHECK_FALSE(parse_seek_table(seekable_file(std::vector{skippable_frame("nothing")})));
}

// What analysis does: some reads, and a result from them.
Blob ends_of(const std::string& path, int& tries) {
  return reading_frames([&](Unpack unpack) {
    ++tries;
    const Input input = open_input(path, unpack);
    Blob ends;
    for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{input.content().size() - 1000}})
      std::ranges::copy(input.content().bytes(at, 1000), std::back_inserter(ends));
    return ends;
  });
}

Blob ends_of(const Blob& content) {
  Blob ends(content.begin(), content.begin() + 1000);
  ends.insert(ends.end(), content.end() - 1000, content.end());
  return ends;
}

TEST_CASE("what is found out while reading makes it start over as one stream", "[frames]") {
  const TemporaryFolder folder;
  const Blob content = noise(4000);
  std::vector<PackedFrame> frames = packed_frames(content, {1000, true, false});
  const int lie = GENERATE(0, 1, 2, 3);
  if (lie == 0) {  // sizes that the frames do not tell
    ++frames[0].plain;
    --frames[1].plain;
  }
  if (lie == 1) --frames[3].plain;
  if (lie == 2) frames[3].checksum ^= 1;
  if (lie == 3) {  // two frames as one, and the other way round
    const auto half = static_cast<std::ptrdiff_t>(frames[3].bytes.size() / 2);
    frames[2].bytes.insert(frames[2].bytes.end(), frames[3].bytes.begin(),
                           frames[3].bytes.begin() + half);
    frames[3].bytes.erase(frames[3].bytes.begin(), frames[3].bytes.begin() + half);
  }
  const Blob file = seekable_file(frames, lie == 2);
  const std::string path = folder.write("core.zst", file);
  const bool at_once = lie == 3;  // what is no frame shows in its header
  CHECK((open_input(path).frames == nullptr) == at_once);
  int tries = 0;
  CHECK(ends_of(path, tries) == ends_of(content));
  CHECK(tries == (at_once ? 1 : 2));
}

TEST_CASE("a frame that is damaged matters to who reads it", "[frames]") {
  const TemporaryFolder folder;
  const Blob content = noise(4000);
  std::vector<PackedFrame> frames = packed_frames(content, {1000, true, true});
  const std::size_t which = GENERATE(1u, 3u);
  patch(frames[which].bytes, 500, std::uint32_t{0});
  const std::string path = folder.write("core.zst", seekable_file(frames, true));
  const Input whole = open_input(path, Unpack::first);
  int tries = 0;
  const Blob ends = ends_of(path, tries);
  CHECK(tries == (which == 1 ? 1 : 2));
  if (which == 1) CHECK(ends == ends_of(content));
  if (which == 3)
    CHECK(same(Bytes(ends).last(1000), whole.content().bytes(whole.content().size() - 1000, 1000)));
  CHECK_THROWS_AS(open_input(path).content().bytes(), BadFrame);
}

TEST_CASE("no room for the content is told as ever", "[frames]") {
  const TemporaryFolder folder;
  const std::string path = folder.write("core.zst", seekable_file(noise(50'000)));
  struct rlimit before {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const struct rlimit small { 4096, before.rlim_max };
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::optional<Trouble> trouble;
  try {
    (void)open_input(path);
  } catch (const Error& error) {
    trouble = error.trouble();
  }
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, old);
  CHECK(trouble == Trouble::read_error);
}

TEST_CASE("a core is the same read by frames", "[frames]") {
  const TemporaryFolder folder;
  const Built built = small_core(GENERATE(Style::kernel, Style::gcore));
  const std::string path = folder.write("core.zst", seekable_file(built.bytes, {100, true, true}));
  const Input input = open_input(path);
  REQUIRE(input.frames != nullptr);
  const Core packed = parse_core(input.content(), "core");
  const Core plain = parse_core(built.bytes, "core");
  REQUIRE(packed.identity.size() == plain.identity.size());
  for (std::size_t i = 0; i < plain.identity.size(); ++i)
    CHECK(same(packed.identity[i], plain.identity[i]));
  REQUIRE(packed.segments.size() == plain.segments.size());
  for (std::size_t i = 0; i < plain.segments.size(); ++i)
    CHECK(same(packed.segments[i].bytes.bytes(), plain.segments[i].bytes.bytes()));
  CHECK(packed.declared_bytes == plain.declared_bytes);
  CHECK(packed.file.size() == plain.file.size());
  CHECK(packed.threads.size() == plain.threads.size());
}

}  // namespace
}  // namespace coldcase::test
