// C, no cleanups, and the lock's address comes from elsewhere: two threads that used the lock
// before idle on another, so their registers may still have it. Nobody who does not hold the lock
// may be named for sure.

#include "holds.h"

static pthread_rwlock_t tree = PTHREAD_RWLOCK_INITIALIZER;
static pthread_mutex_t queue = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static volatile int held, idle;
static long visits;

static __attribute__((noinline)) void lock_tree(pthread_rwlock_t* lock) {
  pthread_rwlock_rdlock(lock);
}

static __attribute__((noinline)) void unlock_tree(pthread_rwlock_t* lock) {
  pthread_rwlock_unlock(lock);
}

static __attribute__((noinline)) void* idle_visitor(void* of) {
  for (int i = 0; i < 64; ++i) {
    lock_tree(of);
    ++visits;
    unlock_tree(of);
  }
  pthread_mutex_lock(&queue);
  ++idle;
  TRUTH_BLOCKS(idle == 1 ? "idle-0" : "idle-1", "futex");
  for (;;) pthread_cond_wait(&work, &queue);
  unlock_tree(of);
  return of;
}

static __attribute__((noinline)) void* walk_tree(void* of) {
  lock_tree(of);
  hold_set(&held);
  visits += read_forever("walker");
  unlock_tree(of);
  return of;
}

static __attribute__((noinline)) void* prune_tree(void* of) {
  TRUTH_BLOCKS("pruner", "futex");
  pthread_rwlock_wrlock(of);
  ++visits;
  pthread_rwlock_unlock(of);
  return of;
}

int main(void) {
  pthread_t threads[4];
  hold_open();
  pthread_create(&threads[0], NULL, idle_visitor, &tree);
  pthread_create(&threads[1], NULL, idle_visitor, &tree);
  truth_wait_for(2);
  pthread_create(&threads[2], NULL, walk_tree, &tree);
  hold_wait_until(&held);
  pthread_create(&threads[3], NULL, prune_tree, &tree);
  truth_wait_for(4);
  truth_edge("pruner", "rwlock", "walker");
  truth_ready("c_residue.c", "blocked-holder", "hang");
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  return (int)visits;
}
