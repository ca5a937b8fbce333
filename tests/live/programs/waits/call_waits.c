// Waits in the kernel: what each system call sleeps in. Every call stands in a loop: a stop (gcore,
// SIGSTOP) makes some of them return EINTR, and writes come back short.

#include "wait_truth.h"

#include <linux/aio_abi.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>

#define SELF __attribute__((unused)) void* unused
#define FOREVER for (;;)

static int pipes[8][2], pairs[4][2], listener, full_listener;
static int locked_file, record_file, open_file_file;
static pid_t child;
static char big[1 << 20];

static void* wait_poll(SELF) {
  struct pollfd one = {pipes[0][0], POLLIN, 0};
  goes(calls("poll", "io", "poll", one.fd));
  FOREVER poll(&one, 1, -1);
}

static void* wait_poll_timed(SELF) {
  struct pollfd one = {pipes[0][0], POLLIN, 0};
  goes(timed(calls("poll timed", "io", "poll", one.fd)));
  FOREVER poll(&one, 1, LONG_TIME * 1000);
}

static void* wait_ppoll(SELF) {
  struct pollfd one = {pipes[0][0], POLLIN, 0};
  goes(calls("ppoll", "io", "ppoll", one.fd));
  FOREVER ppoll(&one, 1, NULL, NULL);
}

static void* wait_ppoll_timed(SELF) {
  struct pollfd one = {pipes[0][0], POLLIN, 0};
  const struct timespec time = {LONG_TIME, 0};
  goes(timed(calls("ppoll timed", "io", "ppoll", one.fd)));
  FOREVER ppoll(&one, 1, &time, NULL);
}

static void* wait_select(SELF) {
  fd_set set;
  goes(calls("select", "io", "select pselect6", pipes[0][0]));
  FOREVER {
    FD_ZERO(&set);
    FD_SET(pipes[0][0], &set);
    select(pipes[0][0] + 1, &set, NULL, NULL, NULL);
  }
}

static void* wait_select_timed(SELF) {
  fd_set set;
  goes(timed(calls("select timed", "io", "select pselect6", pipes[0][0])));
  FOREVER {
    struct timeval time = {LONG_TIME, 0};
    FD_ZERO(&set);
    FD_SET(pipes[0][0], &set);
    select(pipes[0][0] + 1, &set, NULL, NULL, &time);
  }
}

static void* wait_pselect(SELF) {
  fd_set set;
  goes(calls("pselect", "io", "pselect6", pipes[0][0]));
  FOREVER {
    FD_ZERO(&set);
    FD_SET(pipes[0][0], &set);
    pselect(pipes[0][0] + 1, &set, NULL, NULL, NULL, NULL);
  }
}

static void* wait_epoll(SELF) {
  struct epoll_event event;
  const int fd = epoll_create1(0);
  goes(calls("epoll_wait", "io event_loop", "epoll_wait epoll_pwait", fd));
  FOREVER epoll_wait(fd, &event, 1, -1);
}

static void* wait_epoll_timed(SELF) {
  struct epoll_event event;
  const int fd = epoll_create1(0);
  goes(timed(calls("epoll_wait timed", "io event_loop", "epoll_wait epoll_pwait", fd)));
  FOREVER epoll_wait(fd, &event, 1, LONG_TIME * 1000);
}

static void* wait_read(SELF) {
  char byte;
  goes(calls("read pipe", "pipe io", "read", pipes[1][0]));
  FOREVER if (read(pipes[1][0], &byte, 1) == 0) break;
  return NULL;
}

static void* wait_write(SELF) {
  goes(calls("write pipe, full", "pipe io", "write", pipes[2][1]));
  FOREVER if (write(pipes[2][1], big, 4096) == 0) break;
  return NULL;
}

// One call that writes a part, then sleeps: the registers tell how much was written.
static void* wait_write_part(SELF) {
  goes(calls("write pipe, partial", "pipe io", "write", pipes[3][1]));
  FOREVER if (write(pipes[3][1], big, sizeof big) == 0) break;
  return NULL;
}

static void* wait_socket(SELF) {
  char byte;
  goes(calls("read socket", "socket io", "read", pairs[0][0]));
  FOREVER if (read(pairs[0][0], &byte, 1) == 0) break;
  return NULL;
}

static void* wait_recvmsg(SELF) {
  char byte;
  struct iovec vector = {&byte, 1};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  goes(calls("recvmsg", "socket io", "recvmsg", pairs[1][0]));
  FOREVER recvmsg(pairs[1][0], &message, 0);
}

static void* wait_sendto(SELF) {
  goes(calls("sendto, full", "socket io", "sendto", pairs[2][0]));
  FOREVER if (send(pairs[2][0], big, sizeof big, 0) == 0) break;
  return NULL;
}

static void* wait_accept(SELF) {
  goes(calls("accept", "socket io", "accept accept4", listener));
  FOREVER accept(listener, NULL, NULL);
}

static struct sockaddr_un own_address(const char* name) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;  // an abstract one: no file
  snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "coldcase-waits-%s-%d", name,
           (int)getpid());
  return address;
}

