// A thread holds a mutex and waits, or works, while others want it.

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstdlib>
#include <thread>
#include <vector>

#include "tree.h"

namespace {

pthread_mutex_t cache = PTHREAD_MUTEX_INITIALIZER;
int line[2];  // the other end of line[0] is silent
bool held = false;
const char* const names[] = {"waiter-0", "waiter-1", "waiter-2", "waiter-3",
                             "waiter-4", "waiter-5", "waiter-6", "waiter-7"};

[[gnu::noinline]] void look_up(int i) {
  while (!__atomic_load_n(&held, __ATOMIC_SEQ_CST)) usleep(1000);
  SITE(names[i], "futex");
  pthread_mutex_lock(&cache);
  pthread_mutex_unlock(&cache);
}

// The other end is a process of its own, which says nothing.
void open_line() {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, line) != 0) _exit(3);
  if (fork() == 0) {
    close(line[0]);
    for (;;) pause();
  }
  close(line[1]);
}

// Takes the mutex, and `waits` as the holder; `waiters` threads come behind.
void hold_in(void (*waits)(), int waiters, const char* pattern, const char* kind, int others = 0) {
  for (int i = 0; i < waiters && kind[0] == 'h'; ++i) tree_edge(names[i], "mutex", "holder");
  tree_ready(pattern, kind, waiters + 1 + others);
  std::thread holder([waits] {
    pthread_mutex_lock(&cache);
    __atomic_store_n(&held, true, __ATOMIC_SEQ_CST);
    waits();
    pthread_mutex_unlock(&cache);
  });
  std::vector<std::thread> all;
  for (int i = 0; i < waiters; ++i) all.emplace_back(look_up, i);
  holder.join();
  for (std::thread& thread : all) thread.join();
}

[[gnu::noinline]] void fetch_remote() {
  char byte;
  SITE("holder", "recvfrom");
  if (recv(line[0], &byte, 1, 0) == 1) std::exit(0);
}

void in_recv() {
  open_line();
  hold_in(fetch_remote, 2, "blocked-holder", "hang");
}

// Healthy: the answer is waited for half a second only, again and again.
[[gnu::noinline]] void poll_remote() {
  pollfd remote = {line[0], POLLIN, 0};
  SITE("holder", "poll");
  while (poll(&remote, 1, 500) != 1) continue;
}

void in_poll() {
  open_line();
  hold_in(poll_remote, 2, "none", "none");
}

// Healthy, but no core can tell: the timeout is the socket's own.
[[gnu::noinline]] void fetch_within() {
  char byte;
  const timeval half = {0, 500000};
  setsockopt(line[0], SOL_SOCKET, SO_RCVTIMEO, &half, sizeof half);
  SITE("holder", "recvfrom");
  while (recv(line[0], &byte, 1, 0) != 1) continue;
}

void in_timed_recv() {
  open_line();
  hold_in(fetch_within, 2, "blocked-holder", "hang");
}

[[gnu::noinline]] void await_child(pid_t child) {
  SITE("holder", "wait4");
  waitpid(child, nullptr, 0);
}

[[gnu::noinline]] void run_helper() {
  const pid_t child = fork();
  if (child == 0) {
    SITE("child", "pause");
    for (;;) pause();
  }
  await_child(child);
}

void in_waitpid() {
  hold_in(run_helper, 2, "blocked-holder", "hang", 1);
}

[[gnu::noinline]] void back_off() {
  SITE("holder", "clock_nanosleep");
  sleep(3600);
}

void in_sleep() {
  hold_in(back_off, 2, "blocked-holder", "hang");
}

// Healthy: short sleeps are work in progress.
[[gnu::noinline]] void pace() {
  SITE("holder", "");
  for (;;) usleep(50000);
}

void in_short_sleep() {
  hold_in(pace, 2, "none", "none");
}

// Healthy, and worth knowing: eight wait for one that computes.
[[gnu::noinline]] void rebuild() {
  SITE("holder", "");
  for (volatile unsigned long n = 0;; n = n + 1) continue;
}

void in_computing() {
  hold_in(rebuild, 8, "lock-convoy", "none");
}

// Alone, waiting for one answer.
[[gnu::noinline]] void ask() {
  char byte;
  SITE("main", "recvfrom");
  if (recv(line[0], &byte, 1, 0) == 1) std::exit(0);
}

void alone() {
  open_line();
  tree_edge("main", "socket", "");
  tree_ready("blocked-holder", "hang", 1);
  ask();
}

// Alone with both ends: nobody else can answer.
void deaf() {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, line) != 0) _exit(3);
  tree_edge("main", "socket", "main");
  tree_ready("pipe-cycle", "deadlock", 1);
  ask();
}

const TreeScenario scenarios[] = {
    {"recv", in_recv},        {"poll", in_poll},   {"timed_recv", in_timed_recv},
    {"waitpid", in_waitpid},  {"sleep", in_sleep}, {"short_sleep", in_short_sleep},
    {"convoy", in_computing}, {"alone", alone},    {"deaf", deaf},
    {nullptr, nullptr},
};

}  // namespace

int main(int count, char** words) {
  return tree_main(count, words, scenarios);
}
