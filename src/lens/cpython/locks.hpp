// Python's own locks: what a thread waits for, and who holds a lock that records no owner.
#pragma once

#include "lens/cpython/runtime.hpp"
#include "lens/glibc/waits.hpp"

namespace coldcase::cpython {

// threading.Lock (_thread.lock) or RLock. `word` is what a waiter's futex tells: the sem_t
// (to 3.13.0), or the PyMutex byte inside the object (from 3.13.1; told apart by tp_basicsize).
struct LockObject {
  Addr at;
  bool recursive = false;
  Addr word;
  bool locked = false;
  std::uint64_t owner = 0;  // RLock: thread ident; 0 none
  std::uint64_t count = 0;
};
std::optional<LockObject> read_lock(const Objects& objects, Addr at);

// The exit callables on the value stack of a frame inside with blocks, outermost last: proved by
// the active handler (cpython.md 6.1). `self` is the manager they are bound to.
struct WithMarker {
  Addr exit;
  Addr self;
  std::int64_t handler = 0;  // byte offset of the block's handler
};
std::vector<WithMarker> find_with_markers(const Objects& objects, const PythonFrame& frame);

// Everything a frame's locals and value stack may reference; slots above the live depth hold
// leftovers, so a value here only counts when something else (a futex address, a code object)
// confirms it.
std::vector<Addr> read_slots(const Objects& objects, const PythonFrame& frame);

// The lock object among what the innermost frames reference whose word this is.
std::optional<LockObject> find_awaited_lock(const Objects& objects, const PyThread& thread,
                                            Addr word);

// The word a sleeping thread's futex stands for: a sem_t's own address, or the parked-on PyMutex.
Addr awaited_word(const View& view, std::size_t core_thread, const FutexWait& futex);

// "Account.lock", "module.name", "name": how the program reaches the object from this frame.
std::string name_in_frame(const Objects& objects, const PythonFrame& frame, Addr object);

// The frame's first local, when it is called `self`.
std::optional<Addr> find_self(const Objects& objects, const PythonFrame& frame);

}  // namespace coldcase::cpython
