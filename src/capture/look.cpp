#include "capture/look.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>
#include <set>
#include <utility>

#include "base/digest.hpp"
#include "capture/proc_files.hpp"
#include "capture/tcp_states.hpp"
#include "capture/unix_peers.hpp"

namespace coldcase::capture {
namespace {

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  std::array<char, 32> text{};
  if (::gmtime_r(&now, &parts) == nullptr) return {};
  return std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts) > 0
             ? std::string(text.data())
             : "";
}

void lacks(SideCar& side_car, const std::string& what, int error) {
  side_car.incomplete.push_back(what + ": " + std::strerror(error));
}

// Of a process that we may not trace the kernel prints exit status 0 (fs/proc/array.c,
// do_task_stat): that 0 says nothing.
bool may_trace(std::int64_t pid) {
  const auto text = read_proc(proc_path(pid, "status"));
  const auto own = static_cast<std::int64_t>(::geteuid());
  return own == 0 || (text && parse_status(*text).uid == own);
}

void add_process(SideCar& side_car) {
  const std::int64_t pid = side_car.pid;
  if (const auto stat = stat_of(pid)) {
    side_car.ppid = stat->ppid;
    side_car.name = stat->name;
  }
  if (const auto text = read_proc(proc_path(pid, "status")))
    side_car.inner_pid = parse_status(*text).inner_pid;
  side_car.executable = read_link(proc_path(pid, "exe")).value_or("");
  for (const std::int64_t child : children_of(pid)) {
    const auto stat = stat_of(child);
    if (!stat || stat->ppid != pid) continue;
    if (!has_ended(child, *stat)) {
      side_car.children.push_back(child);
      continue;
    }
    side_car.zombies.push_back(child);
    const auto status = stat->exit_status;
    if (status && (*status != 0 || may_trace(child))) side_car.statuses[child] = *status;
  }
}

// Whether two captures are of one machine, without telling which: the boot id is the machine's own.
std::string digest_of(const std::string& text) {
  return sha256_hex(text).substr(0, 16);
}

// The initial namespaces have the same inodes on every machine: only with its boot are they a name.
void add_spaces(SideCar& side_car) {
  const auto boot = read_proc("/proc/sys/kernel/random/boot_id");
  if (!boot || boot->empty()) return lacks(side_car, "boot and namespaces", boot ? EIO : errno);
  side_car.boot = digest_of(*boot);
  const std::array<std::pair<const char*, std::string*>, 4> spaces{{{"mnt", &side_car.mount_space},
                                                                    {"pid", &side_car.pid_space},
                                                                    {"ipc", &side_car.ipc_space},
                                                                    {"net", &side_car.net_space}}};
  for (const auto& [name, digest] : spaces) {
    const auto link = read_link(proc_path(side_car.pid, std::string("ns/") + name));
    if (link)
      *digest = digest_of(*boot + *link);  // "mnt:[4026531841]"
    else
      lacks(side_car, std::string(name) + " namespace", errno);
  }
}

