// A C library without a word of Python: its table is guarded by a mutex and visited by a callback.
// For ctypes: through CDLL the GIL is away during a call, through PyDLL it is not.

#include <pthread.h>

#include "turns.h"

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct turns turns;

void* table_mutex(void) {
  return &table_lock;
}

void table_await_visitor(void) {
  await_flag(&turns.taken);
}

__attribute__((noinline)) int table_visit(int (*visit)(int)) {
  pthread_mutex_lock(&table_lock);
  raise_flag(&turns.taken);
  await_flag(&turns.asked);
  const int result = visit(3);
  pthread_mutex_unlock(&table_lock);
  return result;
}

__attribute__((noinline)) int table_size(void) {
  raise_flag(&turns.asked);
  pthread_mutex_lock(&table_lock);
  pthread_mutex_unlock(&table_lock);
  return 3;
}

// Computes for ever with the mutex held: whoever waits for it waits for work that is being done.
__attribute__((noinline)) int table_rebuild(void) {
  pthread_mutex_lock(&table_lock);
  raise_flag(&turns.taken);
  volatile unsigned long rows = 0;
  for (;;) rows = rows + 1;
}
