// Two processes and two files that they lock in opposite order.

#include "tree.h"
//
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>

static int stock, prices, ready[2], go[2];

// Each process opens the files itself: flock belongs to the open file.
static void open_files(void) {
  stock = open("stock", O_CREAT | O_RDWR, 0600);
  prices = open("prices", O_CREAT | O_RDWR, 0600);
  if (stock < 0 || prices < 0 || pipe(ready) != 0 || pipe(go) != 0) _exit(3);
}

static int reopened(int file) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  return open(path, O_RDWR);
}

static void meet(int* tell, int* hear) {
  char byte = 0;
  if (write(tell[1], &byte, 1) != 1 || read(hear[0], &byte, 1) != 1) _exit(3);
}

static int lock_posix(int file, int command) {
  struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return fcntl(file, command, &all);
}

static __attribute__((noinline)) void update_prices(void) {
  SITE("parent", "flock");
  flock(prices, LOCK_EX);
}

static __attribute__((noinline)) void update_stock(int file) {
  SITE("child", "flock");
  flock(file, LOCK_EX);
}

static __attribute__((noinline)) void update_prices_posix(void) {
  SITE("parent", "fcntl");
  lock_posix(prices, F_SETLKW);
}

static void begin(const char* first, const char* second) {
  open_files();
  tree_edge("parent", first, "child");
  tree_edge("child", second, "parent");
  tree_ready("file-lock-cycle", "deadlock", 2);
}

static void with_flock(void) {
  begin("file_lock", "file_lock");
  if (fork() == 0) {
    const int mine = reopened(prices), yours = reopened(stock);
    flock(mine, LOCK_EX);
    meet(ready, go);
    update_stock(yours);
    _exit(0);
  }
  flock(stock, LOCK_EX);
  meet(go, ready);
  update_prices();
}

// The kernel refuses a ring of fcntl's own locks (EDEADLK), not one that is half flock.
static void with_both(void) {
  begin("file_lock", "file_lock");
  if (fork() == 0) {
    const int yours = reopened(stock);
    lock_posix(prices, F_SETLKW);
    meet(ready, go);
    update_stock(yours);
    _exit(0);
  }
  flock(stock, LOCK_EX);
  meet(go, ready);
  update_prices_posix();
}

// Healthy: the holder computes.
static __attribute__((noinline)) void compute(void) {
  SITE("child", "");
  for (volatile unsigned long n = 0;; ++n) continue;
}

static void held_by_busy(void) {
  open_files();
  tree_ready("none", "none", 2);
  if (fork() == 0) {
    flock(reopened(prices), LOCK_EX);
    meet(ready, go);
    compute();
  }
  meet(go, ready);
  update_prices();
}

static const struct TreeScenario scenarios[] = {
    {"flock", with_flock}, {"both", with_both}, {"busy", held_by_busy}, {NULL, NULL}};

int main(int count, char** words) {
  return tree_main(count, words, scenarios);
}
