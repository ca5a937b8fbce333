// One process: rings of locks of several kinds and of joins, signals that never come, exits that
// wait, and their healthy twins.

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "tree.h"

namespace {

std::mutex accounts;
pthread_rwlock_t rates = PTHREAD_RWLOCK_INITIALIZER;
pthread_mutex_t audit_log = PTHREAD_MUTEX_INITIALIZER;
std::condition_variable settled;
bool done = false;
std::atomic<int> holding = 0;

void meet(int parties) {
  for (++holding; holding < parties;) std::this_thread::yield();
}

void compute() {
  for (volatile unsigned long n = 0;; n = n + 1) continue;
}

// std::mutex, rwlock, mutex: three threads, each holding one and waiting for the next.
[[gnu::noinline]] void read_rates() {
  SITE("teller", "futex");
  pthread_rwlock_rdlock(&rates);
}

[[gnu::noinline]] void write_log() {
  SITE("broker", "futex");
  pthread_mutex_lock(&audit_log);
}

[[gnu::noinline]] void book() {
  SITE("auditor", "futex");
  accounts.lock();
}

[[gnu::noinline]] void transfer() {
  std::lock_guard<std::mutex> lock(accounts);
  meet(3);
  read_rates();
}

[[gnu::noinline]] void update_rates() {
  pthread_rwlock_wrlock(&rates);
  meet(3);
  write_log();
}

[[gnu::noinline]] void audit() {
  pthread_mutex_lock(&audit_log);
  meet(3);
  book();
}

void three() {
  tree_edge("teller", "rwlock", "broker");
  tree_edge("broker", "mutex", "auditor");
  tree_edge("auditor", "mutex", "teller");
  tree_ready("lock-cycle", "deadlock", 3);
  std::thread teller(transfer), broker(update_rates), auditor(audit);
  teller.join();
  broker.join();
  auditor.join();
}

// main joins, holding the lock that the thread needs to end.
[[gnu::noinline]] void finish_book() {
  SITE("booker", "futex");
  std::lock_guard<std::mutex> lock(accounts);
}

[[gnu::noinline]] void stop_booker(std::thread& booker) {
  SITE("main", "futex");
  booker.join();
}

void join_held() {
  std::unique_lock<std::mutex> lock(accounts);
  tree_edge("main", "thread_exit", "booker");
  tree_edge("booker", "mutex", "main");
  tree_ready("join-cycle", "deadlock", 2);
  std::thread booker(finish_book);
  stop_booker(booker);
}

// Two threads join each other.
pthread_t left_thread, right_thread;

[[gnu::noinline]] void* join_right(void* unused) {
  meet(3);
  SITE("left", "futex");
  pthread_join(right_thread, nullptr);
  return unused;
}

[[gnu::noinline]] void* join_left(void* unused) {
  meet(3);
  SITE("right", "futex");
  pthread_join(left_thread, nullptr);
  return unused;
}

void join_each() {
  tree_edge("left", "thread_exit", "right");
  tree_edge("right", "thread_exit", "left");
  tree_ready("join-cycle", "deadlock", 2);
  pthread_create(&left_thread, nullptr, join_right, nullptr);
  pthread_create(&right_thread, nullptr, join_left, nullptr);
  meet(3);
  for (;;) pause();
}

// A condition that nobody signals; main joins its waiter.
[[gnu::noinline]] void await_settled() {
  std::unique_lock<std::mutex> lock(accounts);
  SITE("waiter", "futex");
  settled.wait(lock, [] { return done; });
}

[[gnu::noinline]] void join_waiter(std::thread& waiter) {
  SITE("main", "futex");
  waiter.join();
}

void lost() {
  tree_edge("main", "thread_exit", "waiter");
  tree_edge("waiter", "condition", "");
  tree_ready("lost-wakeup", "hang", 2);
  std::thread waiter(await_settled);
  join_waiter(waiter);
}

// The first thread, too, waits for what nobody is left to do.
[[gnu::noinline]] void await_result(std::future<int>& result) {
  SITE("main", "futex");
  result.wait();
}

void promised() {
  std::promise<int> result;
  std::future<int> future = result.get_future();
  tree_edge("waiter", "condition", "");
  tree_ready("lost-wakeup", "hang", 2);
  std::thread waiter(await_settled);
  await_result(future);
  waiter.join();
}

// Healthy: a thread that still computes will signal.
[[gnu::noinline]] void settle_all() {
  SITE("settler", "");
  compute();
  settled.notify_all();
}

void signalled() {
  tree_ready("none", "none", 3);
  std::thread settler(settle_all), waiter(await_settled);
  join_waiter(waiter);
  settler.join();
}

// A static destructor joins a thread that waits for work.
struct Pool {
  std::thread worker;
  ~Pool() {
    SITE("main", "futex");
    worker.join();
  }
};

void at_exit() {
  static Pool pool;
  pool.worker = std::thread(await_settled);
  tree_edge("main", "thread_exit", "waiter");
  tree_edge("waiter", "condition", "");
  tree_ready("exit-blocked", "hang", 2);
  std::exit(0);
}

// Healthy: the thread that the destructor joins computes.
void busy_at_exit() {
  static Pool pool;
  pool.worker = std::thread(settle_all);
  tree_ready("none", "none", 2);
  std::exit(0);
}

// Healthy: a barrier with one still to come.
pthread_barrier_t start_line;
const char* const runners[] = {"runner-0", "runner-1"};

[[gnu::noinline]] void line_up(int i) {
  SITE(runners[i], "futex");
  pthread_barrier_wait(&start_line);
}

[[gnu::noinline]] void load_data() {
  SITE("main", "");
  compute();
}

void barrier() {
  pthread_barrier_init(&start_line, nullptr, 3);
  tree_ready("none", "none", 3);
  std::thread first(line_up, 0), second(line_up, 1);
  load_data();
  first.join();
  second.join();
}

// One party fewer than the barrier waits for.
std::barrier<> parties(3);

[[gnu::noinline]] void arrive(int number) {
  SITE(number == 0 ? "first" : "second", "futex");
  parties.arrive_and_wait();
}

void short_barrier() {
  tree_edge("main", "thread_exit", "first");
  tree_edge("first", "barrier", "");
  tree_edge("second", "barrier", "");
  tree_ready("lost-wakeup", "hang", 3);
  std::thread first(arrive, 0), second(arrive, 1);
  SITE("main", "futex");
  first.join();
  second.join();
}

// A spin lock held by a thread that waits for a mutex, whose holder spins for it.
pthread_spinlock_t spin;

[[gnu::noinline]] void take_spin() {
  SITE("spinner", "");
  pthread_spin_lock(&spin);
}

[[gnu::noinline]] void take_mutex() {
  SITE("sleeper", "futex");
  pthread_mutex_lock(&audit_log);
}

[[gnu::noinline]] void spin_under_mutex() {
  pthread_mutex_lock(&audit_log);
  meet(2);
  take_spin();
}

[[gnu::noinline]] void block_under_spin() {
  pthread_spin_lock(&spin);
  meet(2);
  take_mutex();
}

void spinning() {
  pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
  tree_edge("spinner", "spinlock", "sleeper");
  tree_edge("sleeper", "mutex", "spinner");
  tree_ready("spin-wait-cycle", "deadlock", 2);
  std::thread spinner(spin_under_mutex), sleeper(block_under_spin);
  spinner.join();
  sleeper.join();
}

const TreeScenario scenarios[] = {
    {"three", three},       {"join_held", join_held},         {"join_each", join_each},
    {"lost", lost},         {"promised", promised},           {"signalled", signalled},
    {"at_exit", at_exit},   {"busy_at_exit", busy_at_exit},   {"barrier", barrier},
    {"spinning", spinning}, {"short_barrier", short_barrier}, {nullptr, nullptr},
};

}  // namespace

int main(int count, char** words) {
  return tree_main(count, words, scenarios);
}
