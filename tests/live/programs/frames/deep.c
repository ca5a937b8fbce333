// Recursion of 100,000 frames, alone and with two functions taking turns.
#include <pthread.h>

#include "../truth.h"

#define KEPT __attribute__((noinline, noclone))
#define AFTER __asm__ volatile("" ::: "memory")

KEPT static void rest(const char* name) {
  truth_site(name, __func__, 0, "pause");
  for (;;) pause();
}
KEPT static int alone(int depth) {
  if (depth == 0) rest("alone");
  const int result = alone(depth - 1) + 1;
  AFTER;
  return result;
}
static int other_turn(int depth);
KEPT static int one_turn(int depth) {
  if (depth == 0) rest("turns");
  const int result = other_turn(depth - 1) + 1;
  AFTER;
  return result;
}
KEPT static int other_turn(int depth) {
  const int result = one_turn(depth) + 2;
  AFTER;
  return result;
}
static void* run_alone(void* unused) {
  alone(100000);
  return unused;
}
static void* run_turns(void* unused) {
  one_turn(50000);
  return unused;
}

int main(void) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 20);
  pthread_create(&thread, &attributes, run_alone, NULL);
  pthread_create(&thread, &attributes, run_turns, NULL);
  truth_wait_for(2);
  truth_ready("deep.c", "none", "none");
  for (;;) pause();
}
