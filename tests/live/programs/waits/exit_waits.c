// Threads that call exit() while another one's exit handler has not returned, or while the loader's
// lock is taken. Up to glibc 2.40 the second caller runs the next handler; from 2.41 on it waits.
// argv[1] is the library with the constructor that does not come back.

#include "wait_truth.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <stdlib.h>

static const char* library;

static void in_constructor(void) {
  goes(calls("exit: constructor", "io sleep", "pause", -1));
  pause_forever();
}

static void* open_library(void* unused) {
  (void)unused;
  dlopen(library, RTLD_NOW);
  return NULL;
}

static void in_handler(void) {
  goes(calls("exit handler", "io sleep", "pause", -1));
  pause_forever();
}

static void* leave_first(void* unused) {
  (void)unused;
  exit(0);
}

static void* leave_second(void* unused) {
  (void)unused;
  const long first = after("exit handler");
  const long opener = after("exit: constructor");
  int major = 0, minor = 0;
  sscanf(gnu_get_libc_version(), "%d.%d", &major, &minor);
  if (major > 2 || minor >= 41)
    goes(held_by(says("exit behind exit", "mutex futex", NULL, 0), first));
  else
    goes(held_by(says("exit behind constructor", "loader_lock", NULL, 0), opener));
  exit(0);
}

int main(int argc, char** argv) {
  char address[32];
  if (argc < 2) return 2;
  library = argv[1];
  atexit(in_handler);
  snprintf(address, sizeof address, "%lx", (unsigned long)(uintptr_t)in_constructor);
  setenv("COLDCASE_WAITS_HOOK", address, 1);
  starts(open_library, NULL);
  starts(leave_first, NULL);
  starts(leave_second, NULL);
  wait_ready(3);
  pause_forever();
}
