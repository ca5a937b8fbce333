// What the programs of holders_test.py add to truth.h: a call that never returns, and a thread that
// only has to be there.
#pragma once
#include "truth.h"
//
#include <pthread.h>
#include <unistd.h>

static int hold_pipe[2];

// Blocks in read for good: nobody writes. Not inlined, so that its caller is a frame of its own.
static __attribute__((noinline, unused)) long read_forever(const char* thread) {
  char byte;
  TRUTH_BLOCKS(thread, "read");
  const long got = read(hold_pipe[0], &byte, 1);
  return got + byte;
}

static __attribute__((unused)) void hold_open(void) {
  if (pipe(hold_pipe) != 0) _exit(3);
}

static __attribute__((unused)) void hold_wait_until(volatile int* flag) {
  while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE)) usleep(1000);
}

static __attribute__((unused)) void hold_set(volatile int* flag) {
  __atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}
