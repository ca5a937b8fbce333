#include "capture/proc_files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

namespace coldcase::capture {
namespace {

constexpr std::size_t most_bytes = std::size_t{32} << 20;

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

// Kernels without CONFIG_PROC_CHILDREN have no task/TID/children: every process is asked for its
// parent instead.
std::vector<std::int64_t> children_by_parent(std::int64_t pid) {
  std::vector<std::int64_t> children;
  for (const std::int64_t other : list_numbers("/proc").value_or(std::vector<std::int64_t>{})) {
    const auto stat = stat_of(other);
    if (stat && stat->ppid == pid) children.push_back(other);
  }
  return children;
}

}  // namespace

std::string proc_path(std::int64_t pid, const std::string& rest) {
  return "/proc/" + std::to_string(pid) + "/" + rest;
}

std::optional<std::string> read_proc(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return std::nullopt;
  std::string text;
  std::array<char, 16384> buffer{};
  int error = 0;
  while (text.size() < most_bytes) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = errno;
    if (got <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::close(fd);
  errno = error;
  if (error != 0) return std::nullopt;
  return text;
}

std::optional<std::string> read_link(const std::string& path) {
  std::array<char, 4096> target{};
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size < 0) return std::nullopt;
  return std::string(target.data(), static_cast<std::size_t>(size));
}

std::optional<std::vector<std::int64_t>> list_numbers(const std::string& folder) {
  const std::unique_ptr<DIR, CloseFolder> open{::opendir(folder.c_str())};
  if (!open) return std::nullopt;
  std::vector<std::int64_t> numbers;
  while (const dirent* entry = ::readdir(open.get())) {
    std::int64_t number = 0;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    const auto [at, error] = std::from_chars(entry->d_name, end, number);
    if (error == std::errc{} && at == end && numbers.size() < most_rows) numbers.push_back(number);
  }
  std::ranges::sort(numbers);
  return numbers;
}

std::optional<Stat> stat_of(std::int64_t pid) {
  const auto text = read_proc(proc_path(pid, "stat"));
  return text ? parse_stat(*text) : std::nullopt;
}

bool has_ended(std::int64_t pid, const Stat& stat) {
  if (stat.state == 'X') return true;
  if (stat.state != 'Z') return false;
  const auto tids = list_numbers(proc_path(pid, "task"));
  return !tids || tids->size() <= 1;
}

std::vector<std::int64_t> children_of(std::int64_t pid) {
  const std::string folder = proc_path(pid, "task/");
  std::vector<std::int64_t> children;
  for (const std::int64_t tid : list_numbers(folder).value_or(std::vector<std::int64_t>{})) {
    const auto text = read_proc(folder + std::to_string(tid) + "/children");
    if (!text && errno == ENOENT && ::access(folder.c_str(), F_OK) == 0 && tid == pid)
      return children_by_parent(pid);
    const auto some = parse_numbers(text.value_or(""));
    children.insert(children.end(), some.begin(), some.end());
  }
  std::ranges::sort(children);
  return children;
}

}  // namespace coldcase::capture