// The clock that start times are told in; it counts while the machine sleeps too.
std::optional<std::uint64_t> ms_since_boot() {
  timespec now{};
  if (::clock_gettime(CLOCK_BOOTTIME, &now) != 0 || now.tv_sec < 0) return std::nullopt;
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

std::uint64_t ticks_to_ms(std::uint64_t ticks) {
  static const auto rate = static_cast<std::uint64_t>(std::max(::sysconf(_SC_CLK_TCK), 1L));
  return ticks / rate * 1000 + ticks % rate * 1000 / rate;
}

void add_times(const Stat& stat, TaskInfo& task) {
  task.cpu_ms = ticks_to_ms(stat.user_ticks) + ticks_to_ms(stat.system_ticks);
  task.cpu_system_ms = ticks_to_ms(stat.system_ticks);
  const auto now = ms_since_boot();
  const std::uint64_t begin = ticks_to_ms(stat.start);
  if (now && begin <= *now) task.age_ms = *now - begin;
}

void add_tasks(SideCar& side_car) {
  const std::string folder = proc_path(side_car.pid, "task/");
  const auto tids = list_numbers(folder);
  if (!tids) return lacks(side_car, "threads", errno);
  for (const std::int64_t tid : *tids) {
    const std::string at = folder + std::to_string(tid);
    const auto text = read_proc(at + "/stat");
    const auto stat = text ? parse_stat(*text) : std::nullopt;
    if (!stat) continue;  // it has ended
    TaskInfo task;
    task.tid = static_cast<std::int32_t>(tid);
    task.name = stat->name;
    task.state = std::string(1, stat->state);
    add_times(*stat, task);
    if (const auto status = read_proc(at + "/status"))
      task.inner_tid = static_cast<std::int32_t>(parse_status(*status).inner_pid);
    const auto wchan = read_proc(at + "/wchan");
    if (wchan && *wchan != "0") task.wchan = *wchan;
    side_car.tasks.push_back(std::move(task));
  }
}

void add_mappings(SideCar& side_car) {
  const auto text = read_proc(proc_path(side_car.pid, "maps"));
  if (!text) return lacks(side_car, "mappings", errno);
  side_car.mappings = parse_maps(*text);
}

std::uint64_t socket_inode(std::string_view target) {
  constexpr std::string_view prefix = "socket:[";
  std::uint64_t inode = 0;
  if (!target.starts_with(prefix)) return 0;
  std::from_chars(target.data() + prefix.size(), target.data() + target.size(), inode);
  return inode;
}

// Both ends of a connection within one machine are rows of the same table, with the addresses the
// other way round.
void join_tcp_ends(std::map<std::uint64_t, SocketInfo>& sockets) {
  std::map<std::pair<std::string, std::string>, std::uint64_t> ends;
  for (const auto& [inode, socket] : sockets) {
    if (socket.protocol.starts_with("tcp") && socket.state == "ESTABLISHED")
      ends.emplace(std::pair{plain_endpoint(socket.local), plain_endpoint(socket.remote)}, inode);
  }
  for (const auto& [pair, inode] : ends) {
    const auto other = ends.find({pair.second, pair.first});
    if (other != ends.end() && other->second != inode) sockets.at(inode).peer = other->second;
  }
}

// The first process that has each socket open, as far as we may look.
std::map<std::uint64_t, std::int64_t> find_socket_users() {
  constexpr std::size_t most_files = std::size_t{1} << 18;
  std::map<std::uint64_t, std::int64_t> users;
  std::size_t files = 0;
  for (const std::int64_t pid : list_numbers("/proc/").value_or(std::vector<std::int64_t>{})) {
    const std::string folder = proc_path(pid, "fd/");
    for (const std::int64_t fd : list_numbers(folder).value_or(std::vector<std::int64_t>{})) {
      if (++files > most_files) return users;
      const auto inode = socket_inode(read_link(folder + std::to_string(fd)).value_or(""));
      if (inode != 0) users.emplace(inode, pid);
    }
  }
  return users;
}

}  // namespace

Look::Look() : own_namespace_(read_link("/proc/self/ns/net").value_or("")) {
  if (const auto text = read_proc("/proc/locks")) {
    locks_ = parse_locks(*text);
    locks_read_ = true;
  }
}

SideCar Look::at(std::int64_t pid) {
  SideCar side_car;
  side_car.pid = pid;
  side_car.taken_at = now_utc();
  add_process(side_car);
  add_spaces(side_car);
  add_tasks(side_car);
  const KernelFiles files = add_files(side_car);
  add_mappings(side_car);
  add_sockets(side_car);
  add_locks(side_car, files);
  side_car.settle();
  return side_car;
}

