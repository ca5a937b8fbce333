// Waits of the C++ standard library (libstdc++, C++20).

#include "wait_truth.h"

#include <atomic>
#include <barrier>
#include <condition_variable>
#include <future>
#include <latch>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <thread>

namespace {

long holder;
std::atomic<bool> holder_ready;

template <class T>
Line* object(const char* name, const char* kinds, const T& one) {
  return says(name, kinds, &one, sizeof one);
}

std::mutex mutex;
std::recursive_mutex recursive;
std::timed_mutex timed_one;
std::shared_mutex written, read_locked;

void lock_mutex() {
  goes(held_by(with_mode(object("std::mutex", "mutex", mutex), "exclusive"), holder));
  mutex.lock();
}

void lock_recursive() {
  goes(held_by(with_mode(object("std::recursive_mutex", "mutex", recursive), "exclusive"), holder));
  recursive.lock();
}

void lock_timed() {
  Line* line =
      held_by(with_mode(object("std::timed_mutex", "mutex", timed_one), "exclusive"), holder);
  goes(timed(line));
  (void)timed_one.try_lock_for(std::chrono::seconds(LONG_TIME));
}

void lock_shared() {
  goes(held_by(with_mode(object("std::shared_mutex reader", "rwlock", written), "read"), holder));
  written.lock_shared();
}

void lock_unique() {
  Line* line = with_mode(object("std::shared_mutex writer", "rwlock", read_locked), "write");
  goes(held_unseen(line, holder));
  read_locked.lock();
}

struct {
  std::mutex mutex;
  std::condition_variable condition;
} plain, limited;
std::mutex any_mutex;
std::condition_variable_any any_condition;

void wait_condition() {
  std::unique_lock lock(plain.mutex);
  Line* line = object("std::condition_variable", "condition", plain.condition);
  line->mutex = &plain.mutex;
  goes(line);
  for (;;) plain.condition.wait(lock);
}

void wait_condition_timed() {
  std::unique_lock lock(limited.mutex);
  Line* line = timed(object("std::condition_variable timed", "condition", limited.condition));
  line->mutex = &limited.mutex;
  goes(line);
  for (;;) limited.condition.wait_for(lock, std::chrono::seconds(LONG_TIME));
}

void wait_any() {
  std::unique_lock lock(any_mutex);
  goes(object("std::condition_variable_any", "condition", any_condition));
  for (;;) any_condition.wait(lock);
}

std::once_flag once;

void run_once() {
  std::call_once(once, [] {
    goes(calls("call_once runner", "io sleep", "pause", -1));
    pause_forever();
  });
}

void wait_once() {
  const long runner = after("call_once runner");
  goes(held_by(object("call_once waiter", "once", once), runner));
  std::call_once(once, [] {});
}

struct Slow {
  Slow() {
    goes(calls("static guard runner", "io sleep", "pause", -1));
    pause_forever();
  }
};

}  // namespace

// The compiler's guard of `one`, by its mangled name.
Slow& slow_static() {
  static Slow one;
  return one;
}
extern const std::uint64_t guard_of_slow __asm__("_ZGVZ11slow_staticvE3one");

namespace {

void run_guard() {
  slow_static();
}

void wait_guard() {
  const long runner = after("static guard runner");
  goes(held_unseen(says("static guard waiter", "static_guard", &guard_of_slow, 8), runner));
  slow_static();
}

std::atomic<int> small{1};
std::atomic<long> large{1};
std::counting_semaphore<8> counting(0);
std::binary_semaphore binary(0);
std::latch latch(3);
std::barrier<> barrier(3);

void wait_small() {
  goes(object("std::atomic<int>::wait", "futex", small));
  for (;;) small.wait(1);
}

// Not four bytes: it sleeps in a table of the library, not on the object.
void wait_large() {
  Line* line = object("std::atomic<long>::wait", "futex", large);
  line->elsewhere = 1;
  goes(line);
  for (;;) large.wait(1);
}

void wait_counting() {
  goes(object("std::counting_semaphore", "semaphore", counting));
  counting.acquire();
}

void wait_binary() {
  goes(timed(object("std::binary_semaphore timed", "semaphore", binary)));
  (void)binary.try_acquire_for(std::chrono::seconds(LONG_TIME));
}

void wait_latch() {
  goes(object("std::latch", "barrier", latch));
  latch.wait();
}

void wait_barrier() {
  Line* line = object("std::barrier", "barrier", barrier);
  line->elsewhere = 1;
  goes(line);
  barrier.arrive_and_wait();
}

std::promise<int> promise;
std::future<int> future = promise.get_future();
long async_tid, joined_tid, jthread_tid;

// The object is the shared state; only the future points at it, in its first word.
void wait_future() {
  const void* state = nullptr;
  memcpy(&state, &future, sizeof state);
  goes(says("std::future", "future", state, 32));
  future.get();
}

void sleep_as(long& tid) {
  __atomic_store_n(&tid, own_tid(), __ATOMIC_SEQ_CST);
  pause_forever();
}

Line* joins(const char* name, long& tid) {
  while (__atomic_load_n(&tid, __ATOMIC_SEQ_CST) == 0) nap();
  Line* line = says(name, "thread_exit", nullptr, 0);
  line->target = tid;
  return goes(line);
}

void wait_async() {
  auto result = std::async(std::launch::async, [] { sleep_as(async_tid); });
  joins("std::async", async_tid);
  result.get();
}

void wait_thread() {
  std::thread thread(sleep_as, std::ref(joined_tid));
  joins("std::thread join", joined_tid);
  thread.join();
}

void wait_jthread() {
  std::jthread thread(sleep_as, std::ref(jthread_tid));
  joins("std::jthread destructor", jthread_tid);
}

void hold_all() {
  holder = own_tid();
  mutex.lock();
  recursive.lock();
  timed_one.lock();
  written.lock();
  read_locked.lock_shared();
  holder_ready = true;
  pause_forever();
}

void* call(void* function) {
  reinterpret_cast<void (*)()>(function)();
  return nullptr;
}

void start(void (*function)()) {
  starts(call, reinterpret_cast<void*>(function));
}

}  // namespace

int main() {
  void (*const all[])() = {
      lock_mutex,     lock_recursive,       lock_timed,   lock_shared, lock_unique,
      wait_condition, wait_condition_timed, wait_any,     run_once,    wait_once,
      run_guard,      wait_guard,           wait_small,   wait_large,  wait_counting,
      wait_binary,    wait_latch,           wait_barrier, wait_future, wait_async,
      wait_thread,    wait_jthread,
  };
  pthread_attr_t attributes;  // for the threads of the library
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  pthread_setattr_default_np(&attributes);
  start(hold_all);
  while (!holder_ready) nap();
  for (const auto& function : all) start(function);
  wait_ready(sizeof all / sizeof all[0]);
  pause_forever();
}
