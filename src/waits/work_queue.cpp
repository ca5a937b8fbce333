#include "waits/work_queue.hpp"

#include <algorithm>

#include "waits/graph.hpp"

namespace coldcase {
namespace {

// Lib/multiprocessing/queues.py, 3.8 to 3.13: Queue.get, SimpleQueue.get, JoinableQueue's is
// Queue's. Code objects have qualified names from 3.11 on.
bool is_get(const Frame& frame) {
  const bool named = frame.function == "get" || frame.function.ends_with(".get");
  return named && frame.kind == FrameKind::python &&
         frame.file.ends_with("multiprocessing/queues.py");
}

bool is_own(const Frame& frame) {
  return frame.kind != FrameKind::python ||
         frame.file.find("/multiprocessing/") != std::string::npos;
}

}  // namespace

bool gets_next_item(const Facts& facts, ThreadId thread) {
  const StackId stack = facts.threads[thread.index].stack;
  if (!stack.known() || !facts.threads[thread.index].wait) return false;
  for (const std::uint32_t f : facts.stacks[stack.index].frames) {
    if (is_get(facts.frames[f])) return true;
    if (!is_own(facts.frames[f])) return false;  // somebody else's code blocks, called from there
  }
  return false;
}

// The pool's own get: worker() of multiprocessing/pool.py called it, no function of a task.
static bool gets_next_task(const Facts& facts, ThreadId thread) {
  if (!gets_next_item(facts, thread)) return false;
  bool got = false;
  for (const std::uint32_t f : facts.stacks[facts.threads[thread.index].stack.index].frames) {
    const Frame& frame = facts.frames[f];
    if (frame.kind != FrameKind::python) continue;
    if (got) return frame.function == "worker" && frame.file.ends_with("multiprocessing/pool.py");
    got = is_get(frame);
  }
  return false;
}

WorkerCount count_workers(const Facts& facts, const PoolFact& pool) {
  WorkerCount count;
  for (const ProcessId worker : pool.workers) {
    const ThreadId main = main_thread(facts, worker);
    if (!facts.processes[worker.index].captured || !main.known()) continue;
    ++(gets_next_task(facts, main) ? count.idle : count.busy);
  }
  count.unseen = pool.pids.size() - std::min(pool.pids.size(), count.idle + count.busy);
  return count;
}

void settle_pools(Facts& facts) {
  if (!has_side_cars(facts)) return;
  for (ResourceFact& resource : facts.resources) {
    if (!resource.pool || resource.pool->missing == 0 || is_orphaned(resource)) continue;
    const WorkerCount count = count_workers(facts, *resource.pool);
    if (count.idle == 0 || count.busy > 0 || count.unseen > 0) continue;
    resource.owner_unknown_code = "worker_died";
    resource.owner_unknown_text =
        "who had what is missing in hand is gone: the pool's workers all wait for new work";
  }
}

bool has_nothing_to_feed(const Facts& facts, ThreadId thread) {
  const ThreadFact& fact = facts.threads[thread.index];
  const bool signal = fact.wait && (fact.wait->kind == WaitKind::python_condition ||
                                    fact.wait->kind == WaitKind::semaphore);
  if (!signal || !fact.stack.known()) return false;
  return std::ranges::any_of(facts.stacks[fact.stack.index].frames, [&](std::uint32_t f) {
    const Frame& frame = facts.frames[f];
    return frame.kind == FrameKind::python && frame.function.ends_with("_feed") &&
           frame.file.ends_with("multiprocessing/queues.py");
  });
}

}  // namespace coldcase