static void* wait_connect(SELF) {
  const struct sockaddr_un address = own_address("full");
  for (;;) {  // until the backlog is full
    const int one = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(one, (const struct sockaddr*)&address, sizeof address) != 0) break;
  }
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  goes(calls("connect, backlog full", "socket io", "connect", fd));
  FOREVER connect(fd, (const struct sockaddr*)&address, sizeof address);
}

static void* wait_eventfd(SELF) {
  uint64_t value;
  const int fd = eventfd(0, 0);
  goes(calls("eventfd read", "io", "read", fd));
  FOREVER if (read(fd, &value, sizeof value) == 0) break;
  return NULL;
}

static void* wait_signalfd(SELF) {
  struct signalfd_siginfo info;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  const int fd = signalfd(-1, &set, 0);
  goes(calls("signalfd read", "io", "read", fd));
  FOREVER if (read(fd, &info, sizeof info) == 0) break;
  return NULL;
}

static void* wait_timerfd(SELF) {
  uint64_t value;
  const struct itimerspec time = {{0, 0}, {LONG_TIME, 0}};
  const int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  timerfd_settime(fd, 0, &time, NULL);
  goes(calls("timerfd read", "io", "read", fd));
  FOREVER if (read(fd, &value, sizeof value) == 0) break;
  return NULL;
}

static void* wait_inotify(SELF) {
  char event[4096];
  const int fd = inotify_init1(0);
  goes(calls("inotify read", "io", "read", fd));
  FOREVER if (read(fd, event, sizeof event) == 0) break;
  return NULL;
}

static void* wait_flock(SELF) {
  goes(calls("flock", "file_lock", "flock", locked_file));
  FOREVER flock(locked_file, LOCK_EX);
}

static void* wait_record(SELF) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
  goes(calls("fcntl F_SETLKW", "file_lock", "fcntl", record_file));
  FOREVER fcntl(record_file, F_SETLKW, &lock);
}

static void* wait_open_file(SELF) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
  goes(calls("fcntl F_OFD_SETLKW", "file_lock", "fcntl", open_file_file));
  FOREVER fcntl(open_file_file, F_OFD_SETLKW, &lock);
}

static int sysv_sem, sysv_queue;
static mqd_t posix_queue;
static int event_ring;
static aio_context_t aio;

static void* wait_semop(SELF) {
  struct sembuf operation = {0, -1, 0};
  goes(calls("semop", "semaphore", "semop semtimedop", -1));
  FOREVER semop(sysv_sem, &operation, 1);
}

static void* wait_msgrcv(SELF) {
  struct {
    long type;
    char text[8];
  } message;
  goes(calls("msgrcv", "queue io", "msgrcv", -1));
  FOREVER if (msgrcv(sysv_queue, &message, sizeof message.text, 0, 0) == 0) break;
  return NULL;
}

static void* wait_queue(SELF) {
  static char text[128];
  goes(calls("mq_receive", "queue io", "mq_timedreceive", (int)posix_queue));
  FOREVER if (mq_receive(posix_queue, text, sizeof text, NULL) == 0) break;
  return NULL;
}

static void* wait_aio(SELF) {
  struct io_event event;
  goes(calls("io_getevents", "io", "io_getevents", -1));
  FOREVER syscall(SYS_io_getevents, aio, 1L, 1L, &event, NULL);
}

static void* wait_ring(SELF) {
  goes(calls("io_uring_enter", "io", "io_uring_enter", event_ring));
  FOREVER syscall(426, event_ring, 0, 1, 1, NULL, 0);
}

static void* wait_sleep(SELF) {
  const struct timespec time = {LONG_TIME, 0};
  goes(timed(calls("nanosleep", "sleep", "nanosleep clock_nanosleep", -1)));
  FOREVER nanosleep(&time, NULL);
}

static void* wait_sleep_until(SELF) {
  const struct timespec time = far_away(CLOCK_MONOTONIC);
  goes(timed(calls("clock_nanosleep abstime", "sleep", "clock_nanosleep", -1)));
  FOREVER clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static void* wait_pause(SELF) {
  goes(calls("pause", "io sleep", "pause", -1));
  FOREVER pause();
}

static void* wait_suspend(SELF) {
  sigset_t set;
  sigemptyset(&set);
  goes(calls("sigsuspend", "io sleep", "rt_sigsuspend", -1));
  FOREVER sigsuspend(&set);
}

static void* wait_signal(SELF) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  goes(calls("sigwaitinfo", "io sleep", "rt_sigtimedwait", -1));
  FOREVER sigwaitinfo(&set, NULL);
}

static void* wait_signal_timed(SELF) {
  const struct timespec time = {LONG_TIME, 0};
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  goes(timed(calls("sigtimedwait", "io sleep", "rt_sigtimedwait", -1)));
  FOREVER sigtimedwait(&set, NULL, &time);
}

static void* wait_child(SELF) {
  struct Line* line = calls("wait4", "process_exit", "wait4", -1);
  line->target_pid = child;
  goes(line);
  FOREVER if (waitpid(child, NULL, 0) == child) break;
  return NULL;
}

