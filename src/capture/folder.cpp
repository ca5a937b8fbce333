#include "capture/folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>

#include "capture/messages.hpp"

namespace coldcase::capture {
namespace {

bool is_program(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

// gdb opens core.PID by name again: whoever may rename entries could put a link of theirs there.
// With the sticky bit (/tmp) only their owners and the folder's may.
std::optional<Error> why_unsafe(int fd, const std::string& path) {
  struct stat about {};
  if (::fstat(fd, &about) != 0) return messages::no_folder(path, errno);
  if (about.st_uid != ::geteuid() && about.st_uid != 0)
    return messages::folder_of_another(path, about.st_uid);
  if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (about.st_mode & S_ISVTX) == 0)
    return messages::folder_is_shared(path);
  if (::faccessat(fd, ".", W_OK, AT_EACCESS) != 0) return messages::no_folder(path, errno);
  return std::nullopt;
}

}  // namespace

Folder::Folder(const std::string& path) : path_(path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) throw messages::no_folder(path, errno);
  fd_ = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0) throw messages::no_folder(path, errno);
  if (const auto problem = why_unsafe(fd_, path)) {
    ::close(fd_);
    throw Error(*problem);
  }
}

Folder::~Folder() {
  ::close(fd_);
}

std::string Folder::path_of(const std::string& name) const {
  return path_.ends_with('/') ? path_ + name : path_ + "/" + name;
}

bool Folder::has(const std::string& name) const {
  struct stat about {};
  return ::fstatat(fd_, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0;
}

int Folder::create(const std::string& name) const {
  const int fd =
      ::openat(fd_, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  if (errno == EEXIST) throw messages::exists(path_of(name));
  throw messages::cannot_write(path_of(name), errno);
}

void Folder::remove(const std::string& name) const {
  ::unlinkat(fd_, name.c_str(), 0);
}

std::string find_gcore(const std::string& wanted) {
  std::error_code ignored;
  if (!wanted.empty()) {
    if (!is_program(wanted)) throw messages::no_gcore(wanted);
    return std::filesystem::absolute(wanted, ignored).string();
  }
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const auto end = rest.find(':');
    const std::string candidate = std::string(rest.substr(0, end)) + "/gcore";
    if (candidate.size() > 6 && is_program(candidate))
      return std::filesystem::absolute(candidate, ignored).string();
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  throw messages::no_gcore("");
}

}  // namespace coldcase::capture
