// Threads that wait without sleeping. Few, and for seconds: they use the processors.

#include "wait_truth.h"

#include <sched.h>

static pthread_spinlock_t lock;
static volatile int never;

static void* spin_on_lock(void* unused) {
  (void)unused;
  struct Line* line =
      held_unseen(says("spinlock", "spinlock", (const void*)&lock, sizeof lock), getpid());
  line->state = "spinning";
  goes(line);
  pthread_spin_lock(&lock);
  return NULL;
}

static void* yield_forever(void* unused) {
  (void)unused;
  struct Line* line = calls("sched_yield spinner", "none", "", -1);
  line->state = "spinning";
  goes(line);
  while (!never) sched_yield();
  return NULL;
}

static void* turn_forever(void* unused) {
  (void)unused;
  struct Line* line = says("busy spinner", "polled_word", (const void*)&never, sizeof never);
  line->state = "spinning";
  goes(line);
  while (!never) {
  }
  return NULL;
}

int main(void) {
  pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE);
  pthread_spin_lock(&lock);
  starts(spin_on_lock, NULL);
  starts(yield_forever, NULL);
  starts(turn_forever, NULL);
  wait_ready(3);
  pause_forever();
}
