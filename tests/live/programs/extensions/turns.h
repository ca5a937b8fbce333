// What makes a deadlock with the GIL come every time: the side that has the lock waits, without the
// GIL, until the side that has the GIL is about to ask for the lock.

#pragma once

#include <sched.h>

struct turns {
  volatile int taken;  // the lock
  volatile int asked;  // for the lock, with the GIL
};

static inline void let_others(void) {
  sched_yield();
}

static inline void await_flag(const volatile int* flag) {
  while (!__atomic_load_n(flag, __ATOMIC_SEQ_CST)) let_others();
}

static inline void raise_flag(volatile int* flag) {
  __atomic_store_n(flag, 1, __ATOMIC_SEQ_CST);
}
