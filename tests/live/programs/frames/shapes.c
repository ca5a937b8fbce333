// Threads that rest in every shape of stack that C makes: signal frames (also on an own stack,
// above the vdso and at each instruction of a PLT stub), callers that do not expect to be returned
// to, frames of variable size, contexts switched by hand. Nothing here waits for anybody: each
// thread ends in pause().
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "../truth.h"

#define KEPT __attribute__((noinline, noclone))
#define AFTER __asm__ volatile("" ::: "memory")  // no tail call

static __thread const char* own_name;

KEPT static void rest(void) {
  truth_site(own_name, __func__, 0, "pause");
  for (;;) pause();
}

// Its last instruction is the call: the return address is the next function's first.
__attribute__((noreturn)) KEPT static void never_back(int depth) {
  if (depth > 0) never_back(depth - 1);
  rest();
  abort();
}
KEPT static int calls_noreturn(int depth) {
  never_back(depth);
}

KEPT static int variable_array(int size) {
  char buffer[size];
  memset(buffer, 1, (size_t)size);
  rest();
  AFTER;
  return buffer[size / 2];
}
KEPT static int variable_alloca(int rounds) {
  char* last = NULL;
  for (int i = 0; i < rounds; ++i) {
    last = __builtin_alloca((size_t)(17 * i + 8));
    memset(last, i, 8);
  }
  const int result = variable_array(rounds * 64) + last[0];
  AFTER;
  return result;
}

static inline __attribute__((always_inline)) int innermost(int value) {
  rest();
  AFTER;
  return value + 1;
}
static inline __attribute__((always_inline)) int middle(int value) {
  const int more = innermost(value * 2);
  AFTER;
  return more;
}
KEPT static int inlining(int value) {
  const int more = middle(value + 3);
  AFTER;
  return more;
}

static void on_signal(int number) {
  (void)number;
  rest();
  AFTER;
}
KEPT static void interrupted(int on_own_stack) {
  struct sigaction action = {.sa_handler = on_signal};
  action.sa_flags = on_own_stack ? SA_ONSTACK : 0;
  stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
  if (on_own_stack) sigaltstack(&stack, NULL);
  sigaction(on_own_stack ? SIGUSR2 : SIGUSR1, &action, NULL);
  pthread_kill(pthread_self(), on_own_stack ? SIGUSR2 : SIGUSR1);
  AFTER;
}

// The fault is in the vdso: it writes to where nothing is.
KEPT static void in_vdso(void) {
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGSEGV, &action, NULL);
  clock_gettime(CLOCK_MONOTONIC, (struct timespec*)(size_t)16);
  AFTER;
}

// Single steps until `steps_left` instructions of stubs were seen.
static volatile int steps_left;
static volatile int in_stub_thread;
static void on_step(int number, siginfo_t* info, void* opaque) {
  (void)number, (void)info;
  ucontext_t* context = opaque;
#if defined(__x86_64__)
  const unsigned char* code = (const unsigned char*)context->uc_mcontext.gregs[REG_RIP];
  const int jump = code[0] == 0xff && code[1] == 0x25;
  const int push = code[0] == 0x68 || (code[0] == 0xff && code[1] == 0x35);
  if ((jump || push) && --steps_left == 0) rest();
#endif
}
KEPT static void in_stub(int steps) {
#ifdef WITHOUT_STUBS
  rest();
#endif
  struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
  sigaction(SIGTRAP, &action, NULL);
  steps_left = steps;
#if defined(__x86_64__)
  __asm__ volatile("pushf; orl $0x100, (%%rsp); popf" ::: "memory", "cc");
#endif
  in_stub_thread = (int)getppid() + (int)getuid() + (int)getgid();  // each for the first time
  AFTER;
}

static ucontext_t outside, inside, deeper;
KEPT static void on_deeper(int value) {
  (void)value;
  rest();
  AFTER;
}
KEPT static void on_context(int value) {
  getcontext(&deeper);
  deeper.uc_stack.ss_sp = malloc(1 << 16);
  deeper.uc_stack.ss_size = 1 << 16;
  deeper.uc_link = &inside;
  makecontext(&deeper, (void (*)(void))on_deeper, 1, value);
  swapcontext(&inside, &deeper);
  AFTER;
}
KEPT static void switches(int value) {
  getcontext(&inside);
  inside.uc_stack.ss_sp = malloc(1 << 16);
  inside.uc_stack.ss_size = 1 << 16;
  inside.uc_link = &outside;
  makecontext(&inside, (void (*)(void))on_context, 1, value);
  swapcontext(&outside, &inside);
  AFTER;
}

static int compare(const void* a, const void* b) {
  rest();
  AFTER;
  return *(const int*)a - *(const int*)b;
}
KEPT static void in_callback(void) {
  int numbers[] = {3, 1, 2};
  qsort(numbers, 3, sizeof numbers[0], compare);
  AFTER;
}

KEPT static void after_jump(void) {
  static jmp_buf place;
  if (setjmp(place) == 0) longjmp(place, 1);
  rest();
  AFTER;
}

struct Shape {
  const char* name;
  int kind;
};
static void run_shape(int kind) {
  switch (kind) {
    case 0:
      calls_noreturn(3);
      break;
    case 1:
      variable_alloca(5);
      break;
    case 2:
      inlining(4);
      break;
    case 3:
      interrupted(0);
      break;
    case 4:
      interrupted(1);
      break;
    case 5:
      in_vdso();
      break;
    case 6:
      in_stub(1);
      break;
    case 7:
      in_stub(2);
      break;
    case 8:
      in_stub(3);
      break;
    case 9:
      switches(5);
      break;
    case 10:
      in_callback();
      break;
    case 11:
      after_jump();
      break;
  }
  AFTER;
}
static const struct Shape shapes[] = {
    {"noreturn", 0}, {"alloca", 1},  {"inlines", 2},   {"signal", 3},
    {"altstack", 4}, {"vdso", 5},    {"stub1", 6},     {"stub2", 7},
    {"stub3", 8},    {"context", 9}, {"callback", 10}, {"longjmp", 11},
};

static void* run(void* opaque) {
  const struct Shape* shape = opaque;
  own_name = shape->name;
  run_shape(shape->kind);
  return NULL;
}

int main(void) {
  const int count = sizeof shapes / sizeof shapes[0];
  for (int i = 0; i < count; ++i) {
    pthread_t thread;
    pthread_create(&thread, NULL, run, (void*)&shapes[i]);
    truth_wait_for(i + 1);  // one after the other: the lazily bound stubs are the program's
  }
  truth_ready("shapes.c", "none", "none");
  for (;;) pause();
}
