// OpenBLAS (0.3.21 to 0.3.30) and fork: its handler of pthread_atfork ends its threads before each
// fork. That works while they idle; one that computes forgets the order to end when it has
// finished. Loaded by name: nothing to link, and left out where it is not installed.

#include "tree.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { order = 101, no_transpose = 111, most_size = 1000 };  // cblas.h

static void (*gemm)(int, int, int, int, int, int, double, const double*, int, const double*, int,
                    double, double*, int);
static double *left, *right;

static void load(void) {
  setenv("OPENBLAS_NUM_THREADS", "2", 1);
  void* library = dlopen("/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0", RTLD_NOW);
  if (library == NULL) tree_skip("libopenblas0-pthread");
  int (*count)(void) = (int (*)(void))dlsym(library, "openblas_get_num_threads");
  *(void**)&gemm = dlsym(library, "cblas_dgemm");
  if (count == NULL || gemm == NULL || count() < 2) tree_skip("second processor");
  left = calloc((size_t)most_size * most_size, sizeof *left);
  right = calloc((size_t)most_size * most_size, sizeof *right);
}

static __attribute__((noinline)) void multiply(int size) {
  double* product = malloc((size_t)size * size * sizeof *product);
  gemm(order, no_transpose, no_transpose, size, size, size, 1.0, left, size, right, size, 0.0,
       product, size);
  free(product);
}

static __attribute__((noinline)) void reap(pid_t child) {
  SITE("parent", "wait4");
  waitpid(child, NULL, 0);
}

static __attribute__((noinline)) void compute(void) {
  SITE("child", "");
  for (;;) __asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void* multiply_often(void* unused) {
  for (int i = 0; i < 30; ++i) multiply(most_size);
  SITE("solver", "clock_nanosleep");
  sleep(3600);
  return unused;
}

static __attribute__((noinline)) pid_t start_child(void) {
  SITE("main", "futex");
  return fork();
}

// fork itself does not return: the handler joins a thread that has missed its order to end.
static void busy(void) {
  pthread_t solver;
  load();
  pthread_create(&solver, NULL, multiply_often, NULL);
  usleep(300000);
  tree_edge("main", "thread_exit", "");
  tree_ready("lost-wakeup", "hang", 2);
  if (start_child() == 0) _exit(0);
}

// Healthy: nobody multiplies at the time of the fork.
static void idle(void) {
  load();
  multiply(500);
  tree_ready("none", "none", 2);
  const pid_t child = fork();
  if (child == 0) {
    multiply(500);
    compute();
  }
  reap(child);
}

static const struct TreeScenario scenarios[] = {{"busy", busy}, {"idle", idle}, {NULL, NULL}};

int main(int count, char** words) {
  return tree_main(count, words, scenarios);
}
