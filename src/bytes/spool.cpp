#include "bytes/spool.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "bytes/messages.hpp"

namespace coldcase {
namespace {

constexpr std::size_t page = 4096;

bool all_zero(Bytes bytes) {
  return bytes[0] == std::byte{0} &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

FileHandle open_temporary() {
  const char* wanted = std::getenv("TMPDIR");
  for (const char* folder : {wanted, "/var/tmp", "/tmp"}) {
    if (folder == nullptr || *folder == '\0') continue;
    FileHandle file{::open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};
    if (file.valid()) return file;
    std::string name = std::string(folder) + "/coldcase.XXXXXX";
    FileHandle named{::mkostemp(name.data(), O_CLOEXEC)};
    if (!named.valid()) continue;
    ::unlink(name.c_str());
    return named;
  }
  throw messages::cannot_spool(errno);
}

void write_at(int fd, Bytes bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) throw messages::cannot_spool(done < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
}

// Fills `buffer` once from `fd`; 0 at the end.
std::size_t read_some(int fd, std::vector<std::byte>& buffer, const std::string& path) {
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) throw messages::cannot_open(path, errno);
  }
}

}  // namespace

Spool::Spool() : file_(open_temporary()) {}

void Spool::append(Bytes bytes) {
  write(size_, bytes);
  size_ += bytes.size();
}

void Spool::write(std::uint64_t at, Bytes bytes) {
  // What is zero of a page of the file is not written, so that whole pages of zeros stay holes;
  // what is between is written in one piece.
  while (!bytes.empty()) {
    const std::size_t to_boundary = page - at % page;
    std::size_t length = std::min(to_boundary, bytes.size());
    const bool zeros = all_zero(bytes.first(length));
    while (!zeros && bytes.size() - length >= page && !all_zero(bytes.subspan(length, page)))
      length += page;
    if (!zeros) write_at(file_.get(), bytes.first(length), at);
    at += length;
    bytes = bytes.subspan(length);
  }
}

Mapping Spool::map() {
  if (::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) throw messages::cannot_spool(errno);
  return {file_.get(), size_, Mapping::Access::shared};
}

void copy_stream(int fd, const std::string& path, Spool& spool) {
  std::vector<std::byte> buffer(1 << 18);
  while (const std::size_t got = read_some(fd, buffer, path))
    spool.append(Bytes{buffer.data(), got});
}

}  // namespace coldcase
