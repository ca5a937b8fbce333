// Two threads take two std::mutex in opposite order; main waits for both to end.

#include <atomic>
#include <mutex>
#include <thread>

#include "truth.h"

namespace {

std::mutex accounts;
std::mutex ledger;
std::atomic<int> holding = 0;

void meet() {
  for (++holding; holding < 2;) std::this_thread::yield();
}

[[gnu::noinline]] int post_to_ledger(int amount) {
  TRUTH_BLOCKS("teller", "futex");
  std::lock_guard<std::mutex> lock(ledger);
  return amount;
}

[[gnu::noinline]] int update_accounts(int amount) {
  TRUTH_BLOCKS("auditor", "futex");
  std::lock_guard<std::mutex> lock(accounts);
  return amount;
}

[[gnu::noinline]] void transfer() {
  std::lock_guard<std::mutex> lock(accounts);
  meet();
  holding += post_to_ledger(1);
}

[[gnu::noinline]] void audit() {
  std::lock_guard<std::mutex> lock(ledger);
  meet();
  holding += update_accounts(1);
}

}  // namespace

int main() {
  std::thread teller(transfer);
  std::thread auditor(audit);
  truth_wait_for(2);
  truth_edge("teller", "mutex", "auditor");
  truth_edge("auditor", "mutex", "teller");
  truth_ready("abba_mutex.cpp", "lock-cycle", "deadlock");
  teller.join();
  auditor.join();
}
