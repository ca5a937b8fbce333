// The object whose word a sleeping thread's futex is: one of the interpreter's own C types, found
// among what the innermost frames reference and confirmed by the word.
#pragma once

#include "lens/cpython/locks.hpp"

namespace coldcase::cpython {

struct Awaited {
  enum class What : std::uint8_t {
    lock,          // _thread.lock, _thread.RLock
    simple_queue,  // _queue.SimpleQueue
    handle,        // ThreadHandle, a thread's end (3.13+): `ident` is its pthread_self
    semlock,       // _multiprocessing.SemLock
  };
  What what = What::lock;
  Addr at;          // of the object; of the C struct for a handle that no frame references
  LockObject lock;  // of a lock
  std::uint64_t ident = 0;
};

// A local, a value on its stack, or what a bound method there is of, is the object.
bool refers_to(const Objects& objects, const PythonFrame& frame, Addr object);

std::optional<Awaited> find_awaited(const Objects& objects, const PyThread& thread, Addr word);

// Whose end the word stands for, when it is the PyEvent of a ThreadHandle (threading._shutdown
// waits for handles that no Python frame references).
std::optional<std::uint64_t> read_handle_ident(const MemoryImage& image, Addr word);

// multiprocessing's C lock, Modules/_multiprocessing/semaphore.c.
struct SemLock {
  Addr at;
  Addr handle;               // sem_t, often in /dev/shm
  std::uint64_t holder = 0;  // ident of the thread of this process that took it last
  std::int32_t count = 0;    // so often taken by this process and not given back by it
  std::int32_t maximum = 0;
  bool recursive = false;
};
std::optional<SemLock> read_semlock(const Objects& objects, Addr at);

}  // namespace coldcase::cpython
