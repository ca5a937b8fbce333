// glibc's synchronisation objects in dead memory (sysdeps/nptl/bits/struct_mutex.h,
// struct_rwlock.h, thread-shared-types.h, sysdeps/nptl/internaltypes.h; x86_64; rwlock and
// condition since 2.25, semaphore since 2.21, barrier since 2.24).
#pragma once

#include <coldcase/result.hpp>

#include "image/image.hpp"

namespace coldcase {

// pthread_mutex_t, 40 bytes.
struct Mutex {
  std::uint32_t lock = 0;
  std::uint32_t count = 0;
  std::int32_t owner = 0;
  std::uint32_t nusers = 0;
  std::int32_t kind = 0;

  bool recursive() const { return (kind & 3) == 1; }
  bool robust() const { return (kind & 16) != 0; }
  bool inherits_priority() const { return (kind & 32) != 0; }
  bool protects_priority() const { return (kind & 64) != 0; }
  bool shared() const { return (kind & 128) != 0; }
  // Robust and priority-inheriting mutexes have the owner in the lock word as well
  // (FUTEX_TID_MASK); FUTEX_OWNER_DIED says that it ended.
  bool owner_in_word() const { return robust() || inherits_priority(); }
  bool owner_died() const { return owner_in_word() && (lock & 0x40000000) != 0; }
  bool locked() const {
    if (owner_in_word()) return (lock & 0x3fffffff) != 0 || owner_died();
    return protects_priority() ? (lock & 0x7ffff) != 0 : lock != 0;
  }
  std::int32_t holder() const {
    if (owner_in_word()) return static_cast<std::int32_t>(lock & 0x3fffffff);
    return owner;
  }
  // Could these words be a mutex at all: for telling one by its shape alone.
  bool plausible() const { return (kind & ~0x3ff) == 0 && nusers < 1'000'000; }
};

// pthread_rwlock_t, 56 bytes.
struct Rwlock {
  std::uint32_t readers = 0, writers = 0, wrphase_futex = 0, writers_futex = 0;
  std::int32_t cur_writer = 0;
  std::int32_t shared = 0;
  bool write_phase() const { return (readers & 1) != 0; }
  std::uint32_t reader_count() const { return readers >> 3; }
};

// pthread_barrier_t.
struct Barrier {
  std::uint32_t in = 0, round = 0, count = 0;
  std::uint32_t arrived() const { return in - round; }
};

Read<Mutex> read_mutex(const MemoryImage& image, Addr at);
Read<Rwlock> read_rwlock(const MemoryImage& image, Addr at);
Read<Barrier> read_barrier(const MemoryImage& image, Addr at);

}  // namespace coldcase
