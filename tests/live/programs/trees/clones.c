// Children of a parent whose threads allocate, print and lock: fork(3) takes care of the C
// library's own locks, _Fork (2.34), which signal handlers and sandboxes use, and the bare system
// call do not.

#include "tree.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { churners = 2, blocks = 64, most_children = 400 };
static size_t smallest = 2000, step = 900;  // too large for what each thread keeps for itself
static pthread_mutex_t journal = PTHREAD_MUTEX_INITIALIZER;
static int holding[2];
static volatile int enough;

static void* churn(void* unused) {
  void* mine[blocks] = {NULL};
  for (unsigned seed = (unsigned)(size_t)&mine; !enough;) {
    seed = seed * 1103515245 + 12345;
    const unsigned i = seed >> 16 & (blocks - 1);
    free(mine[i]);
    mine[i] = malloc(smallest + (seed >> 8 & 31) * step);
  }
  for (;;) usleep(20000);
  return unused;
}

static void start_churn(void) {
  pthread_t thread;
  for (int i = 0; i < churners; ++i) pthread_create(&thread, NULL, churn, NULL);
  usleep(50000);
}

static __attribute__((noinline)) void fill(int say) {
  static char* mine[blocks];
  if (say) tree_site("child", __func__, __FILE__, __LINE__ + 1, "futex");
  for (size_t i = 0; i < blocks; ++i) mine[i] = malloc(smallest + i % 32 * step);
  if (mine[0] == NULL) _exit(3);
}

static __attribute__((noinline)) void compute(void) {
  SITE("child", "");
  for (;;) __asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void reap(pid_t child) {
  SITE("parent", "wait4");
  waitpid(child, NULL, 0);
}

static int ends_soon(pid_t child) {
  for (int i = 0; i < 300; ++i, usleep(1000)) {
    if (waitpid(child, NULL, WNOHANG) == child) return 1;
  }
  return 0;
}

static pid_t fork_bare(void) {
  return (pid_t)syscall(SYS_fork);
}

// Children are made until one does not end. None that does says anything of consequence.
static void fork_until_stuck(pid_t (*make)(void), const char* kind) {
  for (int i = 0; i < most_children; ++i) {
    const pid_t child = make();
    if (child == 0) {
      fill(1);
      _exit(0);
    }
    if (ends_soon(child)) continue;
    tree_edge("child", kind, "");
    tree_edge("parent", "process_exit", "child");
    tree_ready("fork-orphaned-lock", "deadlock", 2);
    reap(child);
  }
  _exit(3);
}

static void arena(void) {
  start_churn();
  fork_until_stuck(_Fork, "malloc_arena");
}

static void arena_bare(void) {
  start_churn();
  fork_until_stuck(fork_bare, "malloc_arena");
}

// Healthy: fork(3) holds malloc's locks while it copies.
static void arena_safe(void) {
  start_churn();
  tree_ready("none", "none", 2);
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      fill(0);
      _exit(0);
    }
    waitpid(child, NULL, 0);
  }
  const pid_t child = fork();
  if (child == 0) compute();
  enough = 1;
  reap(child);
}

// Another allocator, by a second start of this program.
static void with_allocator(const char* library, const char* function, const char* scenario) {
  extern void* dlsym(void*, const char*);
  if (getenv("LD_PRELOAD") == NULL) {
    setenv("LD_PRELOAD", library, 1);
    setenv("MALLOC_CONF", "narenas:1,percpu_arena:disabled", 1);
    execl("/proc/self/exe", "clones", scenario, (char*)NULL);
  }
  if (dlsym(NULL, function) == NULL) tree_skip(library);
  smallest = 70000;
  step = 10000;
  start_churn();
}

static void jemalloc(void) {
  with_allocator("libjemalloc.so.2", "mallctl", "jemalloc");
  fork_until_stuck(_Fork, "mutex");
}

// Healthy: jemalloc registers with pthread_atfork.
static void jemalloc_safe(void) {
  with_allocator("libjemalloc.so.2", "mallctl", "jemalloc_safe");
  arena_safe();
}

static void tcmalloc(void) {
  with_allocator("libtcmalloc_minimal.so.4", "tc_version", "tcmalloc");
  fork_until_stuck(_Fork, "spinlock");
}

// Healthy: tcmalloc, too.
static void tcmalloc_safe(void) {
  with_allocator("libtcmalloc_minimal.so.4", "tc_version", "tcmalloc_safe");
  arena_safe();
}

static __attribute__((noinline)) void* keep_printing(void* file) {
  char byte = 0;
  flockfile(file);
  if (write(holding[1], &byte, 1) != 1) _exit(3);
  SITE("printer", "");
  for (;;) usleep(20000);
  return NULL;
}

static void start_holder(void* (*begin)(void*), void* what) {
  char byte;
  pthread_t thread;
  if (pipe(holding) != 0) _exit(3);
  pthread_create(&thread, NULL, begin, what);
  if (read(holding[0], &byte, 1) != 1) _exit(3);
}

static __attribute__((noinline)) void print_start(FILE* file) {
  SITE("child", "futex");
  fputs("started\n", file);
}

// A thread of the parent has the lock of a stdio file at _Fork.
static void stdio(void) {
  FILE* file = fopen("/dev/null", "w");
  start_holder(keep_printing, file);
  tree_edge("child", "stdio_lock", "");
  tree_edge("parent", "process_exit", "child");
  tree_ready("fork-orphaned-lock", "deadlock", 3);
  const pid_t child = _Fork();
  if (child == 0) {
    print_start(file);
    _exit(0);
  }
  reap(child);
}

// Healthy: fork(3) makes such locks anew.
static void stdio_safe(void) {
  FILE* file = fopen("/dev/null", "w");
  start_holder(keep_printing, file);
  tree_ready("none", "none", 3);
  const pid_t child = fork();
  if (child == 0) {
    fputs("started\n", file);
    compute();
  }
  reap(child);
}

static __attribute__((noinline)) void* keep_journal(void* unused) {
  char byte = 0;
  pthread_mutex_lock(&journal);
  if (write(holding[1], &byte, 1) != 1) _exit(3);
  SITE("keeper", "");
  for (;;) usleep(20000);
  return unused;
}

static __attribute__((noinline)) void log_start(void) {
  SITE("child", "futex");
  pthread_mutex_lock(&journal);
}

// The bare system call leaves the parent's number in the child's thread block.
static void mutex_bare(void) {
  start_holder(keep_journal, NULL);
  tree_edge("child", "mutex", "");
  tree_edge("parent", "process_exit", "child");
  tree_ready("fork-orphaned-lock", "deadlock", 3);
  const pid_t child = fork_bare();
  if (child == 0) {
    log_start();
    _exit(0);
  }
  reap(child);
}

static const struct TreeScenario scenarios[] = {{"arena", arena},
                                                {"arena_bare", arena_bare},
                                                {"arena_safe", arena_safe},
                                                {"jemalloc", jemalloc},
                                                {"jemalloc_safe", jemalloc_safe},
                                                {"stdio", stdio},
                                                {"tcmalloc", tcmalloc},
                                                {"tcmalloc_safe", tcmalloc_safe},
                                                {"stdio_safe", stdio_safe},
                                                {"mutex_bare", mutex_bare},
                                                {NULL, NULL}};

int main(int count, char** words) {
  return tree_main(count, words, scenarios);
}
