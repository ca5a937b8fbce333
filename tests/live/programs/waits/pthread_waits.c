// Waits for POSIX objects: mutexes of every kind, rwlocks, conditions, semaphores, barriers, once,
// joins and raw futexes. Also built with musl-gcc, then without what musl does not have.

#include "wait_truth.h"

#include <semaphore.h>
#include <signal.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#include <linux/futex.h>
#include <sched.h>
#endif

static long holder;  // the thread that took every lock below
static int holder_ready;

// musl writes an owner into mutexes that are recursive, errorcheck, robust or PI, and nowhere else.
static struct Line* held_if_glibc(struct Line* line, long tid) {
#ifdef __GLIBC__
  return held_by(line, tid);
#else
  return held_unseen(line, tid);
#endif
}

// Mutexes

struct MutexKind {
  const char* name;
  int type, robust, protocol, shared, timed;
  pthread_mutex_t* lock;
  int taken;
};

static pthread_mutex_t locks[16];

#ifdef __GLIBC__
#define ADAPTIVE PTHREAD_MUTEX_ADAPTIVE_NP
#else
#define ADAPTIVE PTHREAD_MUTEX_NORMAL
#endif

static struct MutexKind mutex_kinds[] = {
    {"mutex normal", PTHREAD_MUTEX_NORMAL, 0, 0, 0, 0, &locks[0], 0},
    {"mutex recursive", PTHREAD_MUTEX_RECURSIVE, 0, 0, 0, 0, &locks[1], 0},
    {"mutex errorcheck", PTHREAD_MUTEX_ERRORCHECK, 0, 0, 0, 0, &locks[2], 0},
    {"mutex shared", PTHREAD_MUTEX_NORMAL, 0, 0, 1, 0, &locks[3], 0},
    {"mutex timed", PTHREAD_MUTEX_NORMAL, 0, 0, 0, 1, &locks[4], 0},
    {"mutex robust", PTHREAD_MUTEX_NORMAL, 1, 0, 0, 0, &locks[5], 0},
    {"mutex PI", PTHREAD_MUTEX_NORMAL, 0, PTHREAD_PRIO_INHERIT, 0, 0, &locks[6], 0},
    {"mutex recursive timed", PTHREAD_MUTEX_RECURSIVE, 0, 0, 0, 1, &locks[7], 0},
#ifdef __GLIBC__
    {"mutex adaptive", ADAPTIVE, 0, 0, 0, 0, &locks[8], 0},
    {"mutex robust PI", PTHREAD_MUTEX_NORMAL, 1, PTHREAD_PRIO_INHERIT, 0, 0, &locks[9], 0},
    {"mutex PI timed", PTHREAD_MUTEX_NORMAL, 0, PTHREAD_PRIO_INHERIT, 0, 1, &locks[10], 0},
    {"mutex PP", PTHREAD_MUTEX_NORMAL, 0, PTHREAD_PRIO_PROTECT, 0, 0, &locks[11], 0},
#endif
};
#define MUTEX_KINDS ((int)(sizeof mutex_kinds / sizeof mutex_kinds[0]))

// A mutex with a ceiling is for real-time threads alone.
static int prepare_thread(const struct MutexKind* kind) {
#ifdef __GLIBC__
  const struct sched_param parameters = {1};
  if (kind->protocol == PTHREAD_PRIO_PROTECT)
    return pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters);
#endif
  (void)kind;
  return 0;
}

static void take_mutex(struct MutexKind* kind) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, kind->type);
  if (kind->robust) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (kind->shared) pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  int error = kind->protocol ? pthread_mutexattr_setprotocol(&attributes, kind->protocol) : 0;
#ifdef __GLIBC__
  if (error == 0 && kind->protocol == PTHREAD_PRIO_PROTECT)
    error = pthread_mutexattr_setprioceiling(&attributes, 10);
#endif
  if (error == 0) error = prepare_thread(kind);
  if (error == 0) error = pthread_mutex_init(kind->lock, &attributes);
  if (error == 0) error = pthread_mutex_lock(kind->lock);
  kind->taken = error == 0;
  if (error != 0) wait_skip(kind->name, "not permitted or not supported");
}

static void* lock_mutex(void* argument) {
  const struct MutexKind* kind = argument;
  prepare_thread(kind);
  struct Line* line = says(kind->name, "mutex", kind->lock, sizeof *kind->lock);
  if (kind->timed) timed(line);
  with_mode(line, "exclusive");
  if (kind->type != PTHREAD_MUTEX_NORMAL || kind->robust || kind->protocol)
    held_by(line, holder);
  else
    held_if_glibc(line, holder);
  goes(line);
  if (kind->timed) {
    const struct timespec end = far_away(CLOCK_REALTIME);
    pthread_mutex_timedlock(kind->lock, &end);
  }
  pthread_mutex_lock(kind->lock);
  return NULL;
}

