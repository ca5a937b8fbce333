// An assertion fails while another C library lies below the program's own, in a namespace of its
// own (dlmopen).
#define _GNU_SOURCE
#include <assert.h>
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>

#include "truth.h"

static int lies_below(void* library, void* other) {
  struct link_map *one, *two;
  return dlinfo(library, RTLD_DI_LINKMAP, &one) == 0 && dlinfo(other, RTLD_DI_LINKMAP, &two) == 0 &&
         one->l_addr < two->l_addr;
}

__attribute__((noinline)) static void check(int balance) {
  TRUTH_CRASHES("main", "assert_apart.c", "crash-assert");
  assert(balance >= 0);
}

int main(void) {
  void* own = dlopen("libc.so.6", RTLD_NOW);
  void* apart = NULL;
  for (int i = 0; i < 8 && (apart == NULL || !lies_below(apart, own)); ++i)
    apart = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
  if (apart == NULL || !lies_below(apart, own)) abort();
  truth_message = "Assertion `balance >= 0' failed.";
  check(-1);
}
