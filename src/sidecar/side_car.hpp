// What a core lacks, taken from /proc beside it by `coldcase capture`: thread names, open files and
// their other ends, mappings with device and inode, file locks. Notes and memory of the core win
// over it; everything in it is optional. Format: share/coldcase/coldcase-side-car-1.schema.json.
#pragma once

#include <coldcase/address.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace coldcase {

// One row of /proc/PID/fd with its fdinfo.
struct OpenFile {
  std::int32_t fd = -1;
  std::string target;        // "pipe:[1234]", "socket:[1234]", "anon_inode:[eventpoll]", a path
  std::uint64_t device = 0;  // st_dev; 0 unknown
  std::uint64_t inode = 0;
  std::uint64_t flags = 0;  // open(2) flags: low two bits 0 read, 1 write, 2 both
  std::optional<std::int64_t> position;
  std::vector<std::int32_t> polls;       // eventpoll: the descriptors it watches
  std::optional<std::uint64_t> eventfd;  // eventfd: its count
  std::optional<std::int64_t> child;     // pidfd: the process
};

// What a TCP connection has moved, and how long before the side-car was taken it last did.
struct TcpState {
  // Since data last came in, or went out; since the connection was made where none ever did.
  std::optional<std::uint64_t> received_ms, sent_ms;
  std::optional<std::uint64_t> received_bytes, sent_bytes;  // in all
  std::optional<std::uint64_t> unread_bytes;                // came in, and nobody has read it
  std::optional<std::uint64_t> untaken_bytes;  // was written, and the other end has not taken it
};

// One socket of /proc/net/{unix,tcp,tcp6,udp,udp6} that the process has open.
struct SocketInfo {
  std::uint64_t inode = 0;
  std::string protocol;       // unix, tcp, tcp6, udp, udp6
  std::string local, remote;  // "10.0.0.1:443", a unix path; empty unknown
  std::string state;          // ESTABLISHED, LISTEN ...
  std::uint64_t peer = 0;     // inode of the other end, on the same machine; 0 unknown
  std::int64_t peer_pid = 0;  // a process that has the other end open; 0 unknown
  std::string peer_name;      // its comm
  TcpState tcp;
};

// One row of /proc/PID/task/TID.
struct TaskInfo {
  std::int32_t tid = 0;
  std::int32_t inner_tid = 0;  // in the process's own PID namespace (last of NSpid); 0 unknown
  std::string name;            // comm
  std::string state;           // R S D T ...
  std::string wchan;
  std::optional<std::uint64_t> cpu_ms;         // user + system time, which gcore leaves out
  std::optional<std::uint64_t> cpu_system_ms;  // the system time of it
  std::optional<std::uint64_t> age_ms;         // since it began
};

// One row of /proc/PID/maps that is backed by a file or shared.
struct MappedFile {
  Range range;
  std::uint64_t offset = 0;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool shared = false;
  std::string path;
};

// One row of /proc/locks on a file the process has open, held or waited for; device and inode are
// those of its OpenFile, also where the kernel's own differ (btrfs, overlayfs).
struct FileLock {
  std::string kind;  // flock posix ofd
  bool write = false;
  bool waiting = false;  // a "->" row: blocked behind the lock of the same id
  std::int64_t id = 0;   // /proc/locks' ordinal
  std::int64_t pid = 0;  // -1 or 0: not known (OFD locks)
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t start = 0;
  std::optional<std::uint64_t> end;  // absent: to the end of the file
};

// How many rows of each list are taken; what lies beyond is left out, and `incomplete` says so.
struct SideCarLimits {
  static constexpr std::size_t children = 4096, zombies = 4096, locks = 16384, tasks = 65536,
                               files = 65536, polls = 65536, sockets = 65536, mappings = 65536;
};

struct SideCar {
  std::string path;      // of the side-car file
  std::string taken_at;  // RFC 3339, UTC
  std::int64_t pid = 0, ppid = 0;
  std::int64_t inner_pid = 0;  // in the process's own PID namespace; 0 unknown
  std::string name;            // comm
  std::string executable;
  // Where its numbers mean what they mean in another side-car: digests of 16 hex digits, equal for
  // one boot of one machine, and for one namespace of it. mount: paths; pid: inner ids;
  // ipc: System V objects; net: addresses and ports. Empty: unknown.
  std::string boot, mount_space, pid_space, ipc_space, net_space;
  std::vector<std::int64_t> children;
  std::vector<std::int64_t> zombies;  // children that have ended and were not waited for
  std::map<std::int64_t, std::int32_t> statuses;  // of zombies, as wait(2) tells it, where known
  std::vector<TaskInfo> tasks;
  std::vector<OpenFile> files;
  std::vector<SocketInfo> sockets;
  std::vector<MappedFile> mappings;
  std::vector<FileLock> locks;
  std::vector<std::string> incomplete;  // what could not be read, as sentences

  // Cuts the lists to their limits, and sorts files by fd and sockets by inode. The reader and
  // `capture` do so once; who makes a SideCar by hand in another order calls it before finding.
  void settle();

  // The first of that number; only after settle().
  const OpenFile* find_file(std::int64_t fd) const;
  const SocketInfo* find_socket(std::uint64_t inode) const;
};

}  // namespace coldcase