static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;

static void* lock_twice(void* unused) {
  (void)unused;
  pthread_mutex_lock(&own_lock);
  goes(held_if_glibc(with_mode(says("mutex own", "mutex", &own_lock, sizeof own_lock), "exclusive"),
                     own_tid()));
  pthread_mutex_lock(&own_lock);
  return NULL;
}

// Read-write locks

static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER;
static pthread_rwlock_t read_locked = PTHREAD_RWLOCK_INITIALIZER;
static pthread_rwlock_t timed_written = PTHREAD_RWLOCK_INITIALIZER;
#ifdef __GLIBC__
static pthread_rwlock_t writers_first = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
#endif

static struct Line* rwlock_line(const char* name, pthread_rwlock_t* lock, const char* mode) {
  return with_mode(says(name, "rwlock", lock, sizeof *lock), mode);
}

static void* read_behind_writer(void* unused) {
  (void)unused;
  goes(held_if_glibc(rwlock_line("rwlock reader, writer holds", &written, "read"), holder));
  pthread_rwlock_rdlock(&written);
  return NULL;
}

static void* write_behind_writer(void* unused) {
  (void)unused;
  after("rwlock reader, writer holds");
  goes(held_if_glibc(rwlock_line("rwlock writer, writer holds", &written, "write"), holder));
  pthread_rwlock_wrlock(&written);
  return NULL;
}

static void* timed_read(void* unused) {
  (void)unused;
  const struct timespec end = far_away(CLOCK_REALTIME);
  goes(timed(held_if_glibc(rwlock_line("rwlock reader timed", &timed_written, "read"), holder)));
  pthread_rwlock_timedrdlock(&timed_written, &end);
  return NULL;
}

static void* timed_write(void* unused) {
  (void)unused;
  const struct timespec end = far_away(CLOCK_REALTIME);
  goes(timed(held_if_glibc(rwlock_line("rwlock writer timed", &timed_written, "write"), holder)));
  pthread_rwlock_timedwrlock(&timed_written, &end);
  return NULL;
}

static void* write_behind_reader(void* unused) {
  (void)unused;
  goes(held_unseen(rwlock_line("rwlock writer, reader holds", &read_locked, "write"), holder));
  pthread_rwlock_wrlock(&read_locked);
  return NULL;
}

static void* second_writer(void* unused) {
  (void)unused;
  after("rwlock writer, reader holds");
  goes(held_unseen(rwlock_line("rwlock second writer", &read_locked, "write"), holder));
  pthread_rwlock_wrlock(&read_locked);
  return NULL;
}

#ifdef __GLIBC__
static void* queued_writer(void* unused) {
  (void)unused;
  goes(held_unseen(rwlock_line("rwlock queued writer", &writers_first, "write"), holder));
  pthread_rwlock_wrlock(&writers_first);
  return NULL;
}

static void* read_behind_queued(void* unused) {
  (void)unused;
  after("rwlock queued writer");
  goes(held_unseen(rwlock_line("rwlock reader, writer queued", &writers_first, "read"), holder));
  pthread_rwlock_rdlock(&writers_first);
  return NULL;
}
#endif

// Conditions

struct Condition {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
};
#define CONDITION \
  { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER }

static struct Condition plain = CONDITION, limited = CONDITION, flipped = CONDITION;
static struct Condition destroyed = CONDITION, woken = CONDITION, shared_one;
static int signalled;

static struct Line* condition_line(const char* name, struct Condition* one) {
  struct Line* line = says(name, "condition", &one->condition, sizeof one->condition);
  line->mutex = &one->mutex;
  return line;
}

static void* wait_condition(void* unused) {
  (void)unused;
  pthread_mutex_lock(&plain.mutex);
  goes(condition_line("cond wait", &plain));
  for (;;) pthread_cond_wait(&plain.condition, &plain.mutex);
}

static void* wait_condition_timed(void* unused) {
  (void)unused;
  const struct timespec end = far_away(CLOCK_REALTIME);
  pthread_mutex_lock(&limited.mutex);
  goes(timed(condition_line("cond timedwait", &limited)));
  for (;;) pthread_cond_timedwait(&limited.condition, &limited.mutex, &end);
}

