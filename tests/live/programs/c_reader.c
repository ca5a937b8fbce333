// C, no cleanups: a reader of a pthread_rwlock_t is stuck in read(), a writer waits; and one thread
// that read-locked and unlocked before is stuck in the same call.

#include "holds.h"

struct Store {
  long size;
  pthread_rwlock_t lock;
};

static struct Store store = {0, PTHREAD_RWLOCK_INITIALIZER};
static volatile int reading, past;

static __attribute__((noinline)) long load_page(struct Store* from, long page) {
  pthread_rwlock_rdlock(&from->lock);
  if (page < from->size) {
    pthread_rwlock_unlock(&from->lock);
    return 0;
  }
  hold_set(&reading);
  const long got = read_forever("loader");
  from->size += got;
  pthread_rwlock_unlock(&from->lock);
  return got;
}

static __attribute__((noinline)) long count_pages(struct Store* from) {
  pthread_rwlock_rdlock(&from->lock);
  const long pages = from->size;
  pthread_rwlock_unlock(&from->lock);
  hold_set(&past);
  return pages + read_forever("counter") + from->size;
}

static void* run_loader(void* unused) {
  store.size += load_page(&store, 7);
  return unused;
}

static void* run_counter(void* unused) {
  store.size += count_pages(&store);
  return unused;
}

static __attribute__((noinline)) void* grow_store(void* of) {
  struct Store* grown = of;
  hold_wait_until(&reading);
  TRUTH_BLOCKS("grower", "futex");
  pthread_rwlock_wrlock(&grown->lock);
  ++grown->size;
  pthread_rwlock_unlock(&grown->lock);
  return of;
}

int main(void) {
  pthread_t loader, counter, grower;
  hold_open();
  pthread_create(&counter, NULL, run_counter, NULL);
  hold_wait_until(&past);
  pthread_create(&loader, NULL, run_loader, NULL);
  pthread_create(&grower, NULL, grow_store, &store);
  truth_wait_for(3);
  truth_edge("grower", "rwlock", "loader");
  truth_ready("c_reader.c", "blocked-holder", "hang");
  pthread_join(loader, NULL);
  pthread_join(counter, NULL);
  pthread_join(grower, NULL);
  return (int)store.size;
}
