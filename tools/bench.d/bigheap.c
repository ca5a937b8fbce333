// bigheap GIB: that many GiB of touched heap in 64 MiB blocks (zeros, counters, noise, pointers in
// turn), 64 GiB reserved without access, and 8 threads of 20 calls that wait for a mutex that main
// holds. Says READY with its threads, as the live tests' programs do.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { threads = 8, depth = 20 };

static const size_t block = (size_t)64 << 20;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t all;
static int tids[threads];

static void fill(uint64_t* words, size_t kind) {
  uint64_t noise = 88172645463325252u + kind;
  for (size_t at = 0; at < block / sizeof *words; ++at) {
    noise ^= noise << 13;
    noise ^= noise >> 7;
    noise ^= noise << 17;
    const uint64_t by_kind[] = {0, at, noise, (uint64_t)(uintptr_t)&words[noise % 4096]};
    words[at] = by_kind[kind % 4];
  }
}

static __attribute__((noinline)) int descend(int left, int index) {
  if (left > 0) return descend(left - 1, index) + 1;
  tids[index] = (int)syscall(SYS_gettid);
  pthread_barrier_wait(&all);
  pthread_mutex_lock(&held);
  return 0;
}

static void* run(void* index) {
  return (void*)(intptr_t)descend(depth, (int)(intptr_t)index);
}

int main(int count, char** words) {
  const size_t blocks = ((size_t)(count > 1 ? atoi(words[1]) : 1) << 30) / block;
  for (size_t at = 0; at < blocks; ++at) {
    uint64_t* filled = malloc(block);
    if (filled == NULL) return 1;
    fill(filled, at);
  }
  mmap(NULL, (size_t)64 << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  pthread_mutex_lock(&held);
  pthread_barrier_init(&all, NULL, threads + 1);
  pthread_t made[threads];
  for (intptr_t at = 0; at < threads; ++at) pthread_create(&made[at], NULL, run, (void*)at);
  pthread_barrier_wait(&all);
  printf("READY {\"pid\": %d, \"threads\": {\"main\": %d", getpid(), getpid());
  for (int at = 0; at < threads; ++at) printf(", \"t%d\": %d", at, tids[at]);
  printf("}, \"settles\": {\"main\": \"futex\"");
  for (int at = 0; at < threads; ++at) printf(", \"t%d\": \"futex\"", at);
  printf("}}\n");
  fflush(stdout);
  pthread_join(made[0], NULL);
  return 0;
}
