// Waits for the C library's own locks: streams, the list of streams, the loader's locks, a malloc
// arena. argv[1] is the library with the constructor that does not come back. Nothing here may
// print, open a stream or allocate once the threads are on their way.

#include "wait_truth.h"

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>

static const char* library;

// Streams: flockfile <- putc; flockfile <- fflush(NULL) <- fopen

static FILE* stream;
static long stream_owner;

static struct Line* stream_line(const char* name, FILE* file) {
  struct Line* line = says(name, "stdio_lock", file, sizeof *file);
  line->other = file->_lock;
  line->other_size = 16;
  return line;
}

static void* keep_stream(void* unused) {
  (void)unused;
  flockfile(stream);
  stream_owner = own_tid();
  goes(calls("stream owner", "io sleep", "pause", -1));
  pause_forever();
  return NULL;
}

static void* put_character(void* unused) {
  (void)unused;
  const long owner = after("stream owner");
  goes(held_by(stream_line("stdio putc", stream), owner));
  putc('x', stream);
  return NULL;
}

static void* flush_all(void* unused) {
  (void)unused;
  const long owner = after("stream owner");
  goes(held_by(stream_line("stdio fflush all", stream), owner));
  fflush(NULL);
  return NULL;
}

static void* open_stream(void* unused) {
  (void)unused;
  const long flusher = after("stdio fflush all");
  goes(held_by(says("stdio fopen, list locked", "stdio_lock", NULL, 0), flusher));
  fopen("/dev/null", "r");
  return NULL;
}

// The loader

static void in_constructor(void) {
  goes(calls("dlopen constructor", "io sleep", "pause", -1));
  pause_forever();
}

static void* open_library(void* unused) {
  (void)unused;
  dlopen(library, RTLD_NOW);
  return NULL;
}

static void* open_behind(void* unused) {
  (void)unused;
  const long owner = after("dlopen constructor");
  goes(held_by(says("dlopen behind constructor", "loader_lock", NULL, 0), owner));
  dlopen("libm.so.6", RTLD_NOW);
  return NULL;
}

static void* symbol_behind(void* unused) {
  (void)unused;
  const long owner = after("dlopen constructor");
  goes(held_by(says("dlsym behind constructor", "loader_lock", NULL, 0), owner));
  dlsym(RTLD_DEFAULT, "no_such_name_anywhere");
  return NULL;
}

static int in_callback(struct dl_phdr_info* info, size_t size, void* unused) {
  (void)info;
  (void)size;
  (void)unused;
  goes(calls("dl_iterate_phdr callback", "io sleep", "pause", -1));
  pause_forever();
  return 0;
}

static void* walk_modules(void* unused) {
  (void)unused;
  dl_iterate_phdr(in_callback, NULL);
  return NULL;
}

static int no_callback(struct dl_phdr_info* info, size_t size, void* unused) {
  (void)info;
  (void)size;
  (void)unused;
  return 1;
}

static void* walk_behind(void* unused) {
  (void)unused;
  const long owner = after("dl_iterate_phdr callback");
  goes(held_by(says("dl_iterate_phdr behind", "loader_lock", NULL, 0), owner));
  dl_iterate_phdr(no_callback, NULL);
  return NULL;
}

// A malloc arena: a signal handler that stays while the interrupted malloc holds the arena. Whether
// it does is seen from outside: another thread's malloc sleeps meanwhile.

static long arena_waiter;
static int arena_round, arena_answer, arena_taken;

static void interrupt(int number) {
  (void)number;
  const int error = errno;
  __atomic_add_fetch(&arena_round, 1, __ATOMIC_SEQ_CST);
  for (int i = 0; i < 10; ++i) {
    nap();
    if (__atomic_load_n(&arena_answer, __ATOMIC_SEQ_CST) ==
        __atomic_load_n(&arena_round, __ATOMIC_SEQ_CST)) {
      errno = error;
      return;
    }
  }
  if (state_of(__atomic_load_n(&arena_waiter, __ATOMIC_SEQ_CST)) != 'S') {
    errno = error;
    return;
  }
  __atomic_store_n(&arena_taken, 1, __ATOMIC_SEQ_CST);
  goes(calls("malloc handler", "io sleep", "pause", -1));
  pause_forever();
}

static void* churn(void* tid) {
  __atomic_store_n((long*)tid, own_tid(), __ATOMIC_SEQ_CST);
  for (unsigned i = 0;; ++i) {
    void* volatile block = malloc(3000 + i % 64 * 100);  // too large for the thread's cache
    free(block);
  }
  return NULL;
}

static void* allocate(void* churner) {
  __atomic_store_n(&arena_waiter, own_tid(), __ATOMIC_SEQ_CST);
  struct Line* line = says("malloc arena", "malloc_arena", NULL, 0);
  held_unseen(line, *(const long*)churner);
  line->tid = own_tid();
  __atomic_fetch_add(&wait_line_done, 1, __ATOMIC_SEQ_CST);
  int done = 0;
  for (;;) {
    const int round = __atomic_load_n(&arena_round, __ATOMIC_SEQ_CST);
    if (round == done) continue;
    void* volatile block = malloc(5000);
    free(block);
    done = round;
    __atomic_store_n(&arena_answer, round, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

static int take_arena(void) {
  static long churner;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = interrupt;
  sigaction(SIGUSR1, &action, NULL);
  starts(churn, &churner);
  while (__atomic_load_n(&churner, __ATOMIC_SEQ_CST) == 0) nap();
  starts(allocate, &churner);
  for (int i = 0; i < 200 && !__atomic_load_n(&arena_taken, __ATOMIC_SEQ_CST); ++i) {
    const int round = __atomic_load_n(&arena_round, __ATOMIC_SEQ_CST);
    syscall(SYS_tgkill, getpid(), churner, SIGUSR1);
    while (__atomic_load_n(&arena_round, __ATOMIC_SEQ_CST) == round) nap();
    for (int k = 0; k < 15 && !__atomic_load_n(&arena_taken, __ATOMIC_SEQ_CST); ++k) nap();
  }
  return __atomic_load_n(&arena_taken, __ATOMIC_SEQ_CST);
}

int main(int argc, char** argv) {
  char address[32];
  if (argc < 2) return 2;
  library = argv[1];
  stream = fopen("/dev/null", "w");
  if (stream == NULL) return 1;
  snprintf(address, sizeof address, "%lx", (unsigned long)(uintptr_t)in_constructor);
  setenv("COLDCASE_WAITS_HOOK", address, 1);
  starts(keep_stream, NULL);
  starts(put_character, NULL);
  starts(flush_all, NULL);
  starts(open_stream, NULL);
  // In turn: fopen and dlopen allocate, and a walk of the modules keeps dlopen from ending.
  after("stdio fopen, list locked");
  starts(open_library, NULL);
  after("dlopen constructor");
  starts(open_behind, NULL);
  starts(symbol_behind, NULL);
  after("dlopen behind constructor");
  after("dlsym behind constructor");
  starts(walk_modules, NULL);
  starts(walk_behind, NULL);
  after("dl_iterate_phdr behind");
  int lines = 9;
  if (!take_arena()) return 3;
  lines += 2;
  wait_ready(lines);
  pause_forever();
}
