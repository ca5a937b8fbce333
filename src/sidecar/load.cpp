// Reads the file: a regular one, of bounded size, read once into memory.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sidecar/side_car_json.hpp"

namespace coldcase {
namespace {

tl::expected<std::string, std::string> read_all(int fd) {
  struct stat about {};
  if (::fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
    return tl::unexpected<std::string>("it is no regular file");
  if (about.st_size > static_cast<off_t>(side_car_file_limit))
    return tl::unexpected<std::string>("it is larger than 64 MiB");
  std::string text(static_cast<std::size_t>(about.st_size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(fd, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tl::unexpected<std::string>(std::strerror(errno));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  text.resize(done);
  return text;
}

}  // namespace

tl::expected<SideCar, std::string> load_side_car(const std::string& path) {
  // O_NONBLOCK: a FIFO of that name must not make the analysis wait.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return tl::unexpected<std::string>(errno == ENOENT || errno == ENOTDIR ? ""
                                                                           : std::strerror(errno));
  const auto text = read_all(fd);
  ::close(fd);
  if (!text) return tl::unexpected(text.error());
  auto side_car = parse_side_car(*text);
  if (side_car) side_car->path = path;
  return side_car;
}

}  // namespace coldcase
