#include "sidecar/side_car.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace coldcase {
namespace {

template <class T>
void cut(std::vector<T>& rows, std::size_t limit, const char* name, SideCar& side_car) {
  if (rows.size() <= limit) return;
  rows.resize(limit);
  std::string line = std::string(name) + " beyond the first " + std::to_string(limit);
  if (std::ranges::find(side_car.incomplete, line) == side_car.incomplete.end())
    side_car.incomplete.push_back(std::move(line));
}

// Of the rows sorted by `key` the first that has `value`.
template <class T, class Key, class Value>
const T* find_sorted(const std::vector<T>& rows, Key key, Value value) {
  const auto at = std::ranges::lower_bound(rows, value, {}, key);
  return at != rows.end() && std::invoke(key, *at) == value ? &*at : nullptr;
}

}  // namespace

void SideCar::settle() {
  using Limits = SideCarLimits;
  for (std::size_t i = Limits::zombies; i < zombies.size(); ++i) statuses.erase(zombies[i]);
  cut(children, Limits::children, "children", *this);
  cut(zombies, Limits::zombies, "zombies", *this);
  cut(tasks, Limits::tasks, "threads", *this);
  cut(files, Limits::files, "open files", *this);
  cut(sockets, Limits::sockets, "sockets", *this);
  cut(mappings, Limits::mappings, "mappings", *this);
  cut(locks, Limits::locks, "file locks", *this);
  for (OpenFile& file : files) cut(file.polls, Limits::polls, "files of an epoll set", *this);
  std::ranges::stable_sort(files, {}, &OpenFile::fd);
  std::ranges::stable_sort(sockets, {}, &SocketInfo::inode);
}

const OpenFile* SideCar::find_file(std::int64_t fd) const {
  return find_sorted(files, &OpenFile::fd, fd);
}

const SocketInfo* SideCar::find_socket(std::uint64_t inode) const {
  return find_sorted(sockets, &SocketInfo::inode, inode);
}

}  // namespace coldcase
