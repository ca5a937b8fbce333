// A lock of the program's own: one word, a futex behind it, a guard object. Its holder is stuck.

#include <linux/futex.h>

#include <atomic>
#include <thread>

#include "holds.h"

namespace {

std::atomic<int> gate{0};  // 0 free, 1 taken, 2 taken and waited for
volatile int taken = 0;
long passed = 0;

long futex(std::atomic<int>& word, int operation, int value) {
  return syscall(SYS_futex, &word, operation, value, nullptr, nullptr, 0);
}

class Gate {
 public:
  Gate() {
    int expected = 0;
    if (gate.compare_exchange_strong(expected, 1)) return;
    while (gate.exchange(2) != 0) futex(gate, FUTEX_WAIT_PRIVATE, 2);
  }
  ~Gate() {
    if (gate.exchange(0) == 2) futex(gate, FUTEX_WAKE_PRIVATE, 1);
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
};

[[gnu::noinline]] long go_through() {
  Gate through;
  hold_set(&taken);
  return read_forever("inside") + passed;
}

[[gnu::noinline]] void go_next() {
  hold_wait_until(&taken);
  TRUTH_BLOCKS("outside", "futex");
  Gate through;
  ++passed;
}

}  // namespace

int main() {
  hold_open();
  std::thread inside(go_through);
  std::thread outside(go_next);
  truth_wait_for(2);
  truth_edge("outside", "futex", "inside");
  truth_ready("word_guard.cpp", "blocked-holder", "hang");
  inside.join();
  outside.join();
  return static_cast<int>(passed);
}
