// Healthy: eight workers wait on a condition variable for work, main waits for a signal to stop.

#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "truth.h"

namespace {

std::mutex queue_lock;
std::condition_variable work_arrived;
std::deque<int> queue;
const char* const names[] = {"worker-0", "worker-1", "worker-2", "worker-3",
                             "worker-4", "worker-5", "worker-6", "worker-7"};

[[gnu::noinline]] int next_job(const char* name) {
  std::unique_lock<std::mutex> lock(queue_lock);
  TRUTH_BLOCKS(name, "futex");
  work_arrived.wait(lock, [] { return !queue.empty(); });
  const int job = queue.front();
  queue.pop_front();
  return job;
}

void serve(const char* name) {
  while (next_job(name) >= 0) {
  }
}

}  // namespace

int main() {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  std::vector<std::thread> workers;
  for (const char* name : names) workers.emplace_back(serve, name);
  truth_wait_for(8);
  truth_ready("idle_pool.cpp", "none", "none");
  int signal = 0;
  sigwait(&stop, &signal);
  std::_Exit(0);
}
