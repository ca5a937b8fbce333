// The steps of the C library's lens. Internal to it.
#pragma once

#include <unordered_map>

#include "lens/glibc/objects.hpp"
#include "lens/glibc/waits.hpp"

namespace coldcase::glibc {

// The waiters of absl's objects, by identity: all that wait for one are linked in a ring. Each is
// gone through once for all of its waiters.
class AbslRings {
 public:
  // The number of the ring this one is in.
  std::size_t of(const MemoryImage& image, std::uint64_t identity);
  bool contains(std::size_t ring, std::uint64_t identity) const;

 private:
  std::unordered_map<std::uint64_t, std::size_t> rings_;
  std::size_t count_ = 0;
};

struct LensContext {
  const View& view;
  const Pthreads& pthreads;
  const NativeWaits& native;
  const std::vector<StackMap>& stacks;
  Ledger& ledger;
  AbslRings& absl;
  int version;  // 236 for 2.36; 0 unknown

  std::int64_t tid_of(std::size_t i) const { return view.core.threads[i].tid; }
  std::string lwp(std::size_t i) const { return "LWP " + std::to_string(tid_of(i)); }
  std::optional<std::uint32_t> merged(std::size_t i, std::optional<std::size_t> frame) const {
    if (!frame || *frame >= stacks[i].native_at.size()) return std::nullopt;
    return stacks[i].native_at[*frame];
  }
  const std::string& symbol_of(std::size_t i, std::size_t frame) const {
    return view.threads.name_of(view.threads.walks[i].frames[frame]).symbol;
  }
};

// A frame of the C library or the dynamic loader.
bool is_libc_frame(const View& view, std::size_t core_thread, std::size_t frame);
// A file of the C library, by its name.
bool is_c_library_file(std::string_view name);

// What a futex stands for.
struct Object {
  WaitKind kind = WaitKind::futex;
  std::string implementation = "futex";
  Addr address;
  std::optional<std::size_t> frame{};  // of the walk: the call that waits
  std::optional<Mode> mode{};
  bool join = false;
  std::optional<std::size_t> joined{};  // the core's thread whose end is waited for
  Basis basis = Basis::register_;
  Confidence at_most = Confidence::proved;
  std::optional<Addr> mutex{};  // a condition's
  bool proxy = false;           // the word stands for an object elsewhere: its address is not known
  std::string noun{};           // for its label, where the kind's word is not good enough
};

// What a plain lock of the C library's own is called.
inline constexpr std::string_view library_lock = "lock inside the C library";

// The symbol of the function that this frame of a walk had called; empty when it cannot be told.
std::string callee_of(const View& view, std::size_t core_thread, std::size_t frame);

Object find_object(const LensContext& context, std::size_t i, const FutexWait& futex);

// Locks of the C library itself (lll_lock): stdio, malloc, exit ... `frame` is that of
// __lll_lock_wait_private.
Object find_internal_lock(const LensContext& context, std::size_t i, std::size_t frame,
                          const FutexWait& futex);

// malloc, free and what they call.
bool is_malloc_function(std::string_view symbol);

// After all threads were looked at: who has a malloc arena that has waiters.
void find_arena_holder(const LensContext& context, ResourceId id);
// The same of a plain lock of the C library's own (lll_lock), by the function that takes it.
void find_library_holder(const LensContext& context, ResourceId id);
void find_tcmalloc_holder(const LensContext& context, ResourceId id);

// A function that may wait for one of those: malloc's, stdio's, exit.
bool takes_internal_locks(std::string_view symbol);

// libgomp's barrier of a team or pool.
struct GompBarrier {
  std::uint32_t total = 0, missing = 0;
};
// Nothing where the words make no sense as one of this generation.
std::optional<GompBarrier> read_gomp_barrier(const MemoryImage& image, Addr at,
                                             std::uint32_t generation);
void describe_gomp_barrier(const LensContext& context, Addr at, ResourceId id);
// After all threads were looked at: members that a fork did not copy.
void find_lost_team(const LensContext& context, ResourceId id);
// The same for a thread that spins inside a parallel region.
void find_lost_partners(const LensContext& context, std::size_t i);

// Locks of other runtimes that call futex(2) themselves: libstdc++, Rust, libgomp, musl.
std::optional<Object> find_runtime_object(const LensContext& context, std::size_t i,
                                          const FutexWait& futex);

std::optional<Object> find_absl_object(const LensContext& context, std::size_t i,
                                       const FutexWait& futex);

// State and owner of the object, once.
void describe_object(const LensContext& context, const Object& object, ResourceId id);

// The owner word names this thread; or says why it is nobody of this core.
struct OwnerWord {
  std::int32_t tid = 0;
  std::optional<Mode> mode;
  Addr field;
  std::string_view name;
  bool shared = false;  // other processes may own it
};
void set_owner(const LensContext& context, ResourceId id, const OwnerWord& word);

// A thread in no system call: running, or spinning on something.
void look_at_running(const LensContext& context, std::size_t i);

// A sleep in any other system call: what its arguments name.
void wait_in_call(const LensContext& context, std::size_t i);

}  // namespace coldcase::glibc
