// The other ends of pipes and sockets, and the holders of file locks, as side-cars tell them.
#include <algorithm>

#include "base/text.hpp"
#include "lens/family.hpp"
#include "lens/glibc/descriptors.hpp"

namespace coldcase {
namespace {

constexpr std::uint64_t access_mask = 3, only_read = 0, only_write = 1;

EvidenceId side_car_evidence(const Seen& seen, ResourceId id, std::string claim, Ledger& ledger) {
  Evidence evidence;
  evidence.claim = std::move(claim);
  evidence.basis = Basis::side_car;
  evidence.process = seen.view.process;
  evidence.resource = id;
  evidence.source = "/proc/PID/fd and fdinfo, taken beside the core";
  return ledger.add_evidence(std::move(evidence));
}

void add_feeder(const Seen& seen, ResourceId id, EvidenceId known, Ledger& ledger) {
  auto& feeders = ledger.resource(id).feeders;
  const Ref by = seen.view.process;
  if (std::ranges::find(feeders, by, &Owner::by) != feeders.end()) return;
  feeders.push_back({by, std::nullopt, Confidence::proved, Basis::side_car, {known}});
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

void join_pipe(const Family& family, const OpenFile& file, ResourceId id, Ledger& ledger) {
  const bool data = wants_data(ledger.facts, ledger.resource(id));
  for (const auto& seen : family) {
    if (seen->view.side_car == nullptr) continue;
    for (const OpenFile& other : seen->view.side_car->files) {
      if (other.target != file.target) continue;
      const std::uint64_t access = other.flags & access_mask;
      if (data ? access == only_read : access == only_write) continue;
      const EvidenceId known = side_car_evidence(
          *seen, id,
          "this process has the pipe's " + std::string(data ? "writing" : "reading") +
              " end open, as file descriptor " + std::to_string(other.fd),
          ledger);
      add_feeder(*seen, id, known, ledger);
    }
  }
}

void join_socket(const Family& family, const Seen& home, const OpenFile& file, ResourceId id,
                 Ledger& ledger) {
  const auto inode = inode_of_target(file.target, "socket");
  const auto& sockets = home.view.side_car->sockets;
  const auto socket =
      inode ? std::ranges::find(sockets, *inode, &SocketInfo::inode) : sockets.end();
  if (socket == sockets.end() || socket->peer == 0) return;
  const std::string target = "socket:[" + std::to_string(socket->peer) + "]";
  for (const auto& seen : family) {
    if (seen->view.side_car == nullptr) continue;
    for (const OpenFile& other : seen->view.side_car->files) {
      if (other.target != target) continue;
      const EvidenceId known =
          side_car_evidence(*seen, id,
                            "this process has the socket's other end open, as file descriptor " +
                                std::to_string(other.fd),
                            ledger);
      add_feeder(*seen, id, known, ledger);
    }
  }
}

// The rows of /proc/locks that hold what is waited for.
void join_file_lock(const Family& family, const Seen& home, const OpenFile& file, ResourceId id,
                    Ledger& ledger) {
  if (file.inode == 0) return;
  for (const FileLock& lock : home.view.side_car->locks) {
    if (lock.waiting || lock.inode != file.inode || lock.device != file.device) continue;
    for (const auto& seen : family) {
      const bool same = seen->view.side_car != nullptr && seen->view.side_car->pid == lock.pid;
      if (!same || seen.get() == &home) continue;
      const EvidenceId known =
          side_car_evidence(*seen, id,
                            "/proc/locks names this process as its holder (" +
                                clean_text(lock.kind, 16) + (lock.write ? ", write)" : ", read)"),
                            ledger);
      auto& owners = ledger.resource(id).owners;
      const Ref by = seen->view.process;
      if (std::ranges::find(owners, by, &Owner::by) == owners.end())
        owners.push_back({by,
                          lock.write ? Mode::exclusive : Mode::shared,
                          Confidence::proved,
                          Basis::side_car,
                          {known}});
    }
  }
}

}  // namespace

// Whatever one of these processes waits on was made a resource by its target; find each process's
// descriptors of the same target.
void join_descriptors(const Family& family, Ledger& ledger) {
  for (const auto& seen : family) {
    if (seen->view.side_car == nullptr) continue;
    for (const OpenFile& file : seen->view.side_car->files) {
      if (const auto pipe = ledger.find_named(file.target); pipe.known()) {
        if (ledger.resource(pipe).kind == WaitKind::pipe) join_pipe(family, file, pipe, ledger);
        if (ledger.resource(pipe).kind == WaitKind::socket)
          join_socket(family, *seen, file, pipe, ledger);
      }
      const auto lock = ledger.find_named(key_of_file_lock(file));
      if (lock.known()) join_file_lock(family, *seen, file, lock, ledger);
    }
  }
}

}  // namespace coldcase
