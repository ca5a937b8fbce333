// What the standard library's frames above a sleeping lock wait for, as facts. Internal to the
// lens.
#pragma once

#include <map>

#include "lens/cpython/awaited.hpp"
#include "lens/cpython/ended_threads.hpp"
#include "lens/cpython/lens_parts.hpp"
#include "lens/cpython/stdlib_waits.hpp"

namespace coldcase::cpython {

// By the lock whose release tells a thread's end (_tstate_lock, to 3.12): the Thread object. The
// lock is held until the thread's state is gone, so whoever waits for it waits for that thread.
using ThreadLocks = std::map<Addr, Addr>;
ThreadLocks find_thread_locks(const Objects& objects, const Interpreter& interpreter);

// One thread asleep in a futex, with what was read of its Python side.
struct Sleeper {
  const PyThread& state;
  std::size_t thread;  // of the core
  std::vector<StdlibCall> calls;
  std::optional<Awaited> awaited;
  const std::vector<EndedThread>& ended;  // of its interpreter, as the next
  const ThreadLocks& thread_locks;
};

// A signal: a notify, a set, an item, a result, the other parties. False when these frames are in
// none of the functions that wait for one.
bool wait_for_signal(LensContext& context, const Sleeper& sleeper);

// A thread's end.
bool wait_for_end(LensContext& context, const Sleeper& sleeper);

// For whom a multiprocessing.Pool works: how many workers it has, and whether any died.
void tell_pool(LensContext& context, const Sleeper& sleeper, const StdlibCall& call,
               ResourceId result);

// Pool.join, in the join of the thread that keeps the pool's workers, when results that died with
// a worker keep that thread from its end. False when none did: the thread's end is awaited then.
bool wait_for_pool(LensContext& context, const Sleeper& sleeper, Addr joined);

// What the library builds, as a resource with its state; made once.
ResourceId sync_resource(LensContext& context, Sort sort, Addr object);

// Facts of the wait that all of these have: sets kind, frame, what it waits on and the claim.
struct WaitClaim {
  WaitKind kind = WaitKind::unknown;
  std::vector<Ref> on;
  std::size_t frame = 0;  // the Python frame, counted
  Addr object;
  std::string text;
  Basis basis = Basis::memory;
  Confidence most = Confidence::proved;
  std::optional<Mode> mode{};
  ResourceId then{};
  std::optional<bool> all{};
  bool for_work = false;  // an idle thread's wait
  std::optional<std::uint64_t> timeout_ms{};
};
void claim_wait(LensContext& context, std::size_t thread, const WaitClaim& claim);

}  // namespace coldcase::cpython
