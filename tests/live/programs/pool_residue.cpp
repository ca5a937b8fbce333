// Sixteen idle threads of a pool have used the lock before, each of them 64 times: their stacks are
// full of its address. Two readers hold it now, deep in calls; a writer waits.

#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "holds.h"

namespace {

struct Cache {
  mutable std::shared_mutex lock;
  long hits = 0;

  [[gnu::noinline]] long look_up(long key) const {
    std::shared_lock<std::shared_mutex> reading(lock);
    return hits + key;
  }
};

const char* const names[] = {"idle-0",  "idle-1",  "idle-2",  "idle-3", "idle-4",  "idle-5",
                             "idle-6",  "idle-7",  "idle-8",  "idle-9", "idle-10", "idle-11",
                             "idle-12", "idle-13", "idle-14", "idle-15"};
Cache cache;
std::mutex queue_lock;
std::condition_variable work_arrived;
bool has_work = false;
volatile int first_reads = 0, second_reads = 0;
long total = 0;

[[gnu::noinline]] void idle_worker(const Cache& of, const char* name) {
  long sum = 0;
  for (long i = 0; i < 64; ++i) sum += of.look_up(i);
  std::unique_lock<std::mutex> waiting(queue_lock);
  total += sum;
  TRUTH_BLOCKS(name, "futex");
  work_arrived.wait(waiting, [] { return has_work; });
}

[[gnu::noinline]] long fetch(const char* name, volatile int* flag) {
  hold_set(flag);
  return read_forever(name) + 1;
}

[[gnu::noinline]] long fill_entry(const Cache& of, const char* name, volatile int* flag) {
  std::shared_lock<std::shared_mutex> reading(of.lock);
  return fetch(name, flag) + of.hits;
}

[[gnu::noinline]] void clear_cache(Cache& of) {
  TRUTH_BLOCKS("clearer", "futex");
  std::unique_lock<std::shared_mutex> all(of.lock);
  of.hits = 0;
}

}  // namespace

int main() {
  hold_open();
  std::vector<std::thread> threads;
  for (const char* name : names) threads.emplace_back(idle_worker, std::cref(cache), name);
  truth_wait_for(16);
  threads.emplace_back([] { total += fill_entry(cache, "reader-a", &first_reads); });
  threads.emplace_back([] { total += fill_entry(cache, "reader-b", &second_reads); });
  hold_wait_until(&first_reads);
  hold_wait_until(&second_reads);
  threads.emplace_back(clear_cache, std::ref(cache));
  truth_wait_for(19);
  truth_edge("clearer", "rwlock", "reader-a");
  truth_edge("clearer", "rwlock", "reader-b");
  truth_ready("pool_residue.cpp", "blocked-holder", "hang");
  for (std::thread& thread : threads) thread.join();
  return static_cast<int>(total);
}
