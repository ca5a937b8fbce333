// What each thread waits for, as far as the kernel's registers and the C library's objects tell:
// the physical wait. The runtimes' lenses come after and say what it means.
#pragma once

#include <vector>

#include "lens/glibc/pthread.hpp"
#include "lens/glibc/syscall.hpp"
#include "lens/ledger.hpp"
#include "lens/stacks.hpp"

namespace coldcase {

// A futex wait as the registers have it (Linux include/uapi/linux/futex.h).
struct FutexWait {
  Addr address;
  std::uint32_t expected = 0;
  bool timed = false;
  bool stale = false;     // the word is no longer what the thread waits on: it was being woken
  bool shared = false;    // other processes may wake it
  bool by_owner = false;  // FUTEX_LOCK_PI: the kernel compares nothing
  std::optional<std::uint64_t> timeout_ms;  // of a relative one
  std::vector<Addr> others;                 // futex_waitv: any of them ends it too
};

struct NativeWaits {
  std::vector<SystemCall> calls;  // one for each thread of the core; a restarted one's own number
  std::vector<std::optional<FutexWait>> futexes;
};

NativeWaits parse_native_waits(const View& view);

// The first frame of these libraries' functions, innermost first, whose symbol (leading underscores
// dropped) begins with one of the names; an index into the thread's walk.
std::optional<std::size_t> find_frame(const View& view, std::size_t core_thread, std::size_t limit,
                                      std::initializer_list<std::string_view> names);

// Sets every thread's state and wait, and the owners of mutexes and rwlocks that have waiters.
void look_at_glibc(const View& view, const Pthreads& pthreads, const NativeWaits& native,
                   const std::vector<StackMap>& stacks, Ledger& ledger);

// "__pthread_mutex_lock" -> "pthread_mutex_lock".
std::string_view without_underscores(std::string_view symbol);

// "mutex g_lock" when a symbol covers the address, else "mutex at 0x...".
std::string label_of_object(const View& view, Addr address, std::string_view noun);

}  // namespace coldcase
