// Waits of absl::Mutex and absl::CondVar. They sleep on a word of the waiter, not of the object.

#include "wait_truth.h"

#include <absl/synchronization/mutex.h>

static absl::Mutex mutex, shared, guard;
static absl::CondVar condition;
static long holder;

static Line* elsewhere(Line* line) {
  line->elsewhere = 1;
  return line;
}

static void* lock(void*) {
  goes(elsewhere(held_unseen(
      with_mode(says("absl::Mutex", "mutex", &mutex, sizeof mutex), "exclusive"), holder)));
  mutex.Lock();
  return nullptr;
}

static void* lock_behind_reader(void*) {
  goes(elsewhere(held_unseen(
      says("absl::Mutex writer, reader holds", "mutex rwlock", &shared, sizeof shared), holder)));
  shared.Lock();
  return nullptr;
}

static void* wait(void*) {
  guard.Lock();
  goes(elsewhere(says("absl::CondVar", "condition", &condition, sizeof condition)));
  for (;;) condition.Wait(&guard);
}

static void* hold(void*) {
  mutex.Lock();
  shared.ReaderLock();
  __atomic_store_n(&holder, own_tid(), __ATOMIC_SEQ_CST);
  pause_forever();
  return nullptr;
}

int main() {
  starts(hold, nullptr);
  while (__atomic_load_n(&holder, __ATOMIC_SEQ_CST) == 0) nap();
  starts(lock, nullptr);
  starts(lock_behind_reader, nullptr);
  starts(wait, nullptr);
  wait_ready(3);
  pause_forever();
}
