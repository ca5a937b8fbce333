// The texts of /proc as values: pure functions of text (proc(5); Linux fs/proc, fs/locks.c,
// net/unix/af_unix.c, net/ipv4). A line that does not read is left out.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sidecar/side_car.hpp"

namespace coldcase::capture {

// /proc/PID/stat. comm may hold anything, ") R 1 (" too: what counts is the last parenthesis.
struct Stat {
  std::int64_t pid = 0, ppid = 0;
  std::string name;
  char state = '?';
  std::uint64_t flags = 0;  // PF_KTHREAD 0x200000
  std::uint64_t user_ticks = 0, system_ticks = 0;
  std::uint64_t start = 0;  // start time in ticks: with the pid, names a process for ever
  std::optional<std::int32_t> exit_status;
};
std::optional<Stat> parse_stat(std::string_view text);

// /proc/PID/status.
struct Status {
  std::string name;
  std::string state;
  std::int64_t tgid = 0, tracer = 0, uid = -1;
  std::int64_t inner_pid = 0;  // last of NSpid, 0 when that is the same number
  std::uint64_t capabilities = 0;
};
Status parse_status(std::string_view text);

// /proc/PID/maps: rows with a file, and shared ones.
std::vector<MappedFile> parse_maps(std::string_view text);

// Adds what /proc/PID/fdinfo/N says. The mount and the inode are the kernel's own, which stat(2)
// hides behind others on btrfs and overlayfs; 0 where it does not print them (before 5.14).
struct KernelFile {
  std::int64_t mount = 0;
  std::uint64_t inode = 0;
};
KernelFile parse_fdinfo(std::string_view text, OpenFile& file);

// /proc/PID/mountinfo: the device of each mount.
std::map<std::int64_t, std::uint64_t> parse_mountinfo(std::string_view text);

// /proc/locks.
std::vector<FileLock> parse_locks(std::string_view text);

// /proc/PID/net/unix, and tcp, tcp6, udp, udp6: `protocol` says which.
std::vector<SocketInfo> parse_net_unix(std::string_view text);
std::vector<SocketInfo> parse_net_inet(std::string_view text, std::string_view protocol);

// An endpoint as one text whatever the table it stands in: an IPv4 address in an IPv6 socket
// ("[0000:...:ffff:7f00:0001]:80") as IPv4.
std::string plain_endpoint(const std::string& endpoint);

// Numbers between blanks, as in /proc/PID/task/TID/children.
std::vector<std::int64_t> parse_numbers(std::string_view text);

}  // namespace coldcase::capture
