// Two threads that wait for each other's mutex, in a process that has reserved many GiB of memory
// (the argument) and touched the first and the last page: the kernel's core is that large and has a
// hole in it. CUDA and many allocators reserve like this.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t both;
static volatile int tids[2];

static void* one(void* unused) {
  pthread_mutex_lock(&first);
  tids[0] = (int)syscall(SYS_gettid);
  pthread_barrier_wait(&both);
  pthread_mutex_lock(&second);
  return unused;
}

static void* other(void* unused) {
  pthread_mutex_lock(&second);
  tids[1] = (int)syscall(SYS_gettid);
  pthread_barrier_wait(&both);
  pthread_mutex_lock(&first);
  return unused;
}

int main(int count, char** words) {
  const size_t size = (count > 1 ? strtoull(words[1], NULL, 10) : 1) << 20;
  char* reserved =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return 1;
  reserved[0] = reserved[size - 1] = 1;
  pthread_t threads[2];
  pthread_barrier_init(&both, NULL, 3);
  pthread_create(&threads[0], NULL, one, NULL);
  pthread_create(&threads[1], NULL, other, NULL);
  pthread_barrier_wait(&both);
  printf(
      "READY {\"pid\": %d, \"threads\": {\"main\": %d, \"one\": %d, \"other\": %d}, "
      "\"settles\": {\"main\": \"futex\", \"one\": \"futex\", \"other\": \"futex\"}}\n",
      getpid(), getpid(), tids[0], tids[1]);
  fflush(stdout);
  pthread_join(threads[0], NULL);
  return 0;
}
