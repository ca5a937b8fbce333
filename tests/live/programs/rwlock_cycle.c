// Two reader-writer locks, each held for writing; one thread then wants to write the other's, the
// other thread wants to read the first's.

#include "truth.h"
//
#include <pthread.h>

static pthread_rwlock_t routes = PTHREAD_RWLOCK_INITIALIZER;
static pthread_rwlock_t peers = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t both;
static int changes;

static __attribute__((noinline)) int drop_peer(void) {
  TRUTH_BLOCKS("router", "futex");
  pthread_rwlock_wrlock(&peers);
  const int done = ++changes;
  pthread_rwlock_unlock(&peers);
  return done;
}

static __attribute__((noinline)) int count_routes(void) {
  TRUTH_BLOCKS("announcer", "futex");
  pthread_rwlock_rdlock(&routes);
  const int count = changes;
  pthread_rwlock_unlock(&routes);
  return count;
}

static __attribute__((noinline)) void* replace_routes(void* unused) {
  pthread_rwlock_wrlock(&routes);
  pthread_barrier_wait(&both);
  changes += drop_peer();
  pthread_rwlock_unlock(&routes);
  return unused;
}

static __attribute__((noinline)) void* announce(void* unused) {
  pthread_rwlock_wrlock(&peers);
  pthread_barrier_wait(&both);
  changes += count_routes();
  pthread_rwlock_unlock(&peers);
  return unused;
}

int main(void) {
  pthread_t router, announcer;
  pthread_barrier_init(&both, NULL, 2);
  pthread_create(&router, NULL, replace_routes, NULL);
  pthread_create(&announcer, NULL, announce, NULL);
  truth_wait_for(2);
  truth_edge("router", "rwlock", "announcer");
  truth_edge("announcer", "rwlock", "router");
  truth_ready("rwlock_cycle.c", "lock-cycle", "deadlock");
  pthread_join(router, NULL);
  pthread_join(announcer, NULL);
  return changes;
}
