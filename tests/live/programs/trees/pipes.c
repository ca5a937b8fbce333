// Parents and children joined by pipes, sockets and waitpid.

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "tree.h"

static int down[2], up[2];  // parent to child, child to parent

static void open_both(void) {
  if (pipe(down) != 0 || pipe(up) != 0) _exit(3);
}

// Each reads what the other should write first.
static __attribute__((noinline)) void await_order(void) {
  char byte;
  SITE("child", "read");
  if (read(down[0], &byte, 1) == 1) _exit(0);
}

static __attribute__((noinline)) void await_answer(void) {
  char byte;
  SITE("parent", "read");
  if (read(up[0], &byte, 1) == 1) _exit(0);
}

static void readers(void) {
  open_both();
  tree_edge("parent", "pipe", "child");
  tree_edge("child", "pipe", "parent");
  tree_ready("pipe-cycle", "deadlock", 2);
  if (fork() == 0) {
    close(down[1]);
    close(up[0]);
    await_order();
    _exit(0);
  }
  close(down[0]);
  close(up[1]);
  await_answer();
}

// Each writes more than a pipe holds before it reads.
static char block[1 << 20];

// In a loop: a debugger's attaching ends a write that has begun.
static __attribute__((noinline)) void send_orders(void) {
  SITE("parent", "write");
  while (write(down[1], block, sizeof block) > 0) continue;
}

static __attribute__((noinline)) void send_answers(void) {
  SITE("child", "write");
  while (write(up[1], block, sizeof block) > 0) continue;
}

static void writers(void) {
  open_both();
  tree_edge("parent", "pipe", "child");
  tree_edge("child", "pipe", "parent");
  tree_ready("pipe-cycle", "deadlock", 2);
  if (fork() == 0) {
    close(down[1]);
    close(up[0]);
    send_answers();
    _exit(0);
  }
  close(down[0]);
  close(up[1]);
  send_orders();
}

// The same, beside a thread that waits for work: only its own process could give it some.
static pthread_mutex_t desk = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;

static void* idle(void* unused) {
  pthread_mutex_lock(&desk);
  SITE("helper", "futex");
  for (;;) pthread_cond_wait(&work, &desk);
  return unused;
}

static void write_beside(void* (*run)(void*)) {
  open_both();
  if (fork() == 0) {
    close(down[1]);
    close(up[0]);
    send_answers();
    _exit(0);
  }
  pthread_t helper;
  pthread_create(&helper, NULL, run, NULL);
  close(down[0]);
  close(up[1]);
  send_orders();
}

static void helped(void) {
  tree_edge("parent", "pipe", "child");
  tree_edge("child", "pipe", "parent");
  tree_ready("pipe-cycle", "deadlock", 3);
  write_beside(idle);
}

// Healthy: time wakes the helper, which may read.
static void* tick(void* unused) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += 3600;
  pthread_mutex_lock(&desk);
  SITE("helper", "futex");
  pthread_cond_timedwait(&work, &desk, &end);
  return unused;
}

static void ticking(void) {
  tree_ready("none", "none", 3);
  write_beside(tick);
}

// The parent waits for the child's end; the child for the parent's pipe to be closed.
static __attribute__((noinline)) void reap(pid_t child) {
  SITE("parent", "wait4");
  waitpid(child, NULL, 0);
}

static void reaper(void) {
  open_both();
  tree_edge("parent", "process_exit", "child");
  tree_edge("child", "pipe", "parent");
  tree_ready("join-cycle", "deadlock", 2);
  const pid_t child = fork();
  if (child == 0) {
    close(down[1]);
    await_order();
    _exit(0);
  }
  close(down[0]);
  reap(child);
}

// Healthy: the child computes what the parent reads.
static __attribute__((noinline)) void compute(const char* thread) {
  SITE(thread, "");
  for (volatile unsigned long n = 0;; ++n) continue;
}

static void answering(void) {
  open_both();
  tree_ready("none", "none", 2);
  if (fork() == 0) {
    close(up[0]);
    compute("child");
  }
  close(up[1]);
  await_answer();
}

// Healthy: the parent waits for a child that computes.
static void reaping(void) {
  tree_ready("none", "none", 2);
  const pid_t child = fork();
  if (child == 0) compute("child");
  reap(child);
}

// Healthy: two children accept on the parent's socket, the parent waits for their end.
static __attribute__((noinline)) void serve(const char* thread, int listener) {
  SITE(thread, "accept");
  accept(listener, NULL, NULL);
}

static __attribute__((noinline)) void reap_any(void) {
  SITE("parent", "wait4");
  waitpid(-1, NULL, 0);
}

static void prefork(void) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  if (bind(listener, (struct sockaddr*)&here, sizeof here) != 0 || listen(listener, 4) != 0)
    _exit(3);
  tree_ready("none", "none", 3);
  if (fork() == 0) serve("first", listener);
  if (fork() == 0) serve("second", listener);
  reap_any();
}

static const struct TreeScenario scenarios[] = {
    {"readers", readers},     {"writers", writers}, {"reaper", reaper},
    {"answering", answering}, {"reaping", reaping}, {"prefork", prefork},
    {"helped", helped},       {"ticking", ticking}, {NULL, NULL},
};

int main(int count, char** words) {
  return tree_main(count, words, scenarios);
}
