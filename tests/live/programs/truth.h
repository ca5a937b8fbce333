// What a native test program knows about its own end, printed as one line for the harness:
//   READY {"pid":7,"pattern":"lock-cycle","kind":"deadlock","threads":{"left":8},"sites":[...],...}
// Threads record themselves just before they block; the harness waits until they have done so.
// No lock in here: it would be a lock in the cores.

#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

struct TruthSite {
  const char *thread, *function, *settles;
  long tid;
  int line;
};
struct TruthEdge {
  const char *from, *resource, *to;
};

static struct TruthSite truth_sites[32];
static struct TruthEdge truth_edges[8];
static int truth_site_count, truth_site_done, truth_edge_count;
static const char* truth_message;

// The calling thread is about to block on the next line, in `settles`: a system call's name, or ""
// where it is not known.
#define TRUTH_BLOCKS(thread, settles) truth_site(thread, __func__, __LINE__ + 1, settles)

// The calling thread is about to crash on the next line.
#define TRUTH_CRASHES(thread, source, pattern) \
  truth_site(thread, __func__, __LINE__ + 1, ""), truth_ready(source, pattern, "crash")

static inline void truth_ready(const char* source, const char* pattern, const char* kind);

static inline void truth_site(const char* thread, const char* function, int line,
                              const char* settles) {
  const int i = __atomic_fetch_add(&truth_site_count, 1, __ATOMIC_SEQ_CST);
  truth_sites[i].thread = thread;
  truth_sites[i].function = function;
  truth_sites[i].settles = settles;
  truth_sites[i].tid = syscall(SYS_gettid);
  truth_sites[i].line = line;
  __atomic_fetch_add(&truth_site_done, 1, __ATOMIC_SEQ_CST);
}

static inline void truth_edge(const char* from, const char* resource, const char* to) {
  truth_edges[truth_edge_count].from = from;
  truth_edges[truth_edge_count].resource = resource;
  truth_edges[truth_edge_count++].to = to;
}

static inline void truth_wait_for(int sites) {
  while (__atomic_load_n(&truth_site_done, __ATOMIC_SEQ_CST) < sites) usleep(1000);
}

// One JSON object of name to tid, or of name to system call.
static inline void truth_print_map(const char* key, int tids) {
  const char* comma = "";
  printf(",\"%s\":{", key);
  for (int i = 0; i < truth_site_count; ++i) {
    const struct TruthSite* site = &truth_sites[i];
    if (!tids && site->settles[0] == '\0') continue;
    printf("%s\"%s\":", comma, site->thread);
    if (tids) printf("%ld", site->tid);
    if (!tids) printf("\"%s\"", site->settles);
    comma = ",";
  }
  printf("}");
}

static inline void truth_ready(const char* source, const char* pattern, const char* kind) {
  printf("READY {\"pid\":%d,\"pattern\":\"%s\",\"kind\":\"%s\"", (int)getpid(), pattern, kind);
  truth_print_map("threads", 1);
  truth_print_map("settles", 0);
  printf(",\"sites\":[");
  for (int i = 0; i < truth_site_count; ++i) {
    const struct TruthSite* site = &truth_sites[i];
    printf("%s{\"thread\":\"%s\",\"function\":\"%s\",\"file\":\"%s\",\"line\":%d}", i ? "," : "",
           site->thread, site->function, source, site->line);
  }
  printf("],\"edges\":[");
  for (int i = 0; i < truth_edge_count; ++i) {
    const struct TruthEdge* edge = &truth_edges[i];
    printf("%s{\"from\":\"%s\",\"resource\":\"%s\",\"to\":\"%s\"}", i ? "," : "", edge->from,
           edge->resource, edge->to);
  }
  printf("]");
  if (truth_message) printf(",\"message\":\"%s\"", truth_message);
  printf("}\n");
  fflush(stdout);
}
