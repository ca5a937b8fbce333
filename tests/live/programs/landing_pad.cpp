// A reader of a std::shared_mutex waits for bytes that never come; a writer waits for the reader.
// glibc records no reader: only the reader's unwind tables (it would unlock if an exception passed)
// tell that it holds the lock.

#include <mutex>
#include <shared_mutex>
#include <thread>

#include "truth.h"

namespace {

std::shared_mutex index_lock;
int feed[2];

[[gnu::noinline]] char read_update(int fd) {
  char byte = 0;
  TRUTH_BLOCKS("reader", "read");
  if (read(fd, &byte, 1) != 1) return 0;
  return byte;
}

[[gnu::noinline]] int refresh_index() {
  std::shared_lock<std::shared_mutex> lock(index_lock);
  return read_update(feed[0]) + 1;
}

[[gnu::noinline]] int publish_index() {
  TRUTH_BLOCKS("writer", "futex");
  std::unique_lock<std::shared_mutex> lock(index_lock);
  return feed[1];
}

}  // namespace

int main() {
  if (pipe(feed) != 0) return 1;
  std::thread reader([] { feed[0] += refresh_index(); });
  truth_wait_for(1);
  std::thread writer([] { feed[1] += publish_index(); });
  truth_wait_for(2);
  truth_edge("writer", "rwlock", "reader");
  truth_ready("landing_pad.cpp", "blocked-holder", "hang");
  writer.join();
  reader.join();
}
