// Packed cores: independent frames with a table, read back by the reader of inputs.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <vector>

#include "bytes/input.hpp"
#include "capture/pack.hpp"
#include "support/catch.hpp"

namespace coldcase::capture {
namespace {

using Blob = std::vector<std::byte>;

class MemoryFile {
 public:
  explicit MemoryFile(const Blob& content = {}) : fd_(::memfd_create("pack", MFD_CLOEXEC)) {
    REQUIRE(fd_ >= 0);
    REQUIRE(::pwrite(fd_, content.data(), content.size(), 0) ==
            static_cast<ssize_t>(content.size()));
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { ::close(fd_); }
  int fd() const { return fd_; }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }
  Blob content() const {
    Blob bytes(static_cast<std::size_t>(::lseek(fd_, 0, SEEK_END)));
    CHECK(::pread(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    return bytes;
  }

 private:
  int fd_;
};

std::uint32_t u32(const Blob& bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, &bytes.at(at + 3) - 3, sizeof value);
  return value;
}

Blob noise(std::size_t size) {
  Blob bytes(size);
  std::minstd_rand random(7);
  for (std::byte& one : bytes) one = static_cast<std::byte>(random());
  return bytes;
}

TEST_CASE("a packed core is the plain one, with a table that adds up") {
  const std::atomic<bool> stop{false};
  Blob plain = noise(3 * pack_frame_bytes + 12345);
  const std::size_t zeros = GENERATE(std::size_t{0}, 4 * pack_frame_bytes);
  plain.resize(plain.size() + zeros);
  const MemoryFile from(plain);
  const MemoryFile to;
  std::uint64_t told = 0;
  const Packed packed = pack(
      from.fd(), to.fd(), [&](std::uint64_t done) { told = done; }, stop);
  CHECK(packed.end == PackEnd::done);
  CHECK(packed.plain_bytes == plain.size());
  CHECK(told == plain.size());
  const Input input = open_input(to.path());
  CHECK(input.cut_short.empty());
  CHECK(input.frames != nullptr);  // what capture writes is read frame by frame
  REQUIRE(input.content().bytes().size() == plain.size());
  CHECK(std::memcmp(input.content().bytes().data(), plain.data(), plain.size()) == 0);

  const Blob bytes = to.content();
  CHECK(bytes.size() == packed.packed_bytes);
  CHECK(u32(bytes, bytes.size() - 4) == 0x8f92eab1);
  const std::uint32_t frames = u32(bytes, bytes.size() - 9);
  const std::size_t table = bytes.size() - 9 - std::size_t{8} * frames;
  CHECK(frames == (plain.size() + pack_frame_bytes - 1) / pack_frame_bytes);
  CHECK(u32(bytes, table - 8) == 0x184d2a5e);
  CHECK(u32(bytes, table - 4) == bytes.size() - table);
  std::uint64_t packed_sum = 0;
  std::uint64_t plain_sum = 0;
  for (std::size_t i = 0; i < frames; ++i) {
    packed_sum += u32(bytes, table + 8 * i);
    plain_sum += u32(bytes, table + 8 * i + 4);
  }
  CHECK(packed_sum == table - 8);
  CHECK(plain_sum == plain.size());
}

TEST_CASE("packing ends when asked to, and says when it cannot write") {
  const MemoryFile from(noise(pack_frame_bytes));
  const MemoryFile to;
  const std::atomic<bool> stop{true};
  CHECK(pack(
            from.fd(), to.fd(), [](std::uint64_t) {}, stop)
            .end == PackEnd::stopped);
  const std::atomic<bool> go{false};
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  const Packed packed = pack(
      from.fd(), full, [](std::uint64_t) {}, go);
  ::close(full);
  CHECK(packed.end == PackEnd::write_error);
  CHECK(packed.error == ENOSPC);
}

TEST_CASE("an empty file packs to a table of nothing") {
  const std::atomic<bool> stop{false};
  const MemoryFile from;
  const MemoryFile to;
  CHECK(pack(
            from.fd(), to.fd(), [](std::uint64_t) {}, stop)
            .end == PackEnd::done);
  CHECK(to.content().size() == 17);
}

}  // namespace
}  // namespace coldcase::capture
