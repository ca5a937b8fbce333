// Ranks of one MPI job that wait for each other, or do not. Each says what it will be in:
//   READY {"rank":0,"pid":7,"call":"MPI_Bcast","on":"MPI_COMM_WORLD","site":{"function":...}}
//   mpirun -n 2 mpi_mismatch CASE
#include <mpi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { large = 1 << 20 };
static int rank, size;
static double* data;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

// The next line is where this rank will stay: in `call` on the communicator, or in no call of MPI.
#define STAYS(call, of) ready(call, of, __func__, __LINE__ + 1)
static void ready(const char* call, MPI_Comm of, const char* function, int line) {
  char name[MPI_MAX_OBJECT_NAME] = "";
  int length = 0;
  if (of != MPI_COMM_NULL) MPI_Comm_get_name(of, name, &length);
  if (strncmp(name, "MPI COMMUNICATOR", 16) == 0) name[0] = '\0';  // Open MPI's own
  printf(
      "READY {\"rank\":%d,\"pid\":%d,\"call\":\"%s\",\"on\":\"%s\",\"site\":{\"function\":\"%s\","
      "\"file\":\"mpi_mismatch.c\",\"line\":%d}}\n",
      rank, (int)getpid(), call, name, function, line);
  fflush(stdout);
}

static void use_cached(MPI_Comm of, int root) {
  STAYS("MPI_Bcast", of);
  MPI_Bcast(data, large, MPI_DOUBLE, root, of);
}

static void sum_up(MPI_Comm of) {
  STAYS("MPI_Allreduce", of);
  MPI_Allreduce(MPI_IN_PLACE, data, large, MPI_DOUBLE, MPI_SUM, of);
}

static void meet(MPI_Comm of) {
  STAYS("MPI_Barrier", of);
  MPI_Barrier(of);
}

static void receive(int from, int tag) {
  STAYS("MPI_Recv", MPI_COMM_NULL);
  MPI_Recv(data, large, MPI_DOUBLE, from, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static void finish(void) {
  STAYS("MPI_Finalize", MPI_COMM_NULL);
  MPI_Finalize();
}

static void lock_twice(void) {
  pthread_mutex_lock(&mutex);
  STAYS("", MPI_COMM_NULL);
  pthread_mutex_lock(&mutex);
}

static void compute(void) {
  STAYS("", MPI_COMM_NULL);
  for (volatile unsigned long i = 0;; ++i) data[i % large] += 1;
}

static void meet_for_ever(void) {
  STAYS("", MPI_COMM_NULL);
  for (;;) {
    MPI_Bcast(data, 8, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    MPI_Allreduce(MPI_IN_PLACE, data, 8, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    MPI_Barrier(MPI_COMM_WORLD);
  }
}

// The even ranks' own communicator and the odd ones' have one context id.
static void split(void) {
  MPI_Comm half;
  MPI_Comm_split(MPI_COMM_WORLD, rank % 2, rank, &half);
  MPI_Comm_set_name(half, rank % 2 == 0 ? "solvers" : "writers");
  if (rank % 2 != 0) meet(rank < 2 ? MPI_COMM_WORLD : half);
  if (rank == 0) use_cached(half, 1);
  sum_up(half);
}

// Two communicators of the same ranks, entered in different orders.
static void crossed(void) {
  MPI_Comm left, right;
  MPI_Comm_dup(MPI_COMM_WORLD, &left);
  MPI_Comm_dup(MPI_COMM_WORLD, &right);
  meet(rank == 0 ? left : right);
}

int main(int argc, char** argv) {
  const char* name = argc > 1 ? argv[1] : "mismatch";
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  data = calloc(large, sizeof *data);
  const int odd = size > 2 ? 2 : 1;
  for (int i = 0; i < 5; ++i) MPI_Barrier(MPI_COMM_WORLD);
  if (strcmp(name, "split") == 0) split();
  if (strcmp(name, "crossed") == 0) crossed();
  if (strcmp(name, "busy") == 0) meet_for_ever();
  if (strcmp(name, "server") == 0 && rank == 0) receive(MPI_ANY_SOURCE, MPI_ANY_TAG);
  if (strcmp(name, "server") == 0) compute();
  if (strcmp(name, "messages") == 0) receive((rank + 1) % size, 5);
  if (rank != odd) sum_up(MPI_COMM_WORLD);
  if (strcmp(name, "mismatch") == 0) use_cached(MPI_COMM_WORLD, 0);
  if (strcmp(name, "barrier") == 0) meet(MPI_COMM_WORLD);
  if (strcmp(name, "receive") == 0) receive(0, 7);
  if (strcmp(name, "finalize") == 0) finish();
  if (strcmp(name, "lock") == 0) lock_twice();
  if (strcmp(name, "compute") == 0) compute();
  return 0;
}
