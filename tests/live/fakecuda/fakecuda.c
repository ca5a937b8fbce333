// A stand-in for libcuda.so.1 that needs no GPU: our own code in the shape of the real driver.
// Exported names are the trampolines of trampolines.S, which jump to the impl_ functions here; the
// library is stripped, so debuggers see only unnamed frames. The one lock lives on the heap, inside
// the context. Like in the real driver, an implementation refers to its own name exactly once.
// INTERNAL functions stand for the driver's inner layers: each must stay a frame of its own.

#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define INTERNAL static __attribute__((noinline, noclone))
#define EXPORTED __attribute__((visibility("default")))

typedef int CUresult;
enum { cuda_success = 0, cuda_error_not_initialized = 3, cuda_error_operating_system = 304 };

typedef struct Context {
  uint64_t header[6];
  pthread_rwlock_t lock;
  unsigned callbacks;
} Context;

// The debugger interface's words, by which a genuine driver is recognised.
EXPORTED uint32_t cudbgDebuggerInitialized;
EXPORTED uint32_t cudbgIpcFlag;
EXPORTED uint32_t cudbgEnableLaunchBlocking;
EXPORTED uint64_t cudbgReportedDriverApiErrorCode;

uint32_t driver_state = 1;  // 0x321cba00 after the driver has gone
static Context* primary;
static const char* volatile last_entry;

INTERNAL void enter(const char* name) {
  last_entry = name;
}

// The driver's own threads: nothing ever arrives, they sleep for good.

INTERNAL int poll_once(int fd) {
  struct pollfd descriptor = {.fd = fd, .events = POLLIN};
  return poll(&descriptor, 1, -1);
}

INTERNAL void serve_events(int fd) {
  while (poll_once(fd) >= 0) {
  }
}

INTERNAL void* driver_thread(void* argument) {
  serve_events((int)(intptr_t)argument);
  return NULL;
}

INTERNAL CUresult start_driver_thread(const char* name) {
  int ends[2];
  pthread_t thread;
  if (pipe(ends) != 0) return cuda_error_operating_system;
  if (pthread_create(&thread, NULL, driver_thread, (void*)(intptr_t)ends[0]) != 0) {
    return cuda_error_operating_system;
  }
  pthread_setname_np(thread, name);
  return cuda_success;
}

CUresult impl_cuInit(unsigned flags) {
  (void)flags;
  enter("cuInit");
  if (primary != NULL) return cuda_success;
  Context* context = calloc(1, sizeof *context);
  if (context == NULL) return cuda_error_operating_system;
  pthread_rwlock_init(&context->lock, NULL);
  primary = context;
  const CUresult first = start_driver_thread("cuda00001400006");
  return first != cuda_success ? first : start_driver_thread("cuda-EvtHandlr");
}

CUresult impl_cuDriverGetVersion(int* version) {
  enter("cuDriverGetVersion");
  *version = 12040;
  return cuda_success;
}

INTERNAL CUresult drain(Context* context) {
  pthread_rwlock_rdlock(&context->lock);
  pthread_rwlock_unlock(&context->lock);
  return cuda_success;
}

CUresult impl_cuCtxSynchronize(void) {
  enter("cuCtxSynchronize");
  return primary == NULL ? cuda_error_not_initialized : drain(primary);
}

CUresult impl_cuMemFree_v2(uint64_t address) {
  (void)address;
  enter("cuMemFree_v2");
  return primary == NULL ? cuda_error_not_initialized : drain(primary);
}

INTERNAL CUresult queue_callback(Context* context) {
  pthread_rwlock_wrlock(&context->lock);
  ++context->callbacks;
  pthread_rwlock_unlock(&context->lock);
  return cuda_success;
}

INTERNAL CUresult add_callback(Context* context, unsigned flags) {
  return flags != 0 ? 1 : queue_callback(context);
}

CUresult impl_cuStreamAddCallback(void* stream, void* callback, void* data, unsigned flags) {
  (void)stream, (void)callback, (void)data;
  enter("cuStreamAddCallback");
  return primary == NULL ? cuda_error_not_initialized : add_callback(primary, flags);
}

// The pause gives the other thread of the test all the time it needs to come for the lock; a thread
// seen in nanosleep has the lock.
INTERNAL int largest_block(Context* context, int (*shared_memory)(int), int limit) {
  pthread_rwlock_wrlock(&context->lock);
  usleep(300 * 1000);
  const int block = limit > 0 ? limit : 256;
  const int bytes = shared_memory(block);
  pthread_rwlock_unlock(&context->lock);
  return bytes > 48 * 1024 ? block / 2 : block;
}

CUresult impl_cuOccupancyMaxPotentialBlockSize(int* min_grid, int* block, void* function,
                                               int (*shared_memory)(int), size_t dynamic_bytes,
                                               int limit) {
  (void)function, (void)dynamic_bytes;
  enter("cuOccupancyMaxPotentialBlockSize");
  if (primary == NULL) return cuda_error_not_initialized;
  *block = largest_block(primary, shared_memory, limit);
  *min_grid = 80;
  return cuda_success;
}
