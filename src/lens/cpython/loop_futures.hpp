// Futures between threads and loops: which thread or task produces what a thread or task waits for.
#pragma once

#include "lens/cpython/lens_parts.hpp"
#include "lens/cpython/task_list.hpp"

namespace coldcase::cpython {

struct LoopFutures {
  LensContext& context;
  const AsyncLayout& layout;
  const EventLoops& loops;
  const KnownTasks& known;
};

// The loop as a resource: the thread that runs it in its name, its state in its words.
ResourceId loop_resource(LensContext& context, const EventLoop& loop);

// After the tasks and their waits are there.
void add_loop_futures(const LoopFutures& of);

}  // namespace coldcase::cpython
