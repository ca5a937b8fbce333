// A reader of a shared_mutex is stuck in read(); a writer waits for it, and a second reader too.

#include <mutex>
#include <shared_mutex>
#include <thread>

#include "holds.h"

namespace {

std::shared_mutex table;
volatile int reading = 0;
long rows = 0;

[[gnu::noinline]] long stream_rows() {
  std::shared_lock<std::shared_mutex> lock(table);
  hold_set(&reading);
  const long got = read_forever("reader");
  return got + rows;
}

[[gnu::noinline]] void replace_table() {
  hold_wait_until(&reading);
  TRUTH_BLOCKS("writer", "futex");
  std::unique_lock<std::shared_mutex> lock(table);
  ++rows;
}

}  // namespace

int main() {
  hold_open();
  std::thread reader([] { rows += stream_rows(); });
  std::thread writer(replace_table);
  truth_wait_for(2);
  truth_edge("writer", "rwlock", "reader");
  truth_ready("landing_pad.cpp", "blocked-holder", "hang");
  reader.join();
  writer.join();
  return static_cast<int>(rows);
}
