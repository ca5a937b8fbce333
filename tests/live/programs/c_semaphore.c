// C: a semaphore as a lock, held by a thread that is stuck; and one as a signal, which nobody holds
// although the thread that should post it has its address.

#include <semaphore.h>

#include "holds.h"

static sem_t device, work;
static volatile int taken;
static long done;

static __attribute__((noinline)) long use_device(sem_t* lock) {
  sem_wait(lock);
  hold_set(&taken);
  const long got = read_forever("user");
  done += got;
  sem_post(lock);
  return got;
}

static __attribute__((noinline)) void* next_user(void* unused) {
  hold_wait_until(&taken);
  TRUTH_BLOCKS("next", "futex");
  sem_wait(&device);
  ++done;
  sem_post(&device);
  return unused;
}

static __attribute__((noinline)) void* do_work(void* from) {
  for (;;) {
    TRUTH_BLOCKS("worker", "futex");
    sem_wait(from);
    ++done;
  }
  return from;
}

static __attribute__((noinline)) void* give_work(void* to) {
  sem_t* signal = to;
  while (read_forever("giver") >= 0) sem_post(signal);
  return to;
}

static void* run_user(void* unused) {
  done += use_device(&device);
  return unused;
}

int main(void) {
  pthread_t user, next, worker, giver;
  hold_open();
  sem_init(&device, 0, 1);
  sem_init(&work, 0, 0);
  pthread_create(&user, NULL, run_user, NULL);
  pthread_create(&next, NULL, next_user, NULL);
  pthread_create(&worker, NULL, do_work, &work);
  pthread_create(&giver, NULL, give_work, &work);
  truth_wait_for(4);
  truth_edge("next", "semaphore", "user");
  truth_edge("worker", "semaphore", "nobody");
  truth_ready("c_semaphore.c", "blocked-holder", "hang");
  pthread_join(user, NULL);
  return (int)done;
}