static void* wait_condition_shared(void* unused) {
  (void)unused;
  pthread_mutex_lock(&shared_one.mutex);
  goes(condition_line("cond wait shared", &shared_one));
  for (;;) pthread_cond_wait(&shared_one.condition, &shared_one.mutex);
}

// Its second wait: by then the condition's groups have changed places.
static void* wait_condition_again(void* unused) {
  (void)unused;
  pthread_mutex_lock(&flipped.mutex);
  while (!signalled) pthread_cond_wait(&flipped.condition, &flipped.mutex);
  goes(condition_line("cond wait again", &flipped));
  for (;;) pthread_cond_wait(&flipped.condition, &flipped.mutex);
}

static void* wait_destroyed(void* unused) {
  (void)unused;
  pthread_mutex_lock(&destroyed.mutex);
  goes(condition_line("cond wait, being destroyed", &destroyed));
  for (;;) pthread_cond_wait(&destroyed.condition, &destroyed.mutex);
}

#ifdef __GLIBC__
static void* destroy_condition(void* unused) {
  (void)unused;
  after("cond wait, being destroyed");
  goes(says("cond destroy", "condition", &destroyed.condition, sizeof destroyed.condition));
  pthread_cond_destroy(&destroyed.condition);
  return NULL;
}
#endif

#ifdef __GLIBC__
// Up to 2.40 a condition has two groups of waiters, and who signals the second one waits until the
// first has left. One of the first never does: a signal's handler keeps it.
static struct Condition regrouped = CONDITION;
static long kept_tid, late_tid;

static void keep(int number) {
  (void)number;
  pause_forever();
}

static void* wait_kept(void* unused) {
  (void)unused;
  pthread_mutex_lock(&regrouped.mutex);
  __atomic_store_n(&kept_tid, own_tid(), __ATOMIC_SEQ_CST);
  for (;;) pthread_cond_wait(&regrouped.condition, &regrouped.mutex);
}

static void* wait_late(void* unused) {
  (void)unused;
  pthread_mutex_lock(&regrouped.mutex);
  __atomic_store_n(&late_tid, own_tid(), __ATOMIC_SEQ_CST);
  for (;;) pthread_cond_wait(&regrouped.condition, &regrouped.mutex);
}

static void await_asleep(const long* tid) {
  while (__atomic_load_n(tid, __ATOMIC_SEQ_CST) == 0 || state_of(*tid) != 'S') nap();
}

static void* signal_regrouped(void* unused) {
  (void)unused;
  pthread_t kept;
  struct sigaction action = {0};
  action.sa_handler = keep;
  sigaction(SIGUSR2, &action, NULL);
  pthread_create(&kept, NULL, wait_kept, NULL);
  await_asleep(&kept_tid);
  pthread_kill(kept, SIGUSR2);
  for (int i = 0; i < 3; ++i) nap();
  pthread_cond_signal(&regrouped.condition);
  starts(wait_late, NULL);
  await_asleep(&late_tid);
  goes(says("cond signal", "condition", &regrouped.condition, sizeof regrouped.condition));
  pthread_cond_signal(&regrouped.condition);
  return NULL;
}

static int has_groups(void) {
  int minor = 0;
  return sscanf(gnu_get_libc_version(), "2.%d", &minor) == 1 && minor >= 25 && minor <= 40;
}
#endif

static int woken_waits;

static void* wait_woken(void* unused) {
  (void)unused;
  pthread_mutex_lock(&woken.mutex);
  struct Line* line = with_mode(
      says("cond woken, mutex held", "mutex", &woken.mutex, sizeof woken.mutex), "exclusive");
  __atomic_store_n(&woken_waits, (int)own_tid(), __ATOMIC_SEQ_CST);
  held_if_glibc(line, holder);
  goes(line);
  pthread_cond_wait(&woken.condition, &woken.mutex);
  return NULL;
}

// Semaphores, barrier, once, joins

static sem_t empty, empty_timed, empty_shared;
static sem_t* named;
static char name_of_sem[64];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static long once_runner;

static void* wait_sem(void* unused) {
  (void)unused;
  goes(says("sem wait", "semaphore", &empty, sizeof empty));
  for (;;) sem_wait(&empty);
}

static void* wait_sem_timed(void* unused) {
  (void)unused;
  const struct timespec end = far_away(CLOCK_REALTIME);
  goes(timed(says("sem timedwait", "semaphore", &empty_timed, sizeof empty_timed)));
  for (;;) sem_timedwait(&empty_timed, &end);
}

static void* wait_sem_shared(void* unused) {
  (void)unused;
  goes(says("sem wait shared", "semaphore", &empty_shared, sizeof empty_shared));
  for (;;) sem_wait(&empty_shared);
}

