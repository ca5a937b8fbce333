// glibc's struct pthread in dead memory. Offsets: x86_64, glibc 2.31 to 2.43 (nptl/descr.h), from
// libc's own descriptors where it has them. Every read is checked against the thread block's own
// pointer to itself first.
#pragma once

#include <coldcase/result.hpp>
#include <map>
#include <optional>
#include <vector>

#include "lens/view.hpp"

namespace coldcase {

// What the thread block says of its thread. tid is in the process's own PID namespace: owner words
// hold these numbers, not those of the core's notes.
struct PthreadBlock {
  Addr at;
  std::int32_t tid = 0;
  Addr start_routine;
};

// What a thread registered for its own cancellation (pd->cleanup): names the object it waits for
// exactly, and for a condition its mutex.
struct CleanupRecord {
  Addr argument;
  std::optional<Addr> condition, mutex;
};

// A thread in the C library's lists of stacks that is none of this process and never ran to its
// end: fork copied its memory and not the thread. It lives on in the parent, at the same address.
struct LostThread {
  Addr at;
  std::int32_t tid = 0;  // 0 where the child's own fork(3) has tidied up
  Addr start_routine;
};

// What became of the thread of this block (pthread_self).
enum class BlockFate { unknown, alive, ended, not_copied };

// Fields of struct pthread.
struct PthreadOffsets {
  std::uint64_t tid, start_routine, cancelhandling;
};

class Pthreads {
 public:
  explicit Pthreads(const View& view);

  // Absent when the thread has no glibc block (musl, a kernel worker, an unsaved page).
  const std::optional<PthreadBlock>& block(std::size_t core_thread) const {
    return blocks_[core_thread];
  }
  // The core's thread with this owner word; nothing when no thread has it.
  std::optional<std::size_t> find_owner(std::int32_t tid) const;
  // The same for threads whose own record is lost (gcore's zero stacks): by the core's notes, which
  // may be numbers of another PID namespace. No proof.
  std::optional<std::size_t> find_owner_by_note(std::int32_t tid) const;
  // The core's thread whose block (pthread_self) this is.
  std::optional<std::size_t> find_block(Addr block) const;
  // Every thread's own number was read: an owner that none has does not exist.
  bool complete() const { return complete_; }
  // The process's number in its own PID namespace; 0 when its main thread was not read.
  std::int32_t inner_pid() const { return inner_pid_; }
  // Shares its block with an earlier thread of the core: a kernel worker (io_uring), no stack of
  // its own.
  bool kernel_worker(std::size_t core_thread) const { return workers_[core_thread]; }

  std::optional<CleanupRecord> read_cleanup(std::size_t core_thread, Addr futex) const;
  // The thread that is running the initializer of this pthread_once_t, by what it registered to
  // undo it (2.31: the once word itself; from 2.34 on a record with its address at +8).
  std::optional<std::size_t> find_once_runner(Addr once) const;

  // Entry functions of threads that have ended and that nobody joined (2.31 to 2.42: their block
  // stays in the list of stacks in use, its tid 0).
  std::vector<Addr> ended_threads() const;

  // Glibc 2.34 and later; none where its lists cannot be read.
  const std::vector<LostThread>& lost_threads() const { return lost_; }
  bool lists_read() const { return lists_read_; }
  BlockFate fate_of(Addr block) const;

 private:
  void find_lost();

  const View& view_;
  const PthreadOffsets offsets_;
  std::vector<std::optional<PthreadBlock>> blocks_;
  std::vector<bool> workers_;
  std::map<std::int32_t, std::size_t> by_tid_;
  std::map<std::uint64_t, std::size_t> by_block_;
  std::vector<LostThread> lost_;
  std::int32_t inner_pid_ = 0;
  bool complete_ = true;
  bool lists_read_ = false;
};

// glibc's version from the code of gnu_get_libc_version(), as 236 for 2.36; 0 when unknown.
int read_glibc_version(const View& view);

}  // namespace coldcase
