// A reader that wants to write the same lock waits for itself; and one that let its guard go before
// it got stuck holds nothing, although the guard still points at the lock.

#include <mutex>
#include <shared_mutex>
#include <thread>

#include "holds.h"

namespace {

std::shared_mutex settings;
volatile int let_go = 0;
long version = 0;

[[gnu::noinline]] void store_settings() {
  TRUTH_BLOCKS("editor", "futex");
  std::unique_lock<std::shared_mutex> writing(settings);
  ++version;
}

[[gnu::noinline]] long edit_settings() {
  std::shared_lock<std::shared_mutex> reading(settings);
  if (version < 100) store_settings();
  return version;
}

[[gnu::noinline]] long watch_settings() {
  std::shared_lock<std::shared_mutex> reading(settings);
  const long seen = version;
  reading.unlock();
  hold_set(&let_go);
  const long got = read_forever("watcher");
  reading.lock();
  return got + seen + version;
}

}  // namespace

int main() {
  hold_open();
  std::thread watcher([] { version += watch_settings(); });
  hold_wait_until(&let_go);
  std::thread editor([] { version += edit_settings(); });
  truth_wait_for(2);
  truth_edge("editor", "rwlock", "editor");
  truth_ready("upgrade.cpp", "self-deadlock", "deadlock");
  watcher.join();
  editor.join();
  return static_cast<int>(version);
}