static void* wait_sem_named(void* unused) {
  (void)unused;
  goes(says("sem wait named", "semaphore", named, sizeof *named));
  for (;;) sem_wait(named);
}

static void run_once(void) {
  __atomic_store_n(&once_runner, own_tid(), __ATOMIC_SEQ_CST);
  goes(calls("once runner", "io sleep", "pause ppoll", -1));
  pause_forever();
}

static void* first_once(void* unused) {
  (void)unused;
  pthread_once(&once, run_once);
  return NULL;
}

static void* second_once(void* unused) {
  (void)unused;
  const long runner = after("once runner");
  goes(held_if_glibc(says("once waiter", "once", &once, sizeof once), runner));
  pthread_once(&once, run_once);
  return NULL;
}

static pthread_t sleeper;
static long sleeper_tid;

static void* sleep_on(void* tid) {
  __atomic_store_n((long*)tid, own_tid(), __ATOMIC_SEQ_CST);
  pause_forever();
  return NULL;
}

static void* join_thread(void* unused) {
  (void)unused;
  pthread_create(&sleeper, NULL, sleep_on, &sleeper_tid);
  while (__atomic_load_n(&sleeper_tid, __ATOMIC_SEQ_CST) == 0) nap();
  struct Line* line = says("join", "thread_exit", NULL, 0);
  line->target = sleeper_tid;
  goes(line);
  pthread_join(sleeper, NULL);
  return NULL;
}

#ifdef __GLIBC__
static pthread_barrier_t barrier;
static pthread_t timed_sleeper;
static long timed_sleeper_tid;

static void* wait_barrier(void* unused) {
  (void)unused;
  goes(says("barrier", "barrier", &barrier, sizeof barrier));
  pthread_barrier_wait(&barrier);
  return NULL;
}

static void* join_thread_timed(void* unused) {
  (void)unused;
  const struct timespec end = far_away(CLOCK_REALTIME);
  pthread_create(&timed_sleeper, NULL, sleep_on, &timed_sleeper_tid);
  while (__atomic_load_n(&timed_sleeper_tid, __ATOMIC_SEQ_CST) == 0) nap();
  struct Line* line = timed(says("timedjoin", "thread_exit", NULL, 0));
  line->target = timed_sleeper_tid;
  goes(line);
  pthread_timedjoin_np(timed_sleeper, NULL, &end);
  return NULL;
}

// Raw futexes

static int futex_private = 5, futex_shared = 6, futex_timed = 7, futex_many[2] = {8, 9};
static int futex_pi;

static void* wait_futex(void* unused) {
  (void)unused;
  goes(says("futex private", "futex", &futex_private, sizeof futex_private));
  for (;;) syscall(SYS_futex, &futex_private, FUTEX_WAIT_PRIVATE, 5, NULL, NULL, 0);
}

static void* wait_futex_shared(void* unused) {
  (void)unused;
  goes(says("futex shared", "futex", &futex_shared, sizeof futex_shared));
  for (;;) syscall(SYS_futex, &futex_shared, FUTEX_WAIT, 6, NULL, NULL, 0);
}

static void* wait_futex_timed(void* unused) {
  (void)unused;
  const struct timespec time = {LONG_TIME, 0};
  goes(timed(says("futex timed", "futex", &futex_timed, sizeof futex_timed)));
  for (;;) syscall(SYS_futex, &futex_timed, FUTEX_WAIT_PRIVATE, 7, &time, NULL, 0);
}

