// What each thread of a bench program says about its own wait, just before it begins. One line for
// the harness, waits_test.py, which also tells what the words mean:
//   READY {"pid":7,"threads":[{"tid":8,"name":"mutex normal","kinds":"mutex",...}],"skipped":[...]}
// Nothing in here takes a lock, allocates, or uses stdio streams: all of that is under test.

#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WAIT_LINES 96
#define LONG_TIME 100000  // seconds: no bench runs that long

struct Line {
  const char *name, *kinds, *mode, *ends, *state, *calls;
  const void *object, *other, *mutex;  // other: a second address that names the same object
  size_t size, other_size;
  long tid, holders[4], target, target_pid, fd;
  int holder_count, holder_readable, elsewhere;
};

static struct Line wait_lines[WAIT_LINES];
static int wait_line_count, wait_line_done;
static char wait_skipped[2048];

static inline long own_tid(void) {
  return syscall(SYS_gettid);
}

static inline void nap(void) {
  const struct timespec time = {0, 2000000};
  nanosleep(&time, NULL);
}

static inline void pause_forever(void) {
  for (;;) pause();
}

static inline struct timespec far_away(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  time.tv_sec += LONG_TIME;
  return time;
}

// The calling thread will wait for an object of one of these kinds, the best word first.
static inline struct Line* says(const char* name, const char* kinds, const void* object,
                                size_t size) {
  struct Line* line = &wait_lines[__atomic_fetch_add(&wait_line_count, 1, __ATOMIC_SEQ_CST)];
  line->name = name;
  line->kinds = kinds;
  line->object = object;
  line->size = size;
  line->ends = "never";
  line->state = "blocked";
  line->calls = "futex";
  line->fd = -1;
  return line;
}

// It waits in a system call, for nothing that has an address.
static inline struct Line* calls(const char* name, const char* kinds, const char* call, int fd) {
  struct Line* line = says(name, kinds, NULL, 0);
  line->calls = call;
  line->fd = fd;
  return line;
}

static inline struct Line* held_by(struct Line* line, long tid) {
  line->holders[line->holder_count++] = tid;
  line->holder_readable = 1;
  return line;
}

// Nothing in the process records the holder: a report may name it, and must not name another.
static inline struct Line* held_unseen(struct Line* line, long tid) {
  line->holders[line->holder_count++] = tid;
  return line;
}

static inline struct Line* with_mode(struct Line* line, const char* mode) {
  line->mode = mode;
  return line;
}

static inline struct Line* timed(struct Line* line) {
  line->ends = "timeout";
  return line;
}

static inline struct Line* goes(struct Line* line) {
  line->tid = own_tid();
  __atomic_fetch_add(&wait_line_done, 1, __ATOMIC_SEQ_CST);
  return line;
}

static inline void wait_skip(const char* name, const char* why) {
  const size_t used = strlen(wait_skipped);
  snprintf(wait_skipped + used, sizeof wait_skipped - used, "%s{\"name\":\"%s\",\"why\":\"%s\"}",
           used ? "," : "", name, why);
}

// The thread's state letter as the kernel says it: S asleep, R running.
static inline char state_of(long tid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/self/task/%ld/stat", tid);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return '?';
  const ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  if (size <= 0) return '?';
  text[size] = 0;
  const char* end = strrchr(text, ')');
  return end ? end[2] : '?';
}

static inline struct Line* find_line(const char* name) {
  const int count = __atomic_load_n(&wait_line_count, __ATOMIC_SEQ_CST);
  for (int i = 0; i < count && i < WAIT_LINES; ++i) {
    if (wait_lines[i].name && strcmp(wait_lines[i].name, name) == 0) return &wait_lines[i];
  }
  return NULL;
}

// Returns when the thread of that line sleeps: for waits that need another one to be queued first.
static inline long after(const char* name) {
  for (;;) {
    const struct Line* line = find_line(name);
    const long tid = line ? __atomic_load_n(&line->tid, __ATOMIC_SEQ_CST) : 0;
    nap();
    if (tid != 0 && state_of(tid) == 'S') {
      nap();
      if (state_of(tid) == 'S') return tid;
    }
  }
}

static inline void starts(void* (*run)(void*), void* argument) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  const int error = pthread_create(&thread, &attributes, run, argument);
  if (error != 0) {
    static const char text[] = "cannot start a thread\n";
    if (write(2, text, sizeof text - 1) < 0) _exit(1);
    _exit(1);
  }
}

static inline void put(char* text, size_t room, size_t* used, const char* format, ...) {
  va_list list;
  va_start(list, format);
  const int size = vsnprintf(text + *used, room - *used, format, list);
  va_end(list);
  if (size > 0) *used += (size_t)size < room - *used ? (size_t)size : room - *used - 1;
}

static inline void put_line(char* text, size_t room, size_t* used, const struct Line* line) {
  put(text, room, used, "{\"tid\":%ld,\"name\":\"%s\",\"kinds\":\"%s\",\"ends\":\"%s\"", line->tid,
      line->name, line->kinds, line->ends);
  put(text, room, used, ",\"state\":\"%s\",\"calls\":\"%s\"", line->state, line->calls);
  if (line->mode) put(text, room, used, ",\"mode\":\"%s\"", line->mode);
  if (line->object) {
    put(text, room, used, ",\"object\":%lu,\"size\":%lu", (unsigned long)(uintptr_t)line->object,
        (unsigned long)line->size);
  }
  if (line->other) {
    put(text, room, used, ",\"other\":%lu,\"other_size\":%lu",
        (unsigned long)(uintptr_t)line->other, (unsigned long)line->other_size);
  }
  if (line->mutex) put(text, room, used, ",\"mutex\":%lu", (unsigned long)(uintptr_t)line->mutex);
  if (line->target) put(text, room, used, ",\"target\":%ld", line->target);
  if (line->target_pid) put(text, room, used, ",\"target_pid\":%ld", line->target_pid);
  if (line->fd >= 0) put(text, room, used, ",\"fd\":%ld", line->fd);
  if (line->elsewhere) put(text, room, used, ",\"elsewhere\":true");
  put(text, room, used, ",\"holder_readable\":%s,\"holders\":[",
      line->holder_readable ? "true" : "false");
  for (int i = 0; i < line->holder_count; ++i)
    put(text, room, used, "%s%ld", i ? "," : "", line->holders[i]);
  put(text, room, used, "]}");
}

// Waits until `count` lines are said and their threads had time to block, and prints them.
static inline void wait_ready(int count) {
  static char text[64 << 10];
  size_t used = 0;
  while (__atomic_load_n(&wait_line_done, __ATOMIC_SEQ_CST) < count) nap();
  put(text, sizeof text, &used, "READY {\"pid\":%ld,\"threads\":[", (long)getpid());
  for (int i = 0; i < count; ++i) {
    if (i) put(text, sizeof text, &used, ",");
    put_line(text, sizeof text, &used, &wait_lines[i]);
  }
  put(text, sizeof text, &used, "],\"skipped\":[%s]}\n", wait_skipped);
  for (size_t at = 0; at < used;) {
    const ssize_t size = write(1, text + at, used - at);
    if (size <= 0) _exit(1);
    at += (size_t)size;
  }
}
