// Waits in libgomp. The holder keeps a named critical section and a nest lock.

#include "wait_truth.h"

#include <omp.h>

static omp_nest_lock_t nest;
static omp_lock_t lock;
// The compiler keeps a named section's lock in a common symbol of this name.
extern char critical __asm__(".gomp_critical_user_bench");

static long holder;

static void hold(void) {
  omp_set_nest_lock(&nest);
  omp_set_lock(&lock);
#pragma omp critical(bench)
  {
    __atomic_store_n(&holder, own_tid(), __ATOMIC_SEQ_CST);
    pause_forever();
  }
}

static void take(int which) {
  while (__atomic_load_n(&holder, __ATOMIC_SEQ_CST) == 0) nap();
  if (which == 1) {
    goes(held_unseen(says("gomp critical", "mutex", &critical, 8), holder));
#pragma omp critical(bench)
    nap();
  } else if (which == 2) {
    goes(held_unseen(says("gomp nest lock", "mutex", &nest, sizeof nest), holder));
    omp_set_nest_lock(&nest);
  } else if (which == 3) {
    goes(held_unseen(says("gomp lock", "mutex", &lock, sizeof lock), holder));
    omp_set_lock(&lock);
  } else {
    goes(says("gomp barrier", "barrier", NULL, 0));
  }
}

static void* work(void* unused) {
  (void)unused;
#pragma omp parallel num_threads(5)
  {
    const int which = omp_get_thread_num();
    if (which == 0) hold();
    take(which);
#pragma omp barrier
  }
  return NULL;
}

int main(void) {
  omp_init_nest_lock(&nest);
  omp_init_lock(&lock);
  starts(work, NULL);
  wait_ready(4);
  pause_forever();
}
