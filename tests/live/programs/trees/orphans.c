// Locks whose holder is gone: a thread that has ended, or one that a fork did not copy.

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tree.h"

static pthread_mutex_t journal = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t table = PTHREAD_RWLOCK_INITIALIZER;
static pthread_mutex_t* shared;  // in memory that both processes map
static int holding[2];

static void* take_journal(void* unused) {
  pthread_mutex_lock(&journal);
  return unused;
}

static void* take_table(void* unused) {
  pthread_rwlock_wrlock(&table);
  return unused;
}

static void run_to_end(void* (*begin)(void*)) {
  pthread_t thread;
  pthread_create(&thread, NULL, begin, NULL);
  pthread_join(thread, NULL);
}

static __attribute__((noinline)) void* append_entry(void* unused) {
  SITE("appender", "futex");
  pthread_mutex_lock(&journal);
  return unused;
}

static __attribute__((noinline)) void* look_up(void* unused) {
  SITE("reader", "futex");
  pthread_rwlock_rdlock(&table);
  return unused;
}

static __attribute__((noinline)) void join_it(pthread_t thread) {
  SITE("main", "futex");
  pthread_join(thread, NULL);
}

static void wait_in(void* (*begin)(void*), const char* thread, const char* kind) {
  pthread_t waiter;
  tree_edge(thread, kind, "");
  tree_edge("main", "thread_exit", thread);
  tree_ready("orphaned-lock", "deadlock", 2);
  pthread_create(&waiter, NULL, begin, NULL);
  join_it(waiter);
}

static void mutex(void) {
  run_to_end(take_journal);
  wait_in(append_entry, "appender", "mutex");
}

static void rwlock(void) {
  run_to_end(take_table);
  wait_in(look_up, "reader", "rwlock");
}

// A thread of the parent holds the mutex at fork.
static __attribute__((noinline)) void* flush_journal(void* unused) {
  char byte = 0;
  pthread_mutex_lock(&journal);
  if (write(holding[1], &byte, 1) != 1) _exit(3);
  SITE("flusher", "");
  for (;;) usleep(20000);
  return unused;
}

static __attribute__((noinline)) void reap(pid_t child) {
  SITE("parent", "wait4");
  waitpid(child, NULL, 0);
}

static __attribute__((noinline)) void log_start(void) {
  SITE("child", "futex");
  pthread_mutex_lock(&journal);
}

static void forked(void) {
  char byte;
  pthread_t flusher;
  if (pipe(holding) != 0) _exit(3);
  pthread_create(&flusher, NULL, flush_journal, NULL);
  if (read(holding[0], &byte, 1) != 1) _exit(3);
  tree_edge("child", "mutex", "");
  tree_edge("parent", "process_exit", "child");
  tree_ready("fork-orphaned-lock", "deadlock", 3);
  const pid_t child = fork();
  if (child == 0) {
    log_start();
    _exit(0);
  }
  reap(child);
}

// A mutex in shared memory, not robust, of a process that was killed.
static __attribute__((noinline)) void take_slot(void) {
  SITE("parent", "futex");
  pthread_mutex_lock(shared);
}

static void killed(void) {
  pthread_mutexattr_t kind;
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(shared, &kind);
  tree_edge("parent", "mutex", "");
  tree_ready("orphaned-lock", "deadlock", 1);
  const pid_t child = fork();
  if (child == 0) {
    pthread_mutex_lock(shared);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  take_slot();
}

static const struct TreeScenario scenarios[] = {
    {"mutex", mutex}, {"rwlock", rwlock}, {"forked", forked}, {"killed", killed}, {NULL, NULL}};

int main(int count, char** words) {
  return tree_main(count, words, scenarios);
}