static void* wait_child_id(SELF) {
  siginfo_t info;
  struct Line* line = calls("waitid", "process_exit", "waitid", -1);
  line->target_pid = child;
  goes(line);
  FOREVER if (waitid(P_PID, (id_t)child, &info, WEXITED) == 0) break;
  return NULL;
}

// Setting up. What this machine refuses is left out and said.

static int own_file(void) {
  char path[] = "waits-file-XXXXXX";
  const int fd = mkstemp(path);
  if (fd >= 0) unlink(path);
  return fd;
}

// Another process keeps the file locks. It ends with this one: it reads a pipe of it.
static void start_child(void) {
  int go[2], done[2];
  char byte = 0;
  if (pipe(go) != 0 || pipe(done) != 0) _exit(1);
  locked_file = own_file();
  record_file = own_file();
  open_file_file = own_file();
  child = fork();
  if (child == 0) {
    char path[64];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    close(go[1]);
    close(1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", locked_file);
    flock(open(path, O_RDWR), LOCK_EX);
    fcntl(record_file, F_SETLK, &lock);
    snprintf(path, sizeof path, "/proc/self/fd/%d", open_file_file);
    fcntl(open(path, O_RDWR), F_OFD_SETLK, &lock);
    if (write(done[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 0) _exit(1);
    _exit(0);
  }
  close(go[0]);
  if (read(done[0], &byte, 1) != 1) _exit(1);
}

static void set_up(void) {
  for (int i = 0; i < 8; ++i) {
    if (pipe2(pipes[i], O_CLOEXEC) != 0) _exit(1);
  }
  for (int i = 0; i < 4; ++i) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]) != 0) _exit(1);
  }
  fcntl(pipes[2][1], F_SETFL, O_NONBLOCK);
  while (write(pipes[2][1], big, 4096) > 0) {
  }
  fcntl(pipes[2][1], F_SETFL, 0);
  struct sockaddr_un address = own_address("free");
  listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0) _exit(1);
  listen(listener, 1);
  address = own_address("full");
  full_listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(full_listener, (struct sockaddr*)&address, sizeof address) != 0) _exit(1);
  listen(full_listener, 0);
  start_child();
}

// These objects would outlive the process: their names go at once, or (System V) with `child`.
static int start_kernel_objects(void) {
  int count = 0;
  char name[64];
  struct mq_attr attributes = {0, 4, 128, 0, {0}};
  sysv_sem = semget(IPC_PRIVATE, 1, 0600);
  if (sysv_sem < 0) wait_skip("semop", "semget failed");
  if (sysv_sem >= 0) starts(wait_semop, NULL), ++count;
  sysv_queue = msgget(IPC_PRIVATE, 0600);
  if (sysv_queue < 0) wait_skip("msgrcv", "msgget failed");
  if (sysv_queue >= 0) starts(wait_msgrcv, NULL), ++count;
  snprintf(name, sizeof name, "/coldcase-waits-%d", (int)getpid());
  posix_queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  if (posix_queue < 0) wait_skip("mq_receive", "mq_open failed");
  if (posix_queue >= 0) mq_unlink(name), starts(wait_queue, NULL), ++count;
  if (syscall(SYS_io_setup, 4, &aio) == 0)
    starts(wait_aio, NULL), ++count;
  else
    wait_skip("io_getevents", "io_setup failed");
  unsigned parameters[30] = {0};
  event_ring = (int)syscall(425, 4, parameters);
  if (event_ring >= 0)
    starts(wait_ring, NULL), ++count;
  else
    wait_skip("io_uring_enter", "io_uring_setup failed");
  return count;
}

// System V objects stay until somebody removes them: a child does when this process is gone.
static void clean_up_later(void) {
  int ends[2];
  char byte;
  if (pipe(ends) != 0) return;
  if (fork() != 0) {
    close(ends[0]);
    return;  // the writing end closes with this process
  }
  close(ends[1]);
  close(1);
  setsid();
  if (read(ends[0], &byte, 1) == 0) {
    semctl(sysv_sem, 0, IPC_RMID);
    msgctl(sysv_queue, IPC_RMID, NULL);
  }
  _exit(0);
}

int main(void) {
  void* (*const all[])(void*) = {
      wait_poll,         wait_poll_timed, wait_ppoll,   wait_ppoll_timed, wait_select,
      wait_select_timed, wait_pselect,    wait_epoll,   wait_epoll_timed, wait_read,
      wait_write,        wait_write_part, wait_socket,  wait_recvmsg,     wait_sendto,
      wait_accept,       wait_connect,    wait_eventfd, wait_signalfd,    wait_timerfd,
      wait_inotify,      wait_flock,      wait_record,  wait_open_file,   wait_sleep,
      wait_sleep_until,  wait_pause,      wait_suspend, wait_signal,      wait_signal_timed,
      wait_child,        wait_child_id,
  };
  const int kinds = (int)(sizeof all / sizeof all[0]);
  set_up();
  const int count = kinds + start_kernel_objects();
  clean_up_later();
  for (int i = 0; i < kinds; ++i) starts(all[i], NULL);
  wait_ready(count);
  pause_forever();
}
