#include "lens/glibc/pthread.hpp"

#include "base/text.hpp"

namespace coldcase {
namespace {

// struct pthread, the fields used; equal in 2.31 to 2.43 except start_routine.
constexpr std::uint64_t offset_tid = 720, offset_cleanup = 760;

// A descriptor of libthread_db in libc's read-only data (nptl_db/structs.def): bits, count, offset.
std::optional<std::uint64_t> described_offset(const View& view, std::string_view symbol) {
  std::optional<Addr> at;
  for (const Module& module : view.modules.list) {
    if (!at && starts_with_any(module.name(), {"libc.so", "libc-2", "libpthread"}))
      at = module.find_symbol(symbol);
  }
  if (!at) return std::nullopt;
  const auto words = view.image.read<std::array<std::uint32_t, 3>>(*at);
  if (!words || (*words)[2] > 4096) return std::nullopt;
  return (*words)[2];
}

struct Offsets {
  std::uint64_t tid, start_routine;
};

Offsets offsets_of(const View& view) {
  return {described_offset(view, "_thread_db_pthread_tid").value_or(offset_tid),
          described_offset(view, "_thread_db_pthread_start_routine").value_or(1592)};
}

std::optional<PthreadBlock> read_block(const MemoryImage& image, Addr at, const Offsets& offsets) {
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

}  // namespace

Pthreads::Pthreads(const View& view) : view_(view) {
  const Offsets offsets = offsets_of(view);
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    const Addr at = view.core.threads[i].registers.at(Registers::fs_base);
    blocks_.push_back(read_block(view.image, at, offsets));
    const auto& block = blocks_.back();
    const bool fresh = !block || by_block_.try_emplace(at.value, i).second;
    workers_.push_back(!fresh);
    if (!block) complete_ = false;
    if (block && fresh) by_tid_.try_emplace(block->tid, i);
  }
}

std::optional<std::size_t> Pthreads::find_owner(std::int32_t tid) const {
  const auto at = by_tid_.find(tid);
  return at == by_tid_.end() ? std::nullopt : std::optional(at->second);
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

Read<Mutex> read_mutex(const MemoryImage& image, Addr at) {
  return image.read<std::array<std::uint32_t, 5>>(at).map([](const auto& words) {
    return Mutex{words[0], words[1], static_cast<std::int32_t>(words[2]), words[3],
                 static_cast<std::int32_t>(words[4])};
  });
}

Read<Rwlock> read_rwlock(const MemoryImage& image, Addr at) {
  return image.read<std::array<std::uint32_t, 8>>(at).map([](const auto& words) {
    return Rwlock{words[0], words[1], words[2], words[3], static_cast<std::int32_t>(words[6])};
  });
}

}  // namespace coldcase
