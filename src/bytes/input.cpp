#include "bytes/input.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "bytes/handles.hpp"
#include "bytes/messages.hpp"
#include "bytes/spool.hpp"

namespace coldcase {
namespace {

constexpr std::uint32_t zstd_magic = 0xfd2fb528;      // RFC 8878, 3.1.1
constexpr std::uint32_t zstd_skippable = 0x184d2a50;  // RFC 8878, 3.1.2: low 4 bits free

bool is_zstd(Bytes head) {
  const auto magic = parse_at<std::uint32_t>(head, 0);
  return magic && (*magic == zstd_magic || (*magic & 0xfffffff0u) == zstd_skippable);
}

// Reads up to `into.size()` bytes, across short reads and interruptions; throws on a read error.
std::size_t read_fully(int fd, std::span<std::byte> into, const std::string& path) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = ::read(fd, into.data() + done, into.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw messages::cannot_open(path, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

// A stream (standard input or a compressed file) becomes a sparse unlinked file.
Input open_stream(int fd, Input input) {
  std::array<std::byte, 4> head{};
  const std::size_t got = read_fully(fd, head, input.path);
  if (got == 0) throw messages::is_empty(input.path);
  Spool spool;
  const Bytes start{head.data(), got};
  if (is_zstd(start)) {
    input.compression = Compression::zstd;
    input.cut_short = decompress_zstd(start, fd, input.path, spool);
    if (spool.size() == 0) {
      throw messages::not_zstd(input.path,
                               input.cut_short.empty() ? "nothing inside" : input.cut_short);
    }
  } else {
    copy_plain(start, fd, input.path, spool);
  }
  if (input.file_bytes == 0) input.file_bytes = spool.size();
  input.mapping = spool.map();
  return input;
}

}  // namespace

Input open_input(const std::string& path, Unpack unpack) {
  Input input;
  input.path = path;
  if (path == "-") {
    input.path = "(standard input)";
    return open_stream(STDIN_FILENO, std::move(input));
  }
  // O_NONBLOCK: opening a FIFO would wait for its writer; a regular file does not notice.
  const FileHandle file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!file.valid()) throw messages::cannot_open(path, errno);
  struct stat about {};
  if (::fstat(file.get(), &about) != 0) throw messages::cannot_open(path, errno);
  if (S_ISDIR(about.st_mode)) throw messages::is_directory(path);
  if (!S_ISREG(about.st_mode)) throw messages::not_a_file(path);
  if (about.st_size == 0) throw messages::is_empty(path);
  input.file_bytes = static_cast<std::uint64_t>(about.st_size);
  input.modified = about.st_mtim.tv_sec;
  input.mapping = Mapping(file.get(), input.file_bytes);
  if (!is_zstd(input.mapping.bytes())) return input;
  input.compression = Compression::zstd;
  Mapping packed = std::exchange(input.mapping, Mapping());
  if (unpack == Unpack::as_read) input.frames = open_frames(std::move(packed));
  if (input.frames) return input;
  return open_stream(file.get(), std::move(input));
}

}  // namespace coldcase
