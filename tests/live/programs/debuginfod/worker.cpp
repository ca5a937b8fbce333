// Two threads take the locks of two accounts in opposite order, the second inside a library.
#include <atomic>
#include <thread>

#include "ring.h"
#include "truth.h"

namespace {

Bank bank;
std::atomic<int> holding = 0;

[[gnu::noinline]] void move_money(const char* who, Account& from, Account& to) {
  std::lock_guard<std::mutex> guard(from.lock);
  for (++holding; holding < 2;) std::this_thread::yield();
  TRUTH_BLOCKS(who, "futex");
  post(to, 1);
  from.balance -= 1;
}

}  // namespace

int main() {
  std::thread teller([] { move_money("teller", bank.first, bank.second); });
  std::thread auditor([] { move_money("auditor", bank.second, bank.first); });
  truth_wait_for(2);
  truth_edge("teller", "mutex", "auditor");
  truth_edge("auditor", "mutex", "teller");
  truth_ready("worker.cpp", "lock-cycle", "deadlock");
  teller.join();
  auditor.join();
}