static void* wait_futex_pi(void* unused) {
  (void)unused;
  __atomic_store_n(&futex_pi, (int)holder, __ATOMIC_SEQ_CST);
  goes(held_by(says("futex PI", "futex mutex", &futex_pi, sizeof futex_pi), holder));
  for (;;) syscall(SYS_futex, &futex_pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
}

struct Waitv {
  uint64_t value, address;
  uint32_t flags, reserved;
};

static struct Waitv waitv[2];

static void* wait_futex_many(void* unused) {
  (void)unused;
  for (int i = 0; i < 2; ++i) {
    waitv[i].value = (uint64_t)futex_many[i];
    waitv[i].address = (uint64_t)(uintptr_t)&futex_many[i];
    waitv[i].flags = 2 | 128;  // 32 bits, private
  }
  struct Line* line = says("futex_waitv", "futex", &futex_many[0], sizeof futex_many);
  line->calls = "futex_waitv";
  goes(line);
  for (;;) syscall(449, waitv, 2, 0, NULL, CLOCK_MONOTONIC);
}
#endif

static void* hold_all(void* unused) {
  (void)unused;
  holder = own_tid();
  for (int i = 0; i < MUTEX_KINDS; ++i) take_mutex(&mutex_kinds[i]);
  pthread_rwlock_wrlock(&written);
  pthread_rwlock_wrlock(&timed_written);
  pthread_rwlock_rdlock(&read_locked);
#ifdef __GLIBC__
  pthread_rwlock_rdlock(&writers_first);
#endif
  __atomic_store_n(&holder_ready, 1, __ATOMIC_SEQ_CST);
  // Signals the woken one with its mutex held, and keeps that.
  for (;;) {
    const long tid = __atomic_load_n(&woken_waits, __ATOMIC_SEQ_CST);
    nap();
    if (tid != 0 && state_of(tid) == 'S') break;
  }
  pthread_mutex_lock(&woken.mutex);
  pthread_cond_signal(&woken.condition);
  goes(calls("holder of all", "io sleep", "pause ppoll", -1));
  pause_forever();
  return NULL;
}

// Kernels leave out the pages of a semaphore that still has a name: it keeps it as long as this
// process lives, and a child that outlives it takes it away.
static void unlink_later(void) {
  int ends[2];
  char byte;
  if (getpid() == 1 || pipe(ends) != 0) {  // no child outlives the first process of a namespace
    sem_unlink(name_of_sem);
    return;
  }
  if (fork() != 0) {
    close(ends[0]);
    return;
  }
  close(ends[1]);
  close(1);
  setsid();
  if (read(ends[0], &byte, 1) == 0) sem_unlink(name_of_sem);
  _exit(0);
}

static int set_up(void) {
  pthread_mutexattr_t mutex;
  pthread_condattr_t condition;
  pthread_mutexattr_init(&mutex);
  pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&shared_one.mutex, &mutex);
  pthread_condattr_init(&condition);
  pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&shared_one.condition, &condition);
  sem_init(&empty, 0, 0);
  sem_init(&empty_timed, 0, 0);
  sem_init(&empty_shared, 1, 0);
  snprintf(name_of_sem, sizeof name_of_sem, "/coldcase-waits-%d", (int)getpid());
  named = sem_open(name_of_sem, O_CREAT | O_EXCL, 0600, 0);
  if (named == SEM_FAILED) {
    wait_skip("sem wait named", "sem_open failed");
    return 0;
  }
  unlink_later();
  return 1;
}

static int start_mutexes(void) {
  int count = 0;
  for (int i = 0; i < MUTEX_KINDS; ++i) {
    if (!mutex_kinds[i].taken) continue;
    starts(lock_mutex, &mutex_kinds[i]);
    ++count;
  }
  return count;
}

int main(void) {
  void* (*const all[])(void*) = {
      lock_twice,
      read_behind_writer,
      write_behind_writer,
      timed_read,
      timed_write,
      write_behind_reader,
      second_writer,
      wait_condition,
      wait_condition_timed,
      wait_condition_shared,
      wait_condition_again,
      wait_destroyed,
      wait_sem,
      wait_sem_timed,
      wait_sem_shared,
      first_once,
      second_once,
      join_thread,
      wait_woken,
#ifdef __GLIBC__
      queued_writer,
      read_behind_queued,
      destroy_condition,
      wait_barrier,
      join_thread_timed,
      wait_futex,
      wait_futex_shared,
      wait_futex_timed,
      wait_futex_pi,
      wait_futex_many,
#endif
  };
  const int kinds = (int)(sizeof all / sizeof all[0]);
#ifdef __GLIBC__
  pthread_attr_t attributes;  // for the two that are joined
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  pthread_setattr_default_np(&attributes);
  pthread_barrier_init(&barrier, NULL, 3);
#endif
  int count = set_up();
  if (count) starts(wait_sem_named, NULL);
#ifdef __GLIBC__
  if (has_groups()) {
    starts(signal_regrouped, NULL);
    ++count;
  }
#endif
  starts(hold_all, NULL);
  while (!__atomic_load_n(&holder_ready, __ATOMIC_SEQ_CST)) nap();
  count += 1 + kinds + start_mutexes();
  for (int i = 0; i < kinds; ++i) starts(all[i], NULL);
  for (int i = 0; i < 10; ++i) nap();
  pthread_mutex_lock(&flipped.mutex);
  signalled = 1;
  pthread_cond_signal(&flipped.condition);
  pthread_mutex_unlock(&flipped.mutex);
  wait_ready(count);
  pause_forever();
}
