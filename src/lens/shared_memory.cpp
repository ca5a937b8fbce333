// Objects in memory that several processes of the incident have mapped.
#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "base/text.hpp"
#include "lens/family.hpp"

namespace coldcase {
namespace {

// What is mapped at an address, if other processes may have mapped it too.
struct SharedPlace {
  std::string key;           // equal for the same file or memory object
  std::uint64_t offset = 0;  // in it
  bool by_address = false;   // the name does not tell it apart: only kin at the same address
};

// NT_FILE has no inode. Files under /dev/shm have names of their own, also the temporary ones of
// sem_open (native-waits.md 6.3); memfd and anonymous shared memory have none.
std::optional<SharedPlace> place_in_files(const Core& core, Addr at) {
  const auto row = std::ranges::find_if(
      core.files, [&](const FileMapping& file) { return file.range.contains(at); });
  if (row == core.files.end()) return std::nullopt;
  const std::uint64_t offset = at.value - row->range.begin.value + row->offset;
  if (row->path.starts_with("/dev/shm/")) return SharedPlace{std::string(row->path), offset, false};
  if (row->path.starts_with("/dev/zero") || row->path.starts_with("/memfd:") ||
      row->path.starts_with("/SYSV"))
    return SharedPlace{std::string(row->path), offset, true};
  return std::nullopt;
}

std::optional<SharedPlace> place_of(const View& view, Addr at) {
  if (view.side_car != nullptr) {
    for (const MappedFile& row : view.side_car->mappings) {
      if (!row.shared || !row.range.contains(at) || row.inode == 0) continue;
      return SharedPlace{std::to_string(row.device) + ":" + std::to_string(row.inode),
                         at.value - row.range.begin.value + row.offset, false};
    }
  }
  return place_in_files(view.core, at);
}

// Where the other process has it mapped.
std::optional<Addr> find_place(const View& view, const SharedPlace& wanted, Addr elsewhere) {
  if (view.side_car != nullptr) {
    for (const MappedFile& row : view.side_car->mappings) {
      const std::string key = std::to_string(row.device) + ":" + std::to_string(row.inode);
      if (!row.shared || key != wanted.key || wanted.offset < row.offset) continue;
      const Addr at{row.range.begin.value + (wanted.offset - row.offset)};
      if (row.range.contains(at)) return at;
    }
  }
  for (const FileMapping& row : view.core.files) {
    if (row.path != wanted.key || wanted.offset < row.offset) continue;
    const Addr at{row.range.begin.value + (wanted.offset - row.offset)};
    if (row.range.contains(at) && (!wanted.by_address || at == elsewhere)) return at;
  }
  return std::nullopt;
}

// The owner word of a lock shared between processes, once all of them are there.
void resolve_owner(const Family& family, Ledger& ledger, ResourceId id) {
  const ResourceFact& resource = ledger.resource(id);
  if (resource.owner_unknown_code != "owner_in_other_process" || !resource.owners.empty()) return;
  const auto word = std::ranges::find_if(resource.words, [](const MemoryWord& w) {
    return w.name == "__owner" || w.name == "__cur_writer";
  });
  if (word == resource.words.end()) return;
  for (const Place& place : resource.at) {
    const Seen& seen = *family[place.process.index];
    const auto owner = seen.pthreads.find_owner(static_cast<std::int32_t>(word->value));
    if (!owner) continue;
    Evidence evidence;
    evidence.claim = "the lock's own " + word->name + " field holds " +
                     std::to_string(word->value) + ", a thread of this process";
    evidence.basis = Basis::owner_word;
    evidence.thread = seen.view.thread_id(*owner);
    evidence.resource = id;
    evidence.address = place.address;
    evidence.source = resource.implementation + "." + word->name + ", shared between processes";
    const EvidenceId known = ledger.add_evidence(std::move(evidence));
    ledger.add_hold(seen.view.thread_id(*owner), {id,
                                                  Mode::exclusive,
                                                  std::nullopt,
                                                  std::nullopt,
                                                  Confidence::proved,
                                                  Basis::owner_word,
                                                  {known}});
    return;
  }
}

}  // namespace

void join_shared_memory(const Family& family, Ledger& ledger) {
  const std::size_t count = ledger.facts.resources.size();
  for (std::uint32_t r = 0; r < count; ++r) {
    if (ledger.facts.resources[r].waiters.empty() || ledger.facts.resources[r].at.empty()) continue;
    const Place first = ledger.facts.resources[r].at.front();
    const Seen& home = *family[first.process.index];
    const auto shared = place_of(home.view, first.address);
    if (!shared) continue;
    for (const auto& seen : family) {
      if (seen.get() == &home) continue;
      if (shared->by_address ? !forked_kin(seen->view, home.view) : !same_machine(*seen, home))
        continue;
      if (const auto at = find_place(seen->view, *shared, first.address))
        ledger.share({r}, seen->view.process, *at);
    }
    resolve_owner(family, ledger, {r});
  }
}

namespace {

// SemLockObject (Modules/_multiprocessing/semaphore.c, 3.6 to 3.13, x86_64): type 8, handle 16,
// last_tid 24, count i32 32, maxvalue i32 36, kind i32 40, name 48.
struct SemLock {
  Addr at;
  std::uint64_t last_tid = 0;
  std::int32_t count = 0, max_value = 0, kind = 0;
};
constexpr std::uint64_t most_scanned = std::uint64_t{1} << 30;
constexpr std::size_t most_semlocks = 65'536;

std::optional<SemLock> read_semlock(const MemoryImage& image, Addr at) {
  const auto type = image.read_pointer(offset_by(at, 8));
  const auto name_at = type ? image.read_pointer(offset_by(*type, 24)) : Read<Addr>(Addr{});
  const auto name = name_at ? image.read_text(*name_at, 64) : Read<std::string>(std::string());
  if (!name || !name->ends_with("SemLock")) return std::nullopt;
  const auto tid = image.read<std::uint64_t>(offset_by(at, 24));
  const auto numbers = image.read<std::array<std::int32_t, 3>>(offset_by(at, 32));
  if (!tid || !numbers || (*numbers)[2] < 0 || (*numbers)[2] > 1) return std::nullopt;
  return SemLock{at, *tid, (*numbers)[0], (*numbers)[1], (*numbers)[2]};
}

// The SemLock objects of one process by the semaphores they are on.
struct SemLocks {
  std::map<std::uint64_t, std::vector<SemLock>> on;
  bool complete = true;  // all of its memory was looked through
};

// In pieces, so that no more than one is asked of a packed core at once.
template <class Visit>
void each_word(const FileSpan& memory, const Visit& visit) {
  constexpr std::uint64_t piece = std::uint64_t{1} << 20;
  for (std::uint64_t begin = 0; begin < memory.size(); begin += piece) {
    const Bytes words = memory.bytes(begin, piece);
    for (std::uint64_t at = 0; at + 8 <= words.size(); at += 8)
      visit(begin + at, *parse_at<std::uint64_t>(words, at));
  }
}

// One pass through the private memory of a process with CPython in it: wherever the address of one
// of these semaphores stands.
SemLocks find_semlocks(const Seen& seen, const std::set<std::uint64_t>& semaphores) {
  SemLocks found;
  if (!seen.python.python || semaphores.empty()) return found;
  std::uint64_t scanned = 0;
  std::size_t count = 0;
  for (const Segment& segment : seen.view.core.segments) {
    if (!segment.writable) continue;
    scanned += segment.bytes.size();
    found.complete = found.complete && scanned <= most_scanned && count < most_semlocks;
    if (!found.complete) break;
    each_word(segment.bytes, [&](std::uint64_t at, std::uint64_t word) {
      if (word < *semaphores.begin() || word > *semaphores.rbegin() || !semaphores.contains(word))
        return;
      const Addr object{segment.range.begin.value + at - 16};
      const auto lock = read_semlock(seen.view.image, object);
      if (lock && ++count < most_semlocks) found.on[word].push_back(*lock);
    });
  }
  return found;
}

void add_semlock_owner(const Seen& seen, const SemLock& lock, ResourceId id, Ledger& ledger) {
  const auto thread = seen.pthreads.find_block(Addr{lock.last_tid});
  if (!thread) return;
  Evidence evidence;
  evidence.claim = "this process's SemLock object has count " + std::to_string(lock.count) +
                   " and was last taken by LWP " +
                   std::to_string(seen.view.core.threads[*thread].tid);
  evidence.basis = Basis::owner_word;
  evidence.thread = seen.view.thread_id(*thread);
  evidence.process = seen.view.process;
  evidence.resource = id;
  evidence.address = lock.at;
  evidence.source = "SemLockObject.count, .last_tid, CPython 3.6 and later";
  const EvidenceId known = ledger.add_evidence(std::move(evidence));
  // A plain one may be released by another process, which leaves this count as it was.
  const Confidence sure = lock.kind == 0 ? Confidence::proved : Confidence::very_likely;
  ledger.add_hold(
      seen.view.thread_id(*thread),
      {id, Mode::exclusive, lock.count, std::nullopt, sure, Basis::owner_word, {known}});
}

// What one process takes of a counting semaphore another gives back, as the places of a bounded
// Queue: taking one makes nobody its holder.
void set_counting(ResourceId id, Ledger& ledger) {
  ResourceFact& fact = ledger.resource(id);
  // What Python calls it may have told more.
  if (fact.implementation != "multiprocessing.SemLock")
    fact.owner_unknown_text = "nobody owns a counting semaphore: any process may release it";
  fact.owner_unknown_code = "no_owner";
  for (const Ref waiter : fact.waiters) {
    if (const ThreadId thread = waiter.as<RefKind::thread>(); thread.known())
      ledger.thread(thread).state = ThreadState::idle;
  }
}

void join_semlock(const Family& family, const std::vector<SemLocks>& all, ResourceId id,
                  Ledger& ledger) {
  const std::vector<Place> places = ledger.resource(id).at;
  bool complete = true;
  bool locks_one = false, counts = false;  // a lock, or a counting semaphore
  std::size_t read = 0;
  for (const Place& place : places) {
    const Seen& seen = *family[place.process.index];
    const SemLocks& known = all[place.process.index];
    const auto on = known.on.find(place.address.value);
    const std::vector<SemLock> locks = on == known.on.end() ? std::vector<SemLock>{} : on->second;
    complete = complete && known.complete;
    for (const SemLock& lock : locks) {
      locks_one = locks_one || lock.max_value == 1;
      counts = counts || lock.max_value > 1;
      if (lock.count > 0 && lock.max_value == 1) add_semlock_owner(seen, lock, id, ledger);
    }
    read += locks.empty() ? 0 : 1;
  }
  if (counts) return set_counting(id, ledger);
  ResourceFact& fact = ledger.resource(id);
  if (!fact.owners.empty() || fact.state == LockState::free || read == 0) return;
  // It is shared on purpose: of one process alone nothing follows about the others.
  const bool all_read = complete && places.size() > 1 && read == places.size() && locks_one;
  fact.state = fact.state == LockState::unknown ? LockState::locked : fact.state;
  fact.owner_unknown_code = all_read ? "no_living_holder" : "owner_not_recorded";
  fact.owner_unknown_text =
      "it is taken, and its SemLock.count, by which a process knows that it is the one, is 0 in " +
      (places.size() == 1   ? std::string("the one process read")
       : places.size() == 2 ? std::string("both processes read")
                            : "all " + std::to_string(places.size()) + " processes read");
  if (!all_read) return;
  Evidence evidence;
  evidence.claim = fact.owner_unknown_text;
  evidence.basis = Basis::exclusion;
  evidence.resource = id;
  evidence.source = "SemLockObject.count of every process here that has the semaphore mapped";
  ledger.add_evidence(std::move(evidence));
}

}  // namespace

void join_semlocks(const Family& family, Ledger& ledger) {
  std::vector<ResourceId> semaphores;
  std::vector<std::set<std::uint64_t>> wanted(family.size());
  for (std::uint32_t r = 0; r < ledger.facts.resources.size(); ++r) {
    const ResourceFact& fact = ledger.facts.resources[r];
    const bool semaphore =
        fact.kind == WaitKind::semlock ||
        (fact.kind == WaitKind::semaphore && !fact.at.empty() &&
         place_of(family[fact.at.front().process.index]->view, fact.at.front().address));
    if (!semaphore || fact.waiters.empty() || !fact.owners.empty()) continue;
    semaphores.push_back({r});
    for (const Place& place : fact.at) wanted[place.process.index].insert(place.address.value);
  }
  std::vector<SemLocks> all(family.size());
  for (std::size_t p = 0; p < family.size(); ++p) {
    all[p] = find_semlocks(*family[p], wanted[p]);
    if (!all[p].complete)
      ledger.add_note("semlock-search-limit", Severity::warning,
                      "not all memory was searched for multiprocessing's locks: who holds them may "
                      "be unknown for that reason",
                      {family[p]->view.process});
  }
  for (const ResourceId id : semaphores) join_semlock(family, all, id, ledger);
}

}  // namespace coldcase
