// Reads through a null pointer, in a function called from another.

#include "truth.h"
//
#include <stddef.h>

struct Node {
  struct Node* next;
  long weight;
};

static __attribute__((noinline)) long weight_of(const struct Node* node) {
  TRUTH_CRASHES("main", "crash_segv.c", "crash-segv");
  return node->weight + truth_site_count;
}

static __attribute__((noinline)) long weigh_list(const struct Node* head) {
  return weight_of(head->next) + 1;
}

int main(void) {
  struct Node last = {NULL, 5};
  return (int)weigh_list(&last);
}
