// A library whose constructor waits for a thread: one that uses the loader itself (PLUGIN=opens),
// or one that a loader's lock does not concern (PLUGIN=computes: a healthy twin).

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#include "tree.h"

static __attribute__((noinline)) void* load_codec(void* unused) {
  SITE("loader", "futex");
  return dlopen("libz.so.1", RTLD_NOW) != NULL ? unused : NULL;
}

static __attribute__((noinline)) void* compute(void* unused) {
  SITE("loader", "");
  for (volatile unsigned long n = 0;; ++n) continue;
  return unused;
}

static __attribute__((constructor)) void plugin_init(void) {
  pthread_t thread;
  const char* kind = getenv("PLUGIN");
  if (kind == NULL) return;
  tree_home = getpid();  // the program has made it
  pthread_create(&thread, NULL, kind[0] == 'o' ? load_codec : compute, NULL);
  SITE("main", "futex");
  pthread_join(thread, NULL);
}
