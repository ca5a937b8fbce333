// Signal handlers that take what the code below them holds.

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

#include "tree.h"

static pthread_mutex_t counters = PTHREAD_MUTEX_INITIALIZER;
static volatile int hits;
static void* volatile block;

static __attribute__((noinline)) void on_usr1(int signal) {
  hits += signal;
  SITE("main", "futex");
  pthread_mutex_lock(&counters);
  pthread_mutex_unlock(&counters);
}

static __attribute__((noinline)) void count(void) {
  pthread_mutex_lock(&counters);
  raise(SIGUSR1);
  pthread_mutex_unlock(&counters);
}

static void mutex(void) {
  signal(SIGUSR1, on_usr1);
  tree_edge("main", "mutex", "main");
  tree_ready("async-signal-reentry", "deadlock", 1);
  count();
}

// malloc's arena lock is taken only while there are threads; the timer hits inside it sooner or
// later.
static void* sleep_on(void* unused) {
  for (;;) pause();
  return unused;
}

enum { handler_line = __LINE__ + 3 };  // where the last attempt blocks
static __attribute__((noinline)) void on_timer(int signal) {
  hits += signal;
  block = malloc(3000);
  free(block);
}

static __attribute__((noinline)) void churn(void) {
  static void* kept[64];
  tree_site("main", "on_timer", __FILE__, handler_line, "futex");
  for (unsigned n = 0;; n = n * 5 + 3) {
    free(kept[n % 64]);
    kept[n % 64] = malloc(2000 + n % 60000);
  }
}

static void allocator(void) {
  pthread_t other;
  const struct itimerval often = {{0, 200}, {0, 200}};
  pthread_create(&other, NULL, sleep_on, NULL);
  tree_edge("main", "malloc_arena", "main");
  tree_ready("async-signal-reentry", "deadlock", 1);
  signal(SIGALRM, on_timer);
  setitimer(ITIMER_REAL, &often, NULL);
  churn();
}

// The C library's lock of its time zone, which no word of it names the owner of.
static time_t now;

enum { zone_line = __LINE__ + 3 };
static __attribute__((noinline)) void on_tick(int signal) {
  hits += signal;
  hits += localtime(&now)->tm_sec;
}

static void timezone_lock(void) {
  const struct itimerval often = {{0, 200}, {0, 200}};
  tree_edge("main", "mutex", "main");
  tree_ready("async-signal-reentry", "deadlock", 1);
  signal(SIGALRM, on_tick);
  setitimer(ITIMER_REAL, &often, NULL);
  tree_site("main", "on_tick", __FILE__, zone_line, "futex");
  for (;;) now += localtime(&now) != NULL;
}

// Healthy: the handler interrupts code that holds nothing of its own, and takes a free lock.
static void on_usr2(int signal) {
  pthread_mutex_lock(&counters);
  hits += signal;
  SITE("main", "pause");
  pause();
}

static void quiet(void) {
  signal(SIGUSR2, on_usr2);
  tree_ready("none", "none", 1);
  raise(SIGUSR2);
}

// Healthy, which no core shows: a timer's handler will post what the worker waits for.
static sem_t tick;

static __attribute__((noinline)) void on_alarm(int signal) {
  hits += signal;
  sem_post(&tick);
}

static void* work(void* unused) {
  SITE("worker", "futex");
  while (sem_wait(&tick) != 0) continue;
  return unused;
}

static void timer(void) {
  const struct itimerval hour = {{3600, 0}, {3600, 0}};
  pthread_t worker;
  sem_init(&tick, 0, 0);
  signal(SIGALRM, on_alarm);
  setitimer(ITIMER_REAL, &hour, NULL);
  tree_ready("none", "none", 2);
  pthread_create(&worker, NULL, work, NULL);
  SITE("main", "futex");
  pthread_join(worker, NULL);
}

static const struct TreeScenario scenarios[] = {
    {"mutex", mutex}, {"allocator", allocator}, {"timezone", timezone_lock},
    {"quiet", quiet}, {"timer", timer},         {NULL, NULL}};

int main(int count, char** words) {
  return tree_main(count, words, scenarios);
}
