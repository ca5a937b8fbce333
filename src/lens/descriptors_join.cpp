// The other ends of pipes and sockets, and the holders of file locks, as side-cars tell them.
#include <algorithm>
#include <map>

#include "base/text.hpp"
#include "lens/family.hpp"
#include "lens/glibc/descriptors.hpp"

namespace coldcase {
namespace {

constexpr std::uint64_t access_mask = 3, only_read = 0, only_write = 1;

struct Opened {
  const Seen* by;
  const OpenFile* file;
};
// Every descriptor of the incident by what it leads to.
using OpenEnds = std::map<std::string_view, std::vector<Opened>>;

Evidence side_car_evidence(const Seen& seen, ResourceId id, std::string claim) {
  Evidence evidence;
  evidence.claim = std::move(claim);
  evidence.basis = Basis::side_car;
  evidence.process = seen.view.process;
  evidence.resource = id;
  evidence.source = "/proc/PID/fd and fdinfo, taken beside the core";
  return evidence;
}

void add_feeder(const Seen& seen, ResourceId id, std::string claim, Ledger& ledger) {
  const Ref by = seen.view.process;
  const auto& known = ledger.resource(id).feeders;
  if (std::ranges::find(known, by, &Owner::by) != known.end()) return;
  const EvidenceId evidence = ledger.add_evidence(side_car_evidence(seen, id, std::move(claim)));
  ledger.resource(id).feeders.push_back(
      {by, std::nullopt, Confidence::proved, Basis::side_car, {evidence}});
}

// Do its waiters want data (and wait for a writer) or room (and wait for a reader)?
bool wants_data(const Facts& facts, const ResourceFact& resource) {
  for (const Ref waiter : resource.waiters) {
    const ThreadId id = waiter.as<RefKind::thread>();
    if (id.known() && facts.threads[id.index].wait)
      return facts.threads[id.index].wait->mode != Mode::write;
  }
  return true;
}

void join_pipe(const Seen& home, const std::vector<Opened>& ends, ResourceId id, Ledger& ledger) {
  const bool data = wants_data(ledger.facts, ledger.resource(id));
  for (const Opened& end : ends) {
    const std::uint64_t access = end.file->flags & access_mask;
    if ((data ? access == only_read : access == only_write) || !same_machine(home, *end.by))
      continue;
    add_feeder(*end.by, id,
               "this process has the pipe's " + std::string(data ? "writing" : "reading") +
                   " end open, as file descriptor " + std::to_string(end.file->fd),
               ledger);
  }
  ResourceFact& pipe = ledger.resource(id);
  if (!pipe.feeders.empty()) return;
  pipe.owner_unknown_code = "no_other_end";
  pipe.owner_unknown_text = "no process of this incident has its other end open";
}

// The other end is with a process that has no core here.
void add_outside_feeder(const Seen& home, const SocketInfo& socket, ResourceId id, Ledger& ledger) {
  if (socket.peer_pid <= 0) return;
  const ProcessId process = absent_process(ledger, socket.peer_pid, {}, Fate::alive);
  ProcessFact& fact = ledger.facts.processes[process.index];
  if (fact.label.empty()) fact.label = clean_text(socket.peer_name, 64);
  const auto& known = ledger.resource(id).feeders;
  if (std::ranges::find(known, Ref(process), &Owner::by) != known.end()) return;
  const EvidenceId evidence = ledger.add_evidence(side_car_evidence(
      home, id, "a process that has no core here has the socket's other end open"));
  ledger.resource(id).feeders.push_back(
      {process, std::nullopt, Confidence::proved, Basis::side_car, {evidence}});
}

void join_socket(const Seen& home, const OpenFile& file, const OpenEnds& ends, ResourceId id,
                 Ledger& ledger) {
  const auto inode = inode_of_target(file.target, "socket");
  const auto& sockets = home.view.side_car->sockets;
  const auto socket =
      inode ? std::ranges::find(sockets, *inode, &SocketInfo::inode) : sockets.end();
  if (socket == sockets.end() || socket->peer == 0) return;
  const std::string target = "socket:[" + std::to_string(socket->peer) + "]";
  const auto others = ends.find(target);
  bool found = false;
  for (const Opened& end : others == ends.end() ? std::vector<Opened>{} : others->second) {
    if (!same_machine(home, *end.by)) continue;
    found = true;
    add_feeder(*end.by, id,
               "this process has the socket's other end open, as file descriptor " +
                   std::to_string(end.file->fd),
               ledger);
  }
  if (!found) add_outside_feeder(home, *socket, id, ledger);
}

// The row of /proc/locks that a waiting row stands behind: rows of one lock have one number.
const FileLock* blocking_row(const SideCar& side_car, const OpenFile& file) {
  const auto same_file = [&](const FileLock& lock) {
    return lock.inode == file.inode && lock.device == file.device;
  };
  const FileLock* own = nullptr;
  for (const FileLock& lock : side_car.locks) {
    if (!lock.waiting || lock.pid != side_car.pid || !same_file(lock)) continue;
    if (own != nullptr && own->id != lock.id) return nullptr;  // which of its threads waits for it?
    own = &lock;
  }
  if (own == nullptr) return nullptr;
  const auto holder = std::ranges::find_if(side_car.locks, [&](const FileLock& lock) {
    return !lock.waiting && lock.id == own->id && same_file(lock);
  });
  return holder == side_car.locks.end() || holder->pid == side_car.pid ? nullptr : &*holder;
}

void join_file_lock(const Family& family, const Seen& home, const OpenFile& file, ResourceId id,
                    Ledger& ledger) {
  const FileLock* lock = blocking_row(*home.view.side_car, file);
  if (lock == nullptr || lock->pid <= 0) return;
  const auto holder = std::ranges::find_if(family, [&](const auto& seen) {
    return seen->view.side_car != nullptr && seen->view.side_car->pid == lock->pid &&
           same_machine(home, *seen);
  });
  if (holder == family.end()) return;
  const Ref by = (*holder)->view.process;
  const auto& owners = ledger.resource(id).owners;
  if (std::ranges::find(owners, by, &Owner::by) != owners.end()) return;
  const EvidenceId known = ledger.add_evidence(
      side_car_evidence(**holder, id,
                        "/proc/locks names this process as its holder (" +
                            clean_text(lock->kind, 16) + (lock->write ? ", write)" : ", read)")));
  ledger.resource(id).owners.push_back({by,
                                        lock->write ? Mode::exclusive : Mode::shared,
                                        Confidence::proved,
                                        Basis::side_car,
                                        {known}});
}

void join_waited(const Family& family, const Seen& home, const OpenEnds& ends, Ledger& ledger) {
  std::map<std::string_view, const OpenFile*> targets;
  for (const OpenFile& file : home.view.side_car->files) targets.try_emplace(file.target, &file);
  for (const auto& [target, file] : targets) {
    const ResourceId id = ledger.find_named(file->target);
    if (id.known() && ledger.resource(id).kind == WaitKind::pipe)
      join_pipe(home, ends.at(target), id, ledger);
    if (id.known() && ledger.resource(id).kind == WaitKind::socket)
      join_socket(home, *file, ends, id, ledger);
    const ResourceId lock = ledger.find_named(key_of_file_lock(home.view.process, *file));
    if (lock.known()) join_file_lock(family, home, *file, lock, ledger);
  }
}

}  // namespace

// Whatever one of these processes waits on was made a resource by what it leads to.
void join_descriptors(const Family& family, Ledger& ledger) {
  OpenEnds ends;
  for (const auto& seen : family) {
    if (seen->view.side_car == nullptr) continue;
    for (const OpenFile& file : seen->view.side_car->files)
      ends[file.target].push_back({seen.get(), &file});
  }
  for (const auto& seen : family) {
    if (seen->view.side_car != nullptr) join_waited(family, *seen, ends, ledger);
  }
}

}  // namespace coldcase
