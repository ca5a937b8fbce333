// A C library that guards its table with a mutex and calls back while it holds it: harmless alone,
// a deadlock with a caller that brings a GIL. The pause lets the other thread come for the mutex.

#include <pthread.h>
#include <unistd.h>

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static int entries = 3;

__attribute__((noinline)) int table_visit(int (*visit)(int)) {
  pthread_mutex_lock(&table_lock);
  usleep(300 * 1000);
  int sum = 0;
  for (int i = 0; i < entries; ++i) sum += visit(i);
  pthread_mutex_unlock(&table_lock);
  return sum;
}

__attribute__((noinline)) int table_size(void) {
  pthread_mutex_lock(&table_lock);
  const int size = entries;
  pthread_mutex_unlock(&table_lock);
  return size;
}
