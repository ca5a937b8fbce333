// Damaged seekable .zst: whatever the bytes, reading by frames ends with what reading the file as
// one stream gives, or refuses as that does.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <coldcase/result.hpp>
#include <memory>
#include <string>

#include "bytes/input.hpp"
#include "hostile/seek_table_invariants.hpp"
#include "support/catch.hpp"
#include "support/seekable.hpp"

namespace coldcase::test {
namespace {

struct Outcome {
  std::string trouble;  // why there is no content
  std::string cut_short;
  Blob content;
  bool operator==(const Outcome&) const = default;
};

Outcome read_all(const std::string& path, Unpack unpack) {
  try {
    const Input input = open_input(path, unpack);
    const Bytes bytes = input.content().bytes();
    return {{}, input.cut_short, {bytes.begin(), bytes.end()}};
  } catch (const Error& error) {
    return {error.what(), {}, {}};
  }
}

// A file without a name, rewritten for every attempt.
class Attempts {
 public:
  Attempts() : fd_(::memfd_create("attempt", MFD_CLOEXEC)) { REQUIRE(fd_ >= 0); }
  Attempts(const Attempts&) = delete;
  Attempts& operator=(const Attempts&) = delete;
  ~Attempts() { ::close(fd_); }

  void attempt(Bytes file, const char* what, std::size_t at) {
    // Alone in a block of its size: the sanitizers tell of a read past it.
    const auto alone = std::make_unique<std::byte[]>(file.size());
    std::ranges::copy(file, alone.get());
    const std::string_view broken = broken_table({alone.get(), file.size()});
    if (!broken.empty()) FAIL(broken << ": " << what << " at offset " << at);
    REQUIRE(::ftruncate(fd_, 0) == 0);
    REQUIRE(::pwrite(fd_, file.data(), file.size(), 0) == static_cast<ssize_t>(file.size()));
    const std::string path = "/proc/self/fd/" + std::to_string(fd_);
    bool by_frames = false;
    const Outcome read = reading_frames([&](Unpack unpack) {
      by_frames = unpack == Unpack::as_read;
      return read_all(path, unpack);
    });
    if (by_frames && read.trouble.empty() && read.cut_short.empty()) ++read_at_once_;
    const Outcome wanted = read_all(path, Unpack::first);
    if (read == wanted) return;
    FAIL("not as one stream: " << what << " at offset " << at << " of " << file.size() << ": "
                               << read.content.size() << " bytes, not " << wanted.content.size()
                               << "; '" << read.cut_short << "', not '" << wanted.cut_short
                               << "'; '" << read.trouble << "', not '" << wanted.trouble << "'");
  }
  std::size_t read_at_once() const { return read_at_once_; }

 private:
  int fd_;
  std::size_t read_at_once_ = 0;
};

Blob sample(int which) {
  Blob content;
  for (unsigned i = 0; i < 180; ++i) append(content, i * i * 2654435761u);
  content.resize(content.size() + 200);
  const bool checksums = which % 2 == 1;
  std::vector<PackedFrame> frames = packed_frames(content, {300, checksums, which < 2});
  if (which == 2) frames.insert(frames.begin() + 1, skippable_frame("skip"));
  return seekable_file(frames, checksums);
}

TEST_CASE("a seekable file cut at every offset", "[hostile]") {
  const Blob file = sample(GENERATE(0, 1, 2, 3));
  Attempts attempts;
  for (std::size_t size = 1; size <= file.size(); ++size)
    attempts.attempt(Bytes(file).first(size), "cut", size);
  CHECK(attempts.read_at_once() > 0);
}

TEST_CASE("a seekable file with every byte flipped", "[hostile]") {
  Blob file = sample(GENERATE(0, 1, 2, 3));
  Attempts attempts;
  for (std::size_t at = 0; at < file.size(); ++at) {
    const std::byte good = file[at];
    for (const unsigned flip : {0x01u, 0x80u, 0xffu}) {
      file[at] = good ^ static_cast<std::byte>(flip);
      attempts.attempt(file, "flip", at);
    }
    file[at] = good;
  }
  attempts.attempt(file, "nothing", 0);
  CHECK(attempts.read_at_once() > 0);
}

TEST_CASE("a seek table with every word at its limits", "[hostile]") {
  const Blob good = sample(GENERATE(0, 1, 2, 3));
  Attempts attempts;
  for (std::size_t at = good.size() - 80; at + 4 <= good.size(); ++at) {
    for (const std::uint32_t value : {0u, 1u, 7u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
      Blob file = good;
      patch(file, at, value);
      attempts.attempt(file, "word", at);
    }
  }
}

}  // namespace
}  // namespace coldcase::test
