// Loads libplugin.so, which lies beside it and waits in its constructor.

#include <dlfcn.h>
#include <stdlib.h>

#include "tree.h"

static char path[4096];

static __attribute__((noinline)) void load_plugin(void) {
  if (dlopen(path, RTLD_NOW) == NULL) fprintf(stderr, "%s\n", dlerror());
}

static void find_plugin(void) {
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path - 32);
  if (size <= 0) _exit(3);
  path[size] = '\0';
  strcpy(strrchr(path, '/') + 1, "libplugin.so");
}

static void join(void) {
  find_plugin();
  setenv("PLUGIN", "opens", 1);
  tree_edge("main", "thread_exit", "loader");
  tree_edge("loader", "loader_lock", "main");
  tree_ready("loader-lock-cycle", "deadlock", 2);
  load_plugin();
}

static void busy(void) {
  find_plugin();
  setenv("PLUGIN", "computes", 1);
  tree_ready("none", "none", 2);
  load_plugin();
}

static const struct TreeScenario scenarios[] = {{"join", join}, {"busy", busy}, {NULL, NULL}};

int main(int count, char** words) {
  return tree_main(count, words, scenarios);
}
