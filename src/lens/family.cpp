#include "lens/family.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "core/elf_format.hpp"

namespace coldcase {
namespace {

std::int64_t pid_of(const Seen& seen) {
  return seen.view.core.process ? seen.view.core.process->pid : 0;
}

std::int64_t parent_of(const Seen& seen) {
  return seen.view.core.process ? seen.view.core.process->ppid : 0;
}

// By the number the process itself uses for others: that of its own PID namespace.
const Seen* find_process(const Family& family, std::int64_t pid) {
  const auto inner = std::ranges::find_if(
      family, [&](const auto& seen) { return seen->pthreads.inner_pid() == pid; });
  if (inner != family.end()) return inner->get();
  const auto outer =
      std::ranges::find_if(family, [&](const auto& seen) { return pid_of(*seen) == pid; });
  return outer == family.end() ? nullptr : outer->get();
}

// A kernel core's ppid is the number of the *thread* that forked (fill_psinfo in fs/binfmt_elf.c
// takes real_parent, Linux 2.6 to 6.x), /proc's is the process's.
const Seen* find_parent(const Family& family, std::int64_t ppid) {
  if (ppid <= 0) return nullptr;
  if (const Seen* process = find_process(family, ppid)) return process;
  const auto has_thread = [&](const auto& seen) {
    return std::ranges::find(seen->view.core.threads, ppid, &CoreThread::tid) !=
           seen->view.core.threads.end();
  };
  const auto found = std::ranges::find_if(family, has_thread);
  return found == family.end() ? nullptr : found->get();
}

Fate fate_in(const SideCar* side_car, std::int64_t pid) {
  if (side_car == nullptr) return Fate::unknown;
  const auto has = [&](const auto& pids) { return std::ranges::find(pids, pid) != pids.end(); };
  if (has(side_car->zombies)) return Fate::exited;
  return has(side_car->children) ? Fate::alive : Fate::unknown;
}

// The number a wait4 or waitid names: a pid, or nothing for "any child".
std::optional<std::int64_t> awaited_pid(const Seen& seen, std::size_t i) {
  const Registers& r = seen.view.core.threads[i].registers;
  const auto number = [&](Registers::Index index) { return static_cast<std::int32_t>(r[index]); };
  if (use_of_call(seen.native.calls[i].number) == CallUse::child)
    return number(Registers::rdi) > 0 ? std::optional<std::int64_t>(number(Registers::rdi))
                                      : std::nullopt;
  constexpr std::int32_t p_pid = 1, p_pidfd = 3;  // waitid's idtype
  if (number(Registers::rdi) == p_pid && number(Registers::rsi) > 0) return number(Registers::rsi);
  if (number(Registers::rdi) == p_pidfd && seen.view.side_car != nullptr) {
    const OpenFile* file = seen.view.side_car->find_file(number(Registers::rsi));
    if (file != nullptr && file->child && *file->child > 0) return file->child;
  }
  return std::nullopt;
}

bool any_child(const Seen& seen, std::size_t i) {
  const Registers& r = seen.view.core.threads[i].registers;
  const auto first = static_cast<std::int32_t>(r[Registers::rdi]);
  return use_of_call(seen.native.calls[i].number) == CallUse::child ? first == -1 : first == 0;
}

std::vector<Ref> awaited_processes(const Family& family, const Seen& seen, std::size_t i,
                                   Ledger& ledger) {
  std::vector<Ref> targets;
  if (const auto pid = awaited_pid(seen, i)) {
    const Seen* child = find_process(family, *pid);
    targets.push_back(child != nullptr ? child->view.process
                                       : absent_process(ledger, *pid, seen.view.process,
                                                        fate_in(seen.view.side_car, *pid)));
    ProcessFact& fact = ledger.facts.processes[targets.front().index];
    if (fact.label.empty()) fact.label = cpython::find_child_name(seen.python, i, *pid);
    return targets;
  }
  if (!any_child(seen, i)) return targets;
  for (const auto& other : family) {
    if (other.get() != &seen &&
        ledger.facts.processes[other->view.process.index].parent == seen.view.process)
      targets.push_back(other->view.process);
  }
  if (seen.view.side_car == nullptr) return targets;
  for (const std::int64_t pid : seen.view.side_car->children) {
    if (find_process(family, pid) == nullptr)
      targets.push_back(absent_process(ledger, pid, seen.view.process, Fate::alive));
  }
  return targets;
}

std::vector<std::byte> random_bytes(const View& view) {
  const auto at = view.core.auxv_value(elf::at_random);
  if (!at) return {};
  const Bytes bytes = view.image.view(Addr{*at}, 16);
  return bytes.size() == 16 ? std::vector<std::byte>(bytes.begin(), bytes.end())
                            : std::vector<std::byte>{};
}

}  // namespace

ProcessId absent_process(Ledger& ledger, std::int64_t pid, ProcessId parent, Fate fate) {
  for (std::uint32_t p = 0; p < ledger.facts.processes.size(); ++p) {
    const ProcessFact& known = ledger.facts.processes[p];
    if (!known.captured && known.pid == pid) return {p};
  }
  ProcessFact fact;
  fact.captured = false;
  fact.pid = pid;
  fact.parent = parent;
  fact.fate = fate;
  ledger.facts.processes.push_back(std::move(fact));
  return {static_cast<std::uint32_t>(ledger.facts.processes.size() - 1)};
}

bool forked_kin(const View& a, const View& b) {
  if (a.core.auxv_value(elf::at_random) != b.core.auxv_value(elf::at_random)) return false;
  const auto bytes = random_bytes(a);
  return !bytes.empty() && bytes == random_bytes(b);
}

bool same_machine(const Seen& a, const Seen& b) {
  if (&a == &b || forked_kin(a.view, b.view)) return true;
  const SideCar *first = a.view.side_car, *second = b.view.side_car;
  if (first != nullptr && second != nullptr && !first->boot.empty() && !second->boot.empty())
    return first->boot == second->boot && first->mount_space == second->mount_space;
  const std::int64_t pid = pid_of(a), other = pid_of(b);
  const std::int64_t parent = parent_of(a), others_parent = parent_of(b);
  return (pid > 0 && pid == others_parent) || (other > 0 && other == parent) ||
         (parent > 1 && parent == others_parent);
}

void join_children(const Family& family, Ledger& ledger) {
  for (const auto& seen : family) {
    ProcessFact& fact = ledger.facts.processes[seen->view.process.index];
    const Seen* parent = find_parent(family, parent_of(*seen));
    if (parent != nullptr && parent != seen.get()) fact.parent = parent->view.process;
  }
  for (const auto& seen : family) {
    if (family.size() < 2 || seen->view.side_car == nullptr) continue;
    for (const std::int64_t pid : seen->view.side_car->children) {
      if (find_process(family, pid) == nullptr)
        absent_process(ledger, pid, seen->view.process, fate_in(seen->view.side_car, pid));
    }
  }
  for (const auto& seen : family) {
    for (std::size_t i = 0; i < seen->view.core.threads.size(); ++i) {
      const ThreadId id = seen->view.thread_id(i);
      const auto& known = ledger.thread(id).wait;
      if (!known || known->kind != WaitKind::process_exit || !known->on.empty()) continue;
      Wait wait = *known;
      wait.on = awaited_processes(family, *seen, i, ledger);
      ledger.set_wait(id, std::move(wait));
    }
  }
}

// The feeder's own frame has the lock alone, not the queue.
static void name_write_lock(ThreadId feeder, ResourceId queue, Ledger& ledger) {
  const auto& wait = ledger.thread(feeder).wait;
  if (!wait || wait->kind != WaitKind::semlock || wait->on.size() != 1) return;
  ResourceFact& lock = ledger.resource(wait->on.front().as<RefKind::resource>());
  if (!lock.label.starts_with("the write lock of ")) return;
  lock.label = "the write lock of " + ledger.resource(queue).label;
  lock.part_of = queue;
}

void join_queues(const Family& family, Ledger& ledger) {
  const std::size_t count = ledger.facts.resources.size();
  for (std::uint32_t r = 0; r < count; ++r) {
    const ResourceFact& queue = ledger.facts.resources[r];
    if (queue.implementation != "multiprocessing.Queue" || queue.at.empty() ||
        queue.part_of.known())
      continue;
    const Place first = queue.at.front();
    const Seen& home = *family[first.process.index];
    for (const auto& seen : family) {
      const bool same = seen.get() == &home;
      if (!same && !forked_kin(seen->view, home.view)) continue;
      for (const std::size_t i : feeders_of_queue(seen->python, seen->pthreads, first.address)) {
        if (!same) ledger.share({r}, seen->view.process, first.address);
        Evidence evidence;
        evidence.claim = "the queue's own _thread in its process is " + std::string("LWP ") +
                         std::to_string(seen->view.core.threads[i].tid) + ": it writes what is put";
        evidence.basis = Basis::memory;
        evidence.thread = seen->view.thread_id(i);
        evidence.resource = {r};
        evidence.address = first.address;
        evidence.source = "multiprocessing.queues.Queue._thread";
        const EvidenceId known = ledger.add_evidence(std::move(evidence));
        // Other processes may put as well: it is not the only one for sure.
        ledger.resource({r}).feeders.push_back(
            {seen->view.thread_id(i), std::nullopt, Confidence::likely, Basis::memory, {known}});
        name_write_lock(seen->view.thread_id(i), {r}, ledger);
      }
    }
  }
}

void join_pools(const Family& family, Ledger& ledger) {
  for (ResourceFact& resource : ledger.facts.resources) {
    if (!resource.pool || resource.at.empty()) continue;
    const ProcessId home = resource.at.front().process;
    for (const std::int64_t pid : resource.pool->pids) {
      const Seen* worker = find_process(family, pid);
      if (worker != nullptr && worker->view.process != home &&
          same_machine(*worker, *family[home.index]))
        resource.pool->workers.push_back(worker->view.process);
    }
  }
}

void join_processes(const Family& family, Ledger& ledger) {
  join_children(family, ledger);
  join_shared_memory(family, ledger);
  join_semlocks(family, ledger);
  join_queues(family, ledger);
  join_pools(family, ledger);
  join_descriptors(family, ledger);
  join_forks(family, ledger);
}

}  // namespace coldcase
