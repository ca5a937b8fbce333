// Dies of an assertion.

#undef NDEBUG
#include "truth.h"
//
#include <assert.h>

static __attribute__((noinline)) int share_of(int total, int parts) {
  truth_message = "parts > 0";
  TRUTH_CRASHES("main", "crash_assert.c", "crash-assert");
  assert(parts > 0);
  return total / parts;
}

static __attribute__((noinline)) int split(int total) {
  return share_of(total, total - 1) + 1;
}

int main(int count, char** words) {
  (void)words;
  return split(count);
}
