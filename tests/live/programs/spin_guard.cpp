// A spinlock behind a guard object; its holder is stuck, another thread spins.

#include <thread>

#include "holds.h"

namespace {

class Spin {
 public:
  explicit Spin(pthread_spinlock_t& lock) : lock_(lock) { pthread_spin_lock(&lock_); }
  ~Spin() { pthread_spin_unlock(&lock_); }
  Spin(const Spin&) = delete;
  Spin& operator=(const Spin&) = delete;

 private:
  pthread_spinlock_t& lock_;
};

pthread_spinlock_t counters;
volatile int taken = 0;
long counted = 0;

[[gnu::noinline]] long count_slowly() {
  Spin spin(counters);
  hold_set(&taken);
  return read_forever("counter") + counted;
}

[[gnu::noinline]] void count_next() {
  hold_wait_until(&taken);
  TRUTH_BLOCKS("spinner", "");
  Spin spin(counters);
  ++counted;
}

}  // namespace

int main() {
  hold_open();
  pthread_spin_init(&counters, PTHREAD_PROCESS_PRIVATE);
  std::thread counter(count_slowly);
  std::thread spinner(count_next);
  truth_wait_for(2);
  truth_edge("spinner", "spinlock", "counter");
  truth_ready("spin_guard.cpp", "blocked-holder", "hang");
  counter.join();
  spinner.join();
  return static_cast<int>(counted);
}
