// Opening inputs: files, compressed files, streams, and what is no input at all.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "bytes/handles.hpp"
#include "bytes/input.hpp"
#include "bytes/spool.hpp"
#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace coldcase {
namespace {

namespace fs = std::filesystem;

using Folder = test::TemporaryFolder;

// Standard input is `path` while this lives.
class StandardInput {
 public:
  explicit StandardInput(const std::string& path) : saved_(::dup(STDIN_FILENO)) {
    REQUIRE(std::freopen(path.c_str(), "rb", stdin) != nullptr);
  }
  StandardInput(const StandardInput&) = delete;
  StandardInput& operator=(const StandardInput&) = delete;
  ~StandardInput() {
    ::dup2(saved_.get(), STDIN_FILENO);
    std::clearerr(stdin);
  }

 private:
  FileHandle saved_;
};

std::string text_of_bytes(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Bytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string compressed(std::string_view content) {
  std::string out(ZSTD_compressBound(content.size()), '\0');
  const std::size_t size = ZSTD_compress(out.data(), out.size(), content.data(), content.size(), 1);
  REQUIRE(ZSTD_isError(size) == 0u);
  out.resize(size);
  return out;
}

// Does not compress, so that a cut in the file is a cut in the content.
std::string noise(std::size_t size) {
  std::mt19937_64 random(7);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// The trouble that opening `path` ends in; nothing when it opens.
std::optional<Trouble> trouble(const std::string& path) {
  try {
    (void)open_input(path);
    return std::nullopt;
  } catch (const Error& error) {
    CHECK_FALSE(std::string_view(error.what()).empty());
    return error.trouble();
  }
}

TEST_CASE("parse_at never reads past the end", "[bytes]") {
  const std::string text("\x01\x02\x03\x04\x05", 5);
  CHECK(parse_at<std::uint32_t>(bytes_of(text), 0) == 0x04030201u);
  CHECK(parse_at<std::uint32_t>(bytes_of(text), 1) == 0x05040302u);
  CHECK_FALSE(parse_at<std::uint32_t>(bytes_of(text), 2));
  CHECK_FALSE(parse_at<std::uint8_t>(bytes_of(text), 5));
  CHECK_FALSE(parse_at<std::uint64_t>(bytes_of(text), 0));
  CHECK_FALSE(parse_at<std::uint32_t>(bytes_of(text), ~std::uint64_t{0}));
  CHECK_FALSE(parse_at<std::uint8_t>({}, 0));
}

TEST_CASE("slice is the part that exists", "[bytes]") {
  const std::string text = "abcdef";
  CHECK(text_of_bytes(slice(bytes_of(text), 2, 3)) == "cde");
  CHECK(text_of_bytes(slice(bytes_of(text), 4, 100)) == "ef");
  CHECK(text_of_bytes(slice(bytes_of(text), 4, ~std::uint64_t{0})) == "ef");
  CHECK(slice(bytes_of(text), 6, 1).empty());
  CHECK(slice(bytes_of(text), ~std::uint64_t{0}, 2).empty());
  CHECK(slice(bytes_of(text), 2, 0).empty());
}

TEST_CASE("text_at ends at a NUL or with the bytes", "[bytes]") {
  const std::string text("one\0two", 7);
  CHECK(text_at(bytes_of(text), 0) == "one");
  CHECK(text_at(bytes_of(text), 3).empty());
  CHECK(text_at(bytes_of(text), 4) == "two");
  CHECK(text_at(bytes_of(text), 7).empty());
  CHECK(text_at(bytes_of(text), ~std::uint64_t{0}).empty());
}

TEST_CASE("a plain file is mapped", "[bytes]") {
  const Folder folder;
  const std::string path = folder.write("core.1", "content");
  const Input input = open_input(path);
  CHECK(text_of_bytes(input.content().bytes()) == "content");
  CHECK(input.path == path);
  CHECK(input.compression == Compression::none);
  CHECK(input.file_bytes == 7);
  CHECK(input.taken.at > 1'600'000'000);
  CHECK(input.cut_short.empty());
}

TEST_CASE("an input outlives being moved", "[bytes]") {
  const Folder folder;
  Input first = open_input(folder.write("core.1", "content"));
  Input second = std::move(first);
  CHECK(text_of_bytes(second.content().bytes()) == "content");
  second = open_input(folder.write("core.2", "other"));
  CHECK(text_of_bytes(second.content().bytes()) == "other");
}

TEST_CASE("a .zst is decompressed, whatever its name", "[bytes]") {
  const Folder folder;
  const std::string content = noise(300'000) + std::string(200'000, '\0') + "end";
  const std::string packed = compressed(content);
  const Input input = open_input(folder.write("core.odd", packed));
  CHECK(text_of_bytes(input.content().bytes()) == content);
  CHECK(input.compression == Compression::zstd);
  CHECK(input.file_bytes == packed.size());
  CHECK(input.taken.at > 1'600'000'000);
  CHECK(input.cut_short.empty());
}

TEST_CASE("frames one after the other and skippable ones are one content", "[bytes]") {
  const Folder folder;
  const std::string skippable("\x50\x2a\x4d\x18\x03\0\0\0xyz", 11);
  const Input input = open_input(
      folder.write("core.zst", skippable + compressed("one ") + skippable + compressed("two")));
  CHECK(text_of_bytes(input.content().bytes()) == "one two");
  CHECK(input.cut_short.empty());
}

TEST_CASE("a .zst cut short gives what it has and says so", "[bytes]") {
  const Folder folder;
  const std::string content = noise(1 << 20);
  const std::string packed = compressed(content);
  const std::string cut = packed.substr(0, packed.size() / 2);
  const Input input = open_input(folder.write("core.zst", cut));
  CHECK_FALSE(input.cut_short.empty());
  const std::string got = text_of_bytes(input.content().bytes());
  CHECK(got.size() > content.size() / 4);
  CHECK(got.size() < content.size());
  CHECK(content.compare(0, got.size(), got) == 0);
}

TEST_CASE("a damaged .zst gives what comes before the damage", "[bytes]") {
  const Folder folder;
  const std::string content = noise(1 << 20);
  const std::string garbage = compressed(content) + "no frame follows";
  const Input input = open_input(folder.write("core.zst", garbage));
  CHECK_FALSE(input.cut_short.empty());
  CHECK(text_of_bytes(input.content().bytes()) == content);
}

// A frame that ends when the decoder's buffer is full has nothing more to give.
TEST_CASE("a .zst of any length is whole", "[bytes]") {
  const Folder folder;
  const std::size_t size = (std::size_t{256} << 10) * GENERATE(1u, 2u, 3u) + GENERATE(0u, 1u);
  const std::string content(size, 'x');  // packed, it is given to the decoder in one piece
  const Input input = open_input(folder.write("core.zst", compressed(content)));
  CHECK(input.cut_short.empty());
  CHECK(text_of_bytes(input.content().bytes()) == content);
}

TEST_CASE("a .zst with nothing in it is an error", "[bytes]") {
  const Folder folder;
  CHECK(trouble(folder.write("a.zst", compressed(""))) == Trouble::not_a_core);
  CHECK(trouble(folder.write("b.zst", compressed("content").substr(0, 5))) == Trouble::not_a_core);
  CHECK(trouble(folder.write("c.zst", "\x28\xb5\x2f\xfd garbage")) == Trouble::not_a_core);
}

TEST_CASE("zero pages stay holes", "[bytes]") {
  const Folder folder;
  const std::string content = noise(4096) + std::string(32 << 20, '\0') + noise(4096);
  const std::string packed = folder.write("core.zst", compressed(content));
  Spool spool;
  const FileHandle file{::open(packed.c_str(), O_RDONLY | O_CLOEXEC)};
  const Mapping mapping(file.get(), std::filesystem::file_size(packed));
  CHECK(unpack_stream(mapping.bytes(), Compression::zstd, spool).empty());
  CHECK(spool.size() == content.size());
  CHECK(folder.spooled() >= 8192);
  CHECK(folder.spooled() < content.size() / 64);
  CHECK(text_of_bytes(spool.map().bytes()) == content);
}

TEST_CASE("a spool keeps every byte, however it is fed", "[bytes]") {
  const Folder folder;
  std::string content = noise(3000) + std::string(20'000, '\0') + "x" + std::string(4095, '\0') +
                        noise(9000) + std::string(8192, '\0');
  const std::size_t step = GENERATE(1u, 7u, 4095u, 4096u, 4097u, 12'000u, 100'000u);
  Spool spool;
  for (std::size_t at = 0; at < content.size(); at += step)
    spool.append(bytes_of(std::string_view(content).substr(at, step)));
  CHECK(spool.size() == content.size());
  CHECK(text_of_bytes(spool.map().bytes()) == content);
}

TEST_CASE("a spool leaves nothing behind", "[bytes]") {
  const Folder folder;
  const std::string path = folder.write("core.zst", compressed("content"));
  const Input input = open_input(path);
  fs::remove(path);
  CHECK(folder.empty());
  CHECK(text_of_bytes(input.content().bytes()) == "content");
}

TEST_CASE("standard input becomes a spool", "[bytes]") {
  const Folder folder;
  const std::string content = noise(5000) + std::string(100'000, '\0') + "end";
  const bool packed = GENERATE(false, true);
  const std::string path = folder.write("stream", packed ? compressed(content) : content);
  const StandardInput redirect(path);
  const Input input = open_input("-");
  CHECK(text_of_bytes(input.content().bytes()) == content);
  CHECK(input.path == "(standard input)");
  CHECK(input.compression == (packed ? Compression::zstd : Compression::none));
  CHECK(input.taken.at == 0);
}

TEST_CASE("a stream shorter than any magic number is still content", "[bytes]") {
  const Folder folder;
  const std::string path = folder.write("stream", "ab");
  const StandardInput redirect(path);
  CHECK(text_of_bytes(open_input("-").content().bytes()) == "ab");
}

TEST_CASE("what is no input says what it is", "[bytes]") {
  const Folder folder;
  const std::string empty = folder.write("empty", "");
  CHECK(trouble(folder.file("missing")) == Trouble::no_such_file);
  CHECK(trouble(empty + "/below-a-file") == Trouble::no_such_file);
  CHECK(trouble(folder.file("")) == Trouble::not_a_core);  // the folder itself
  CHECK(trouble(empty) == Trouble::not_a_core);
  CHECK(trouble("/dev/null") == Trouble::not_a_core);
  CHECK_THROWS_WITH(open_input(folder.file("")), Catch::Contains("is a directory"));
  const StandardInput redirect(empty);
  CHECK(trouble("-") == Trouble::not_a_core);
}

TEST_CASE("a FIFO without a writer does not hang", "[bytes]") {
  const Folder folder;
  const std::string path = folder.file("fifo");
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK(trouble(path) == Trouble::not_a_core);
}

TEST_CASE("a file of somebody else says so", "[bytes]") {
  const Folder folder;
  const std::string path = folder.write("core.1", "content");
  ::chmod(path.c_str(), 0);
  if (::access(path.c_str(), R_OK) == 0) {
    WARN("skipped: root may read everything");
    return;
  }
  CHECK(trouble(path) == Trouble::no_permission);
}

TEST_CASE("messages name the file without its control characters", "[bytes]") {
  try {
    (void)open_input("/nowhere/\x1b[31mcore");
    FAIL("opened");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find('\x1b') == std::string::npos);
    CHECK(std::string(error.what()).find("\\x1b[31mcore") != std::string::npos);
  }
}

TEST_CASE("prefetch is only a hint", "[bytes]") {
  const Folder folder;
  const Input input = open_input(folder.write("core.1", noise(10'000)));
  prefetch(input.content().bytes(5000, 10));
  prefetch({});
  CHECK(input.content().size() == 10'000);
}

}  // namespace
}  // namespace coldcase
