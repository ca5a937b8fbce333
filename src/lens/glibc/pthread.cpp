#include "lens/glibc/pthread.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "image/walk.hpp"

namespace coldcase {
namespace {

// struct pthread, the fields used; equal in 2.31 to 2.43 except start_routine.
constexpr std::uint64_t offset_list = 704, offset_tid = 720, offset_cleanup = 760,
                        offset_cancelhandling = 776;
constexpr std::uint32_t exiting = 0x10;  // of cancelhandling: EXITING_BITMASK, set by every end
constexpr std::size_t most_records = 64, most_stacks = 100'000;

bool is_libc(const Module& module) {
  return starts_with_any(module.name(), {"libc.so", "libc-2", "libpthread"});
}

// The loader's own state, in the loader's file: the others' symbols are many.
std::optional<Addr> find_loader_state(const View& view) {
  for (const bool loader : {true, false}) {
    for (const Module& module : view.modules.in_lookup_order()) {
      if (starts_with_any(module.name(), {"ld-linux", "ld-2"}) != loader) continue;
      if (const auto at = module.find_symbol("_rtld_global")) return at;
    }
  }
  return std::nullopt;
}

// A descriptor of libthread_db in libc's read-only data (nptl_db/structs.def): bits, count, offset.
std::optional<std::uint64_t> described_offset(const View& view, std::string_view symbol) {
  std::optional<Addr> at;
  for (const Module& module : view.modules.in_lookup_order()) {
    if (!at && is_libc(module)) at = module.find_symbol(symbol);
  }
  if (!at) return std::nullopt;
  const auto words = view.image.read<std::array<std::uint32_t, 3>>(*at);
  if (!words || (*words)[2] > 8192) return std::nullopt;
  return (*words)[2];
}

PthreadOffsets offsets_of(const View& view) {
  return {
      described_offset(view, "_thread_db_pthread_tid").value_or(offset_tid),
      described_offset(view, "_thread_db_pthread_start_routine").value_or(1592),
      described_offset(view, "_thread_db_pthread_cancelhandling").value_or(offset_cancelhandling)};
}

std::optional<PthreadBlock> read_block(const MemoryImage& image, Addr at,
                                       const PthreadOffsets& offsets) {
  // The thread control block begins with a pointer to itself (tcbhead_t.tcb), again at +16 (.self).
  const auto self = image.read<std::uint64_t>(at);
  const auto again = image.read<std::uint64_t>(offset_by(at, 16));
  if (!self || !again || *self != at.value || *again != at.value) return std::nullopt;
  const auto tid = image.read<std::int32_t>(offset_by(at, static_cast<std::int64_t>(offsets.tid)));
  if (!tid || *tid <= 0) return std::nullopt;
  const auto start =
      image.read_pointer(offset_by(at, static_cast<std::int64_t>(offsets.start_routine)));
  return PthreadBlock{at, *tid, start.value_or(Addr{})};
}

// fork and _Fork write the child's number into its thread block; the bare system call leaves the
// parent's there, and both numbers are then those of the core's notes.
std::int32_t own_number(const Core& core, const PthreadBlock& block) {
  const bool stale = block.tid != core.process->pid && block.tid == core.process->ppid;
  return stale ? static_cast<std::int32_t>(core.process->pid) : block.tid;
}

}  // namespace

Pthreads::Pthreads(const View& view) : view_(view), offsets_(offsets_of(view)) {
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    const Addr at = view.core.threads[i].registers.at(Registers::fs_base);
    blocks_.push_back(read_block(view.image, at, offsets_));
    const auto& block = blocks_.back();
    const bool fresh = !block || by_block_.try_emplace(at.value, i).second;
    workers_.push_back(!fresh);
    if (!block) complete_ = false;
    if (block && fresh) by_tid_.try_emplace(block->tid, i);
    const bool main = view.core.process && view.core.threads[i].tid == view.core.process->pid;
    if (block && main) inner_pid_ = own_number(view.core, *block);
  }
  if (!view.core.truncated()) find_lost();
}

BlockFate Pthreads::fate_of(Addr block) const {
  if (find_block(block)) return BlockFate::alive;
  const auto self = view_.image.read<std::uint64_t>(block);
  const auto again = view_.image.read<std::uint64_t>(offset_by(block, 16));
  const auto handling = view_.image.read<std::uint32_t>(
      offset_by(block, static_cast<std::int64_t>(offsets_.cancelhandling)));
  if (!self || !again || !handling || *self != block.value || *again != block.value)
    return BlockFate::unknown;
  if ((*handling & exiting) != 0) return BlockFate::ended;
  return view_.core.truncated() ? BlockFate::unknown : BlockFate::not_copied;
}

// struct rtld_global (2.34 and later) has three lists in a row: stacks in use, those of the
// program's own (the first thread's is one), and the cache of free ones. The child's side of
// fork(3) moves all but its own from the first to the last and zeroes their tid; _Fork and the bare
// system call leave them.
void Pthreads::find_lost() {
  const auto global = find_loader_state(view_);
  const auto used = described_offset(view_, "_thread_db_rtld_global__dl_stack_used");
  if (!global || !used) return;
  lists_read_ = true;
  for (const std::int64_t list : {0, 16, 32}) {
    const Addr head = offset_by(*global, static_cast<std::int64_t>(*used) + list);
    walk_list(
        view_.image.read_pointer(head).value_or(Addr{}), most_stacks,
        [&](Addr at) { return view_.image.read_pointer(at); },
        [&](Addr at) {
          if (at == head) return false;
          const Addr block = offset_by(at, -static_cast<std::int64_t>(offset_list));
          if (fate_of(block) != BlockFate::not_copied) return true;
          const auto tid = view_.image.read<std::int32_t>(
              offset_by(block, static_cast<std::int64_t>(offsets_.tid)));
          const auto start = view_.image.read_pointer(
              offset_by(block, static_cast<std::int64_t>(offsets_.start_routine)));
          lost_.push_back({block, tid.value_or(0), start.value_or(Addr{})});
          return true;
        });
  }
}

