// OpenMP's pool of threads and fork: the child has the pool's memory and none of its threads.

#include "tree.h"

#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>

static volatile double total;

// The child stops at the line of the pragma, the end of its part.
enum { line_of_team = __LINE__ + 3 };
static __attribute__((noinline)) void add_up(void) {
  double sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(3)
  for (int i = 0; i < 3000; ++i) sum += i;
  total = sum;
}

static volatile int filled;
enum { line_of_region = __LINE__ + 4 };

// One thread fills a buffer, the other polls for it, as in OpenBLAS's products.
static __attribute__((noinline)) void fill_and_take(void) {
  filled = 0;
#pragma omp parallel num_threads(2)
  if (omp_get_thread_num() == 0) {
    while (!filled) sched_yield();
  } else {
    filled = 1;
  }
}

static __attribute__((noinline)) void reap(pid_t child) {
  SITE("parent", "wait4");
  waitpid(child, NULL, 0);
}

static __attribute__((noinline)) void compute(void) {
  SITE("child", "");
  for (;;) __asm__ volatile("" ::: "memory");
}

// The parent has computed in parallel before; the child's turn waits for its team.
static void team(void) {
  add_up();
  tree_edge("child", "barrier", "");
  tree_edge("parent", "process_exit", "child");
  tree_ready("fork-orphaned-lock", "deadlock", 2);
  const pid_t child = fork();
  if (child == 0) {
    tree_site("child", "add_up", __FILE__, line_of_team, "futex");
    add_up();
    _exit(0);
  }
  reap(child);
}

// The same where the region's threads wait for each other without the barrier.
static void polling(void) {
  fill_and_take();
  tree_edge("child", "barrier", "");
  tree_edge("parent", "process_exit", "child");
  tree_ready("fork-orphaned-lock", "deadlock", 2);
  const pid_t child = fork();
  if (child == 0) {
    tree_site("child", "fill_and_take", __FILE__, line_of_region, "");
    fill_and_take();
    _exit(0);
  }
  reap(child);
}

// Healthy: the parent gives its pool back before it forks.
static void paused(void) {
  add_up();
  omp_pause_resource_all(omp_pause_hard);
  tree_ready("none", "none", 2);
  const pid_t child = fork();
  if (child == 0) {
    add_up();
    compute();
  }
  reap(child);
}

// Healthy: the child is the first to compute in parallel; its pool idles afterwards.
static void first(void) {
  tree_ready("none", "none", 2);
  const pid_t child = fork();
  if (child == 0) {
    add_up();
    compute();
  }
  reap(child);
}

static const struct TreeScenario scenarios[] = {
    {"team", team}, {"polling", polling}, {"paused", paused}, {"first", first}, {NULL, NULL}};

int main(int count, char** words) {
  return tree_main(count, words, scenarios);
}
