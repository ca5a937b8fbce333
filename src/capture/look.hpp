// Reads what a core lacks from /proc, for one process after the other. Before anything is stopped:
// a stop wakes some system calls, and then it is no longer what it was.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "sidecar/side_car.hpp"

namespace coldcase::capture {

class Look {
 public:
  Look();
  // Whatever cannot be read is left out and said in `incomplete`.
  SideCar at(std::int64_t pid);

 private:
  using Sockets = std::map<std::uint64_t, SocketInfo>;  // by inode
  const Sockets& sockets_for(std::int64_t pid, SideCar& side_car);
  void add_other_ends(SideCar& side_car);
  void add_sockets(SideCar& side_car);
  // Which file (its place in side_car.files) the kernel's (inode, device) is.
  using KernelFiles = std::map<std::pair<std::uint64_t, std::uint64_t>, std::size_t>;
  static KernelFiles add_files(SideCar& side_car);
  void add_locks(SideCar& side_car, const KernelFiles& files) const;

  std::vector<FileLock> locks_;
  bool locks_read_ = false;
  std::map<std::string, Sockets> sockets_;  // by network namespace
  std::string own_namespace_;
  std::optional<std::map<std::uint64_t, std::int64_t>> socket_users_;  // inode to process
};

}  // namespace coldcase::capture
