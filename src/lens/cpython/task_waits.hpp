// What a suspended task awaits, and what it holds meanwhile: from its await chain and asyncio's own
// objects.
#pragma once

#include "lens/cpython/event_loops.hpp"
#include "lens/cpython/locks.hpp"

namespace coldcase::cpython {

// Where a task's await ends up.
struct TaskWait {
  WaitKind kind = WaitKind::future;
  std::optional<Mode> mode;
  std::string type;         // "asyncio.Lock"; empty: nothing with a name
  Addr object;              // the lock, queue; null: none to be told apart
  std::vector<Addr> tasks;  // tasks or futures of asyncio it waits for
  bool all = false;         // of those: until the last of them is done
  std::string through;      // "asyncio.gather": what keeps the list of them
  Addr called;              // a concurrent.futures.Future, run by a thread
  bool shutdown = false;    // asyncio.run's end: the default executor's threads
  std::optional<Ends> ends;
  std::optional<std::uint64_t> timeout_ms;
  std::size_t frame = 0;       // of the chain: who awaits
  std::size_t user_frame = 0;  // the frame outside asyncio that called that
};

TaskWait find_task_wait(const Objects& objects, const AsyncLayout& layout, const Futures& futures,
                        const AsyncTask& task);

// What an active with block of a suspended frame keeps.
struct TaskHold {
  Addr object;       // asyncio.Lock, asyncio.Semaphore, threading.Lock
  std::string type;  // "asyncio.Lock"; empty: a lock of threads
  std::size_t frame = 0;
  std::int64_t handler = 0;  // WithMarker::handler
  bool releases = false;     // the frame's code may release it by itself
};
std::vector<TaskHold> find_task_holds(const Objects& objects, const AsyncTask& task);

// "asyncio.Lock" for an object of one of asyncio's classes; empty for others.
std::string asyncio_type(const Objects& objects, Addr object);

}  // namespace coldcase::cpython
