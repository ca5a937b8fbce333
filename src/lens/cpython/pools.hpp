// Executors of concurrent.futures and the work they have: which threads are whose workers, what
// stands in a queue, which future each piece of work will fill.
#pragma once

#include "lens/cpython/stdlib_waits.hpp"

namespace coldcase::cpython {

// One piece of work (_WorkItem).
struct Work {
  Addr future;
  std::string function;  // qualified; empty when it cannot be told
};

struct ThreadPool {
  Addr queue;                    // of its work
  std::optional<Addr> executor;  // gone when nobody refers to it any more
  std::vector<const PyThread*> workers;
  bool complete = false;  // every living thread that is its worker is among them
  std::vector<Work> queued;
  std::uint64_t length = 0;  // of the queue: `queued` is bounded
};

// A worker in the middle of a piece of work.
struct RunningWork {
  const PyThread* worker = nullptr;
  std::size_t index = 0;  // the Python frame, counted
  Work work;
};

struct ProcessPool {
  const PyThread* manager = nullptr;  // the thread that hands out work and takes results
  std::optional<Addr> executor;
  std::vector<Work> unfinished;
  std::uint64_t processes = 0;
};

struct Pools {
  std::vector<ThreadPool> threads;
  std::vector<RunningWork> running;
  std::vector<ProcessPool> processes;
};
Pools read_pools(const Objects& objects, const Interpreter& interpreter);

// "Crawler.fetch": of a function, method, partial or builtin.
std::string callable_name(const Objects& objects, Addr callable);

}  // namespace coldcase::cpython
