// The interpreter of its own library, while a namespace of its own (dlmopen) has the same library
// again, below, and an interpreter in it that rests.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>

int Py_BytesMain(int count, char** arguments);

static void* other_below(const char* path, const struct link_map* own) {
  for (int i = 0; i < 4; ++i) {
    struct link_map* map = NULL;
    void* library = dlmopen(LM_ID_NEWLM, path, RTLD_NOW);
    if (library == NULL || dlinfo(library, RTLD_DI_LINKMAP, &map) != 0) break;
    if (map->l_addr < own->l_addr) return library;
  }
  fprintf(stderr, "two_pythons: %s\n", dlerror());
  exit(1);
}

int main(int count, char** arguments) {
  Dl_info about;
  struct link_map* own = NULL;
  if (dladdr1((void*)Py_BytesMain, &about, (void**)&own, RTLD_DL_LINKMAP) == 0) return 1;
  void* library = other_below(about.dli_fname, own);
  void (*initialize)(int) = (void (*)(int))dlsym(library, "Py_InitializeEx");
  void* (*rest)(void) = (void* (*)(void))dlsym(library, "PyEval_SaveThread");
  initialize(0);
  rest();
  return Py_BytesMain(count, arguments);
}
