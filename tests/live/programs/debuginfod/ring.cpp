// The library: the inner lock of each thread is taken here, in a function no symbol is exported
// for.
#include "ring.h"

namespace {

[[gnu::noinline]] void change_balance(Account& account, long amount) {
  std::lock_guard<std::mutex> guard(account.lock);
  account.balance += amount;
}

}  // namespace

void post(Account& account, long amount) {
  change_balance(account, amount);
  account.owner += '!';
}