std::optional<std::size_t> Pthreads::find_owner(std::int32_t tid) const {
  const auto at = by_tid_.find(tid);
  return at == by_tid_.end() ? std::nullopt : std::optional(at->second);
}

std::optional<std::size_t> Pthreads::find_owner_by_note(std::int32_t tid) const {
  const auto& threads = view_.core.threads;
  const auto at = std::ranges::find(threads, tid, &CoreThread::tid);
  if (at == threads.end()) return std::nullopt;
  const auto i = static_cast<std::size_t>(at - threads.begin());
  return blocks_[i] ? std::nullopt : std::optional(i);
}

std::optional<std::size_t> Pthreads::find_block(Addr block) const {
  const auto at = by_block_.find(block.value);
  return at == by_block_.end() ? std::nullopt : std::optional(at->second);
}

std::optional<CleanupRecord> Pthreads::read_cleanup(std::size_t core_thread, Addr futex) const {
  const auto& block = blocks_[core_thread];
  if (!block) return std::nullopt;
  const Addr sp = view_.core.threads[core_thread].registers.at(Registers::rsp);
  const auto buffer = view_.image.read_pointer(offset_by(block->at, offset_cleanup));
  if (!buffer || *buffer <= sp || buffer->value - sp.value > (std::uint64_t{1} << 20))
    return std::nullopt;
  const auto argument = view_.image.read_pointer(offset_by(*buffer, 8));
  if (!argument || argument->value == 0) return std::nullopt;
  CleanupRecord record{*argument, std::nullopt, std::nullopt};
  // struct _condvar_cleanup_buffer (nptl/pthread_cond_wait.c): wseq, cond, mutex, private; on the
  // stack.
  const auto condition = view_.image.read_pointer(offset_by(*argument, 8));
  const auto mutex = view_.image.read_pointer(offset_by(*argument, 16));
  if (condition && mutex && futex > *condition && futex.value - condition->value < 48) {
    record.condition = *condition;
    record.mutex = *mutex;
  }
  return record;
}

std::optional<std::size_t> Pthreads::find_once_runner(Addr once) const {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    if (!blocks_[i] || workers_[i]) continue;
    const auto head = view_.image.read_pointer(offset_by(blocks_[i]->at, offset_cleanup));
    bool found = false;
    // struct _pthread_cleanup_buffer: routine 0, argument 8, canceltype 16, prev 24.
    walk_list(
        head.value_or(Addr{}), most_records,
        [&](Addr at) { return view_.image.read_pointer(offset_by(at, 24)); },
        [&](Addr at) {
          const auto argument = view_.image.read_pointer(offset_by(at, 8));
          if (!argument) return true;
          const auto inner = view_.image.read_pointer(offset_by(*argument, 8));
          found = *argument == once || (inner && *inner == once);
          return !found;
        });
    if (found) return i;
  }
  return std::nullopt;
}

std::vector<Addr> Pthreads::ended_threads() const {
  std::vector<Addr> entries;
  const auto global = find_loader_state(view_);
  const auto used = described_offset(view_, "_thread_db_rtld_global__dl_stack_used");
  if (!global || !used) return entries;
  const Addr head = offset_by(*global, static_cast<std::int64_t>(*used));
  const auto first = view_.image.read_pointer(head);
  walk_list(
      first.value_or(Addr{}), most_stacks, [&](Addr at) { return view_.image.read_pointer(at); },
      [&](Addr at) {
        if (at == head) return false;
        const Addr block = offset_by(at, -static_cast<std::int64_t>(offset_list));
        const auto self = view_.image.read_pointer(offset_by(block, 16));
        const auto tid = view_.image.read<std::int32_t>(
            offset_by(block, static_cast<std::int64_t>(offsets_.tid)));
        const auto start = view_.image.read_pointer(
            offset_by(block, static_cast<std::int64_t>(offsets_.start_routine)));
        if (self && *self == block && tid && *tid == 0 && start) entries.push_back(*start);
        return true;
      });
  return entries;
}

int read_glibc_version(const View& view) {
  for (const Module& module : view.modules.in_lookup_order()) {
    const auto function =
        is_libc(module) ? module.find_symbol("gnu_get_libc_version") : std::nullopt;
    if (!function) continue;
    // [endbr64] lea disp32(%rip),%rax; ret: the string is "2.36".
    for (const std::int64_t skip : {0, 4}) {
      const Addr at = offset_by(*function, skip);
      const auto opcode = view.image.read<std::array<std::uint8_t, 3>>(at);
      const auto offset = view.image.read<std::int32_t>(offset_by(at, 3));
      if (!opcode || !offset || *opcode != std::array<std::uint8_t, 3>{0x48, 0x8d, 0x05}) continue;
      const auto text = view.image.read_text(offset_by(at, 7 + std::int64_t{*offset}), 16);
      if (!text || !text->starts_with("2.")) continue;
      int minor = 0;
      for (std::size_t i = 2; i < text->size() && (*text)[i] >= '0' && (*text)[i] <= '9' && i < 5;
           ++i)
        minor = minor * 10 + ((*text)[i] - '0');
      return 200 + minor;
    }
  }
  return 0;
}

}  // namespace coldcase