const Look::Sockets& Look::sockets_for(std::int64_t pid, SideCar& side_car) {
  const std::string name = read_link(proc_path(pid, "ns/net")).value_or(proc_path(pid, ""));
  const auto known = sockets_.find(name);
  if (known != sockets_.end()) return known->second;
  Sockets& sockets = sockets_[name];
  const auto add = [&](std::vector<SocketInfo> some) {
    for (SocketInfo& socket : some) sockets.emplace(socket.inode, std::move(socket));
  };
  for (const char* protocol : {"tcp", "tcp6", "udp", "udp6"}) {
    const auto text = read_proc(proc_path(pid, std::string("net/") + protocol));
    if (text) add(parse_net_inet(*text, protocol));
  }
  const auto text = read_proc(proc_path(pid, "net/unix"));
  if (!text) lacks(side_car, "sockets", errno);
  if (text) add(parse_net_unix(*text));
  join_tcp_ends(sockets);
  if (name != own_namespace_) return sockets;  // the kernel tells the rest of our own alone
  for (const auto& [inode, peer] : find_unix_peers()) {
    const auto socket = sockets.find(inode);
    if (socket != sockets.end() && socket->second.protocol == "unix") socket->second.peer = peer;
  }
  for (const auto& [inode, state] : find_tcp_states()) {
    const auto socket = sockets.find(inode);
    if (socket != sockets.end() && socket->second.protocol.starts_with("tcp"))
      socket->second.tcp = state;
  }
  return sockets;
}

// The process at the other end, of the machine's all: it may be one that nobody captures.
void Look::add_other_ends(SideCar& side_car) {
  for (SocketInfo& socket : side_car.sockets) {
    if (socket.peer == 0) continue;
    if (!socket_users_) socket_users_ = find_socket_users();
    const auto user = socket_users_->find(socket.peer);
    if (user == socket_users_->end()) continue;
    socket.peer_pid = user->second;
    if (const auto stat = stat_of(user->second)) socket.peer_name = stat->name;
  }
}

void Look::add_sockets(SideCar& side_car) {
  std::set<std::uint64_t> wanted;
  for (const OpenFile& file : side_car.files) wanted.insert(socket_inode(file.target));
  wanted.erase(0);
  if (wanted.empty()) return;
  const Sockets& sockets = sockets_for(side_car.pid, side_car);
  for (const std::uint64_t inode : wanted) {
    const auto socket = sockets.find(inode);
    if (socket != sockets.end()) side_car.sockets.push_back(socket->second);
  }
  add_other_ends(side_car);
}

Look::KernelFiles Look::add_files(SideCar& side_car) {
  KernelFiles files;
  const std::string folder = proc_path(side_car.pid, "fd/");
  const auto numbers = list_numbers(folder);
  if (!numbers) {
    lacks(side_car, "open files", errno);
    return files;
  }
  const auto mounts = parse_mountinfo(read_proc(proc_path(side_car.pid, "mountinfo")).value_or(""));
  for (const std::int64_t number : *numbers) {
    const std::string link = folder + std::to_string(number);
    const auto target = read_link(link);
    if (!target) continue;
    OpenFile file;
    file.fd = static_cast<std::int32_t>(number);
    file.target = *target;
    // DONT_SYNC: a file server that hangs must not hang us, it may be what we look for.
    struct statx about {};
    if (::statx(AT_FDCWD, link.c_str(), AT_STATX_DONT_SYNC, STATX_INO, &about) == 0) {
      file.device = makedev(about.stx_dev_major, about.stx_dev_minor);
      file.inode = about.stx_ino;
    }
    KernelFile kernel;
    const auto info = read_proc(proc_path(side_car.pid, "fdinfo/" + std::to_string(number)));
    if (info) kernel = parse_fdinfo(*info, file);
    const auto mount = mounts.find(kernel.mount);
    const bool known = kernel.inode != 0 && mount != mounts.end();
    if (file.inode != 0) {
      files.emplace(
          known ? std::pair{kernel.inode, mount->second} : std::pair{file.inode, file.device},
          side_car.files.size());
    }
    side_car.files.push_back(std::move(file));
  }
  return files;
}

// The rows name a file as the kernel does; in the side-car they name it as its files do.
void Look::add_locks(SideCar& side_car, const KernelFiles& files) const {
  if (!locks_read_) return lacks(side_car, "file locks", ENOENT);
  for (FileLock lock : locks_) {
    const auto file = files.find({lock.inode, lock.device});
    if (file == files.end() && lock.pid != side_car.pid) continue;
    if (file != files.end()) {
      lock.inode = side_car.files[file->second].inode;
      lock.device = side_car.files[file->second].device;
    }
    side_car.locks.push_back(std::move(lock));
  }
}

}  // namespace coldcase::capture
