#include "capture/pack.hpp"

#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <vector>

namespace coldcase::capture {
namespace {

// zstd_seekable_compression_format.md, version 0.1.0.
constexpr std::uint32_t skippable_magic = 0x184d2a5e, footer_magic = 0x8f92eab1;
constexpr std::uint64_t most_frames = 0x8000000;
constexpr int level = 3;

struct FreeEncoder {
  void operator()(ZSTD_CCtx* encoder) const { ZSTD_freeCCtx(encoder); }
};

using Bytes = std::span<const std::byte>;

bool all_zero(Bytes bytes) {
  return bytes[0] == std::byte{0} &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

void add_u32(std::vector<std::byte>& to, std::uint64_t value) {
  for (unsigned shift = 0; shift < 32; shift += 8)
    to.push_back(static_cast<std::byte>(value >> shift & 0xff));
}

class Packer {
 public:
  explicit Packer(int to)
      : to_(to), encoder_(ZSTD_createCCtx()), frame_(ZSTD_compressBound(pack_frame_bytes)) {
    ZSTD_CCtx_setParameter(encoder_.get(), ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(encoder_.get(), ZSTD_c_checksumFlag, 1);
  }
  std::uint64_t written() const { return written_; }

  bool add(Bytes plain) {
    // gcore writes reservations as zeros by the gigabyte: such a frame is made once.
    const bool zeros = plain.size() == pack_frame_bytes && all_zero(plain);
    if (zeros && !zero_frame_.empty()) return put(zero_frame_, plain.size());
    const std::size_t size =
        ZSTD_compress2(encoder_.get(), frame_.data(), frame_.size(), plain.data(), plain.size());
    if (ZSTD_isError(size) != 0) return fail(ENOMEM);
    const Bytes packed{frame_.data(), size};
    if (zeros) zero_frame_.assign(packed.begin(), packed.end());
    return put(packed, plain.size());
  }

  bool finish() {
    if (frames_ > most_frames) return true;  // the table's own limit: readable, not seekable
    std::vector<std::byte> tail;
    add_u32(tail, skippable_magic);
    add_u32(tail, table_.size() + 9);
    tail.insert(tail.end(), table_.begin(), table_.end());
    add_u32(tail, frames_);
    tail.push_back(std::byte{0});  // no checksums in the table: the frames have their own
    add_u32(tail, footer_magic);
    return write(tail);
  }
  int error() const { return error_; }

 private:
  bool fail(int error) {
    error_ = error;
    return false;
  }
  bool put(Bytes packed, std::size_t plain_size) {
    add_u32(table_, packed.size());
    add_u32(table_, plain_size);
    ++frames_;
    return write(packed);
  }
  bool write(Bytes bytes) {
    while (!bytes.empty()) {
      const ssize_t done = ::write(to_, bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) return fail(done < 0 ? errno : EIO);
      bytes = bytes.subspan(static_cast<std::size_t>(done));
      written_ += static_cast<std::uint64_t>(done);
    }
    return true;
  }

  int to_;
  std::unique_ptr<ZSTD_CCtx, FreeEncoder> encoder_;
  std::vector<std::byte> frame_, zero_frame_, table_;
  std::uint64_t frames_ = 0, written_ = 0;
  int error_ = 0;
};

// Bytes read, fewer than asked for at the end alone; -1 with errno.
ssize_t read_frame(int from, std::vector<std::byte>& into) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = ::read(from, into.data() + done, into.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return static_cast<ssize_t>(done);
}

}  // namespace

Packed pack(int from, int to, const std::function<void(std::uint64_t done)>& progress,
            const std::atomic<bool>& stop) {
  Packed packed;
  Packer packer(to);
  std::vector<std::byte> plain(pack_frame_bytes);
  for (;;) {
    if (stop) {
      packed.end = PackEnd::stopped;
      return packed;
    }
    const ssize_t got = read_frame(from, plain);
    if (got < 0) {
      packed.end = PackEnd::read_error;
      packed.error = errno;
      return packed;
    }
    if (got == 0) break;
    if (!packer.add(Bytes(plain).first(static_cast<std::size_t>(got)))) break;
    packed.plain_bytes += static_cast<std::uint64_t>(got);
    progress(packed.plain_bytes);
  }
  if (packer.error() != 0 || !packer.finish()) {
    packed.end = PackEnd::write_error;
    packed.error = packer.error();
  }
  packed.packed_bytes = packer.written();
  return packed;
}

}  // namespace coldcase::capture
