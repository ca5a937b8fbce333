// What the processes of a native tree program know about their own end, a line for each thread that
// comes to rest and one when all is set up:
//   SITE {"thread":"child","pid":8,"tid":8,"settles":"read","function":"f","file":"x.c","line":9}
//   EDGE {"from":"child","kind":"pipe","to":"parent"}
//   READY {"pattern":"pipe-cycle","kind":"deadlock","expects":2}
// The harness waits for READY and as many sites as it expects. No lock in here: it would be a lock
// in the cores.

#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// The calling thread is about to block on the next line, in `settles`: a system call's name, or ""
// where it goes on computing.
#define SITE(thread, settles) tree_site(thread, __func__, __FILE__, __LINE__ + 1, settles)

__attribute__((format(printf, 1, 2))) static inline void tree_say(const char* format, ...) {
  char line[512];  // one write: lines of several processes do not mix
  va_list arguments;
  va_start(arguments, format);
  const int size = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (size < 0 || size >= (int)sizeof line || write(1, line, (size_t)size) != size) _exit(3);
}

static pid_t tree_home;  // the process whose folder this is

// The kernel writes `core` into the working folder: each process has its own, named by its number.
static inline void tree_own_folder(void) {
  char number[32];
  if (__atomic_exchange_n(&tree_home, getpid(), __ATOMIC_SEQ_CST) == getpid()) return;
  snprintf(number, sizeof number, "%d", (int)getpid());
  if (mkdir(number, 0700) != 0 || chdir(number) != 0) _exit(3);
}

static inline void tree_site(const char* thread, const char* function, const char* path, int line,
                             const char* settles) {
  tree_own_folder();
  const char* slash = strrchr(path, '/');
  tree_say(
      "SITE {\"thread\":\"%s\",\"pid\":%d,\"tid\":%ld,\"settles\":\"%s\",\"function\":\"%s\","
      "\"file\":\"%s\",\"line\":%d}\n",
      thread, (int)getpid(), syscall(SYS_gettid), settles, function, slash ? slash + 1 : path,
      line);
}

// `from` waits for something of this kind that `to` holds, feeds or is; "" for nobody.
static inline void tree_edge(const char* from, const char* kind, const char* to) {
  tree_say("EDGE {\"from\":\"%s\",\"kind\":\"%s\",\"to\":\"%s\"}\n", from, kind, to);
}

static inline void tree_ready(const char* pattern, const char* kind, int sites) {
  tree_say("READY {\"pattern\":\"%s\",\"kind\":\"%s\",\"expects\":%d}\n", pattern, kind, sites);
}

// This machine lacks something that the scenario needs.
__attribute__((noreturn)) static inline void tree_skip(const char* lacks) {
  tree_say("SKIP {\"lacks\":\"%s\"}\n", lacks);
  _exit(0);
}

struct TreeScenario {
  const char* name;
  void (*run)(void);
};

static inline int tree_main(int count, char** words, const struct TreeScenario* scenarios) {
  tree_own_folder();
  for (; count == 2 && scenarios->name != NULL; ++scenarios) {
    if (strcmp(scenarios->name, words[1]) != 0) continue;
    scenarios->run();
    return 0;
  }
  fprintf(stderr, "usage: %s SCENARIO\n", words[0]);
  return 2;
}
