// One thread locks a plain mutex that it already holds, two calls further down.

#include "truth.h"
//
#include <pthread.h>

static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static int entries;

static __attribute__((noinline)) int evict_oldest(void) {
  TRUTH_BLOCKS("filler", "futex");
  pthread_mutex_lock(&cache_lock);
  const int left = --entries;
  pthread_mutex_unlock(&cache_lock);
  return left;
}

static __attribute__((noinline)) void* insert_entry(void* unused) {
  pthread_mutex_lock(&cache_lock);
  entries += 1 + evict_oldest();
  pthread_mutex_unlock(&cache_lock);
  return unused;
}

int main(void) {
  pthread_t filler;
  pthread_create(&filler, NULL, insert_entry, NULL);
  truth_wait_for(1);
  truth_edge("filler", "mutex", "filler");
  truth_ready("self_mutex.c", "self-deadlock", "deadlock");
  pthread_join(filler, NULL);
  return entries;
}
