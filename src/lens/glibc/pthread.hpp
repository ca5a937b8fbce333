// glibc's struct pthread and its synchronisation objects in dead memory. Offsets: x86_64,
// glibc 2.31 to 2.43 (nptl/descr.h, sysdeps/nptl/bits/struct_mutex.h, struct_rwlock.h,
// thread-shared-types.h); rwlock and condition since 2.25. Every read is checked against the thread
// block's own pointer to itself first.
#pragma once

#include <coldcase/result.hpp>
#include <map>
#include <optional>

#include "lens/view.hpp"

namespace coldcase {

// What the thread block says of its thread. tid is in the process's own PID namespace: owner words
// hold these numbers, not those of the core's notes.
struct PthreadBlock {
  Addr at;
  std::int32_t tid = 0;
  Addr start_routine;
};

// pthread_mutex_t, 40 bytes.
struct Mutex {
  std::uint32_t lock = 0;
  std::uint32_t count = 0;
  std::int32_t owner = 0;
  std::uint32_t nusers = 0;
  std::int32_t kind = 0;
  bool recursive() const { return (kind & 3) == 1; }
};

// pthread_rwlock_t, 56 bytes.
struct Rwlock {
  std::uint32_t readers = 0, writers = 0, wrphase_futex = 0, writers_futex = 0;
  std::int32_t cur_writer = 0;
  bool write_phase() const { return (readers & 1) != 0; }
  std::uint32_t reader_count() const { return readers >> 3; }
};

// The waiter record that pthread_cond_wait and sem_wait register for cancellation (pd->cleanup): it
// names the object exactly, and for a condition its mutex.
struct CleanupRecord {
  Addr argument;
  std::optional<Addr> condition, mutex;
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
  // The core's thread whose block (pthread_self) this is.
  std::optional<std::size_t> find_block(Addr block) const;
  // Every thread's own number was read: an owner that none has does not exist.
  bool complete() const { return complete_; }
  // Shares its block with an earlier thread of the core: a kernel worker (io_uring), no stack of
  // its own.
  bool kernel_worker(std::size_t core_thread) const { return workers_[core_thread]; }

  std::optional<CleanupRecord> read_cleanup(std::size_t core_thread, Addr futex) const;

 private:
  const View& view_;
  std::vector<std::optional<PthreadBlock>> blocks_;
  std::vector<bool> workers_;
  std::map<std::int32_t, std::size_t> by_tid_;
  std::map<std::uint64_t, std::size_t> by_block_;
  bool complete_ = true;
};

Read<Mutex> read_mutex(const MemoryImage& image, Addr at);
Read<Rwlock> read_rwlock(const MemoryImage& image, Addr at);

}  // namespace coldcase
