// Threads that burn time instead of sleeping: loops without `pause` that wait for a word which a
// blocked thread would change, and healthy twins. Each runs for a while before it is dumped, so
// that its processor time says something.

#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <thread>

#include "tree.h"

namespace {

constexpr long enough_ms = 600;  // of processor time before the dump

std::mutex ledger;
std::atomic<int> parties;
std::atomic<bool> published;
std::atomic<int> table_lock;
std::atomic<bool> stop;
std::atomic<unsigned long> checksum;

void meet(int expected) {
  for (++parties; parties < expected;) std::this_thread::yield();
}

void rest(long ms) {
  const timespec time{ms / 1000, ms % 1000 * 1'000'000};
  nanosleep(&time, nullptr);
}

long cpu_ms_of(pthread_t thread) {
  clockid_t clock{};
  timespec time{};
  if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &time) != 0) _exit(3);
  return time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
}

void await_time(pthread_t thread) {
  while (cpu_ms_of(thread) < enough_ms) rest(20);
}

// Who would publish waits for the lock that the spinning thread keeps meanwhile.
[[gnu::noinline]] void await_published() {
  SITE("reader", "");
  while (!published.load(std::memory_order_acquire)) continue;
}

[[gnu::noinline]] void publish() {
  SITE("writer", "futex");
  ledger.lock();
  published.store(true, std::memory_order_release);
  ledger.unlock();
}

[[gnu::noinline]] void read_published() {
  ledger.lock();
  meet(2);
  await_published();
  ledger.unlock();
}

[[gnu::noinline]] void write_published() {
  meet(2);
  publish();
}

void flag_edges(int sites) {
  tree_edge("reader", "polled_word", "writer");
  tree_edge("writer", "mutex", "reader");
  tree_ready("spin-wait-cycle", "deadlock", sites);
}

void flag_cycle() {
  std::thread reader(read_published), writer(write_published);
  await_time(reader.native_handle());
  flag_edges(2);
  reader.join();
  writer.join();
}

// The same, and the first thread is the one that spins.
void flag_main() {
  const pthread_t self = pthread_self();
  std::thread writer(write_published), watch([self] {
    await_time(self);
    flag_edges(2);
  });
  read_published();
  writer.join();
  watch.join();
}

// A lock of the program's own: test and set until it was free.
void lock_table() {
  while (table_lock.exchange(1, std::memory_order_acquire) != 0) continue;
}

void unlock_table() {
  table_lock.store(0, std::memory_order_release);
}

[[gnu::noinline]] void take_table() {
  SITE("clerk", "");
  lock_table();
}

[[gnu::noinline]] void take_ledger() {
  SITE("auditor", "futex");
  ledger.lock();
}

[[gnu::noinline]] void enter_row() {
  ledger.lock();
  meet(2);
  take_table();
  unlock_table();
  ledger.unlock();
}

[[gnu::noinline]] void audit_table() {
  lock_table();
  meet(2);
  take_ledger();
  ledger.unlock();
  unlock_table();
}

void lock_word() {
  tree_edge("clerk", "spinlock", "auditor");
  tree_edge("auditor", "mutex", "clerk");
  std::thread clerk(enter_row), auditor(audit_table);
  await_time(clerk.native_handle());
  tree_ready("spin-wait-cycle", "deadlock", 2);
  clerk.join();
  auditor.join();
}

// No ring: who would publish waits for a lock, and its holder for time to pass.
[[gnu::noinline]] void await_time_to_pass() {
  SITE("broker", "clock_nanosleep");
  rest(600'000);
}

[[gnu::noinline]] void hold_ledger() {
  ledger.lock();
  meet(2);
  await_time_to_pass();
  ledger.unlock();
}

void flag_held() {
  tree_edge("writer", "mutex", "broker");
  std::thread broker(hold_ledger), writer(write_published), reader(await_published);
  await_time(reader.native_handle());
  tree_ready("blocked-holder", "hang", 3);
  broker.join();
  writer.join();
  reader.join();
}

// Healthy: who would publish sleeps first.
[[gnu::noinline]] void publish_later() {
  SITE("writer", "clock_nanosleep");
  rest(600'000);
  published.store(true, std::memory_order_release);
}

void ends() {
  std::thread writer(publish_later), reader(await_published);
  await_time(reader.native_handle());
  tree_ready("none", "none", 2);
  writer.join();
  reader.join();
}

// Healthy: they compute, with whole numbers and with fractions, and look at a word in every round.
[[gnu::noinline]] void add_up() {
  SITE("adder", "");
  for (unsigned long x = 1; !stop.load(std::memory_order_relaxed); x = x * 6364136223846793005 + 1)
    checksum.fetch_xor(x, std::memory_order_relaxed);
}

[[gnu::noinline]] void integrate() {
  double sum = 1;
  SITE("solver", "");
  while (!stop.load(std::memory_order_relaxed)) sum = sum * 1.0000001 + 0.5;
  checksum += static_cast<unsigned long>(sum);
}

void computing() {
  std::thread adder(add_up), solver(integrate);
  await_time(adder.native_handle());
  await_time(solver.native_handle());
  tree_ready("none", "none", 2);
  adder.join();
  solver.join();
}

// Healthy: it counts how often it has looked at the word, and rests now and then.
long rest_and_begin() {
  rest(1);
  return 0;
}

[[gnu::noinline]] void look_and_rest() {
  SITE("patient", "");
  for (long n = 0; !stop.load(); n = n < 2'000'000'000 ? n + 1 : rest_and_begin()) continue;
}

void patient() {
  std::thread looker(look_and_rest);
  await_time(looker.native_handle());
  tree_ready("none", "none", 1);
  looker.join();
}

const TreeScenario scenarios[] = {
    {"flag_cycle", flag_cycle}, {"flag_main", flag_main}, {"lock_word", lock_word},
    {"flag_held", flag_held},   {"ends", ends},           {"computing", computing},
    {"patient", patient},       {nullptr, nullptr},
};

}  // namespace

int main(int count, char** words) {
  return tree_main(count, words, scenarios);
}
