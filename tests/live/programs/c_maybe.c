// C, where the way decides: three threads in one function, of which one has locked and the others
// were told not to. And a guard for which no way is left open: the lock is given back in a helper.

#include "holds.h"

static pthread_rwlock_t index_lock = PTHREAD_RWLOCK_INITIALIZER;
static volatile int entered;
static long found;

static __attribute__((noinline)) long look_up(const char* name, int locking) {
  if (locking) pthread_rwlock_rdlock(&index_lock);
  __atomic_fetch_add(&entered, 1, __ATOMIC_SEQ_CST);
  const long got = read_forever(name) + found;
  if (locking) pthread_rwlock_unlock(&index_lock);
  return got;
}

static void* look_up_locked(void* unused) {
  found += look_up("locked", 1 + (unused != NULL));
  return unused;
}

static void* look_up_free(void* name) {
  found += look_up(name, name == NULL);
  return name;
}

static __attribute__((noinline)) void* rebuild(void* unused) {
  TRUTH_BLOCKS("rebuilder", "futex");
  pthread_rwlock_wrlock(&index_lock);
  ++found;
  pthread_rwlock_unlock(&index_lock);
  return unused;
}

int main(void) {
  pthread_t threads[4];
  hold_open();
  pthread_create(&threads[0], NULL, look_up_locked, NULL);
  pthread_create(&threads[1], NULL, look_up_free, "free-0");
  pthread_create(&threads[2], NULL, look_up_free, "free-1");
  truth_wait_for(3);
  pthread_create(&threads[3], NULL, rebuild, NULL);
  truth_wait_for(4);
  truth_edge("rebuilder", "rwlock", "locked");
  truth_ready("c_maybe.c", "blocked-holder", "hang");
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  return (int)found;
}
