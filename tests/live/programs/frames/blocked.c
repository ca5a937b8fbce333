// Threads blocked in the C library in every plain way, below two functions of their own: for
// libraries without unwind tables (musl), and for programs linked statically. Each truth of
// `settles` is where it sleeps; the mutexes make a cycle of two.
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "../truth.h"

#define KEPT __attribute__((noinline))
#define AFTER __asm__ volatile("" ::: "memory")

static pthread_mutex_t first_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t second_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t both_have;
static sem_t empty;
static pthread_t reader;
static int ends[2];

KEPT static void block_on_mutex(pthread_mutex_t* mine, pthread_mutex_t* other, const char* name) {
  pthread_mutex_lock(mine);
  pthread_barrier_wait(&both_have);
  TRUTH_BLOCKS(name, "futex");
  pthread_mutex_lock(other);
  AFTER;
}
KEPT static void block_on_condition(void) {
  pthread_mutex_lock(&guard);
  TRUTH_BLOCKS("condition", "futex");
  pthread_cond_wait(&never, &guard);
  AFTER;
}
KEPT static void block_on_semaphore(void) {
  TRUTH_BLOCKS("semaphore", "futex");
  sem_wait(&empty);
  AFTER;
}
KEPT static void block_in_join(void) {
  TRUTH_BLOCKS("joiner", "futex");
  pthread_join(reader, NULL);
  AFTER;
}
KEPT static void block_in_read(void) {
  char byte;
  TRUTH_BLOCKS("reader", "read");
  if (read(ends[0], &byte, 1) != 1) abort();
  AFTER;
}

static void* first(void* name) {
  block_on_mutex(&first_lock, &second_lock, name);
  return NULL;
}
static void* second(void* name) {
  block_on_mutex(&second_lock, &first_lock, name);
  return NULL;
}
static void* condition(void* unused) {
  block_on_condition();
  return unused;
}
static void* semaphore(void* unused) {
  block_on_semaphore();
  return unused;
}
static void* joiner(void* unused) {
  block_in_join();
  return unused;
}
static void* reading(void* unused) {
  block_in_read();
  return unused;
}

int main(void) {
  pthread_t thread;
  if (pipe(ends) != 0 || pthread_barrier_init(&both_have, NULL, 2) != 0) return 1;
  sem_init(&empty, 0, 0);
  pthread_create(&thread, NULL, first, "first");
  pthread_create(&thread, NULL, second, "second");
  pthread_create(&thread, NULL, condition, NULL);
  pthread_create(&thread, NULL, semaphore, NULL);
  pthread_create(&reader, NULL, reading, NULL);
  pthread_create(&thread, NULL, joiner, NULL);
  truth_wait_for(6);
  truth_ready("blocked.c", "lock-cycle", "deadlock");
  for (;;) pause();
}
