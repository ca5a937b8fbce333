// A frame that holds a shared_mutex for reading is blocked in the mutex it wants next: that call
// cannot throw, so it has no cleanup. The mutex's holder is stuck in read().

#include <mutex>
#include <shared_mutex>
#include <thread>

#include "holds.h"

namespace {

std::shared_mutex catalog;
std::mutex journal;
volatile int journal_held = 0, catalog_held = 0;
long entries = 0;

[[gnu::noinline]] long check_entry(long entry) {
  return entry == 42 ? read_forever("nobody") : entry + 1;
}

[[gnu::noinline]] long record_access() {
  std::shared_lock<std::shared_mutex> reading(catalog);
  long checked = check_entry(entries);
  hold_set(&catalog_held);
  TRUTH_BLOCKS("recorder", "futex");
  std::lock_guard<std::mutex> writing(journal);
  checked += check_entry(++entries);
  return checked;
}

[[gnu::noinline]] long flush_journal() {
  std::lock_guard<std::mutex> writing(journal);
  hold_set(&journal_held);
  return read_forever("flusher") + entries;
}

[[gnu::noinline]] void drop_catalog() {
  hold_wait_until(&catalog_held);
  TRUTH_BLOCKS("dropper", "futex");
  std::unique_lock<std::shared_mutex> all(catalog);
  entries = 0;
}

}  // namespace

int main() {
  hold_open();
  std::thread flusher(flush_journal);
  hold_wait_until(&journal_held);
  std::thread recorder(record_access);
  std::thread dropper(drop_catalog);
  truth_wait_for(3);
  truth_edge("recorder", "mutex", "flusher");
  truth_edge("dropper", "rwlock", "recorder");
  truth_ready("nested_guards.cpp", "blocked-holder", "hang");
  flusher.join();
  recorder.join();
  dropper.join();
  return static_cast<int>(entries);
}
