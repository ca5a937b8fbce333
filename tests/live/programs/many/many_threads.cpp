// many_threads KIND COUNT: a process of that many threads with small stacks.
//   idle: all wait for work at a condition variable, main for a signal
//   behind: all but two wait for one mutex; its holder reads from a pipe that stays empty
//   ring: two of them hold a mutex each and want the other's; the others wait for work
// Says READY with main alone, and what main and the last thread settle in.
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

namespace {

constexpr std::size_t stack_size = 64 * 1024;

std::mutex table_lock, left_lock, right_lock, queue_lock;
std::condition_variable work_arrived;
std::atomic<int> arrived{0};
bool work = false;
int never[2];

[[gnu::noinline]] void next_job() {
  std::unique_lock<std::mutex> guard(queue_lock);
  ++arrived;
  work_arrived.wait(guard, [] { return work; });
}

[[gnu::noinline]] void read_answer() {
  const std::lock_guard<std::mutex> guard(table_lock);
  ++arrived;
  char answer = 0;
  while (read(never[0], &answer, 1) != 1) {
  }
}

[[gnu::noinline]] void look_up() {
  ++arrived;
  const std::lock_guard<std::mutex> guard(table_lock);
}

[[gnu::noinline]] void transfer(std::mutex& from, std::mutex& to) {
  const std::lock_guard<std::mutex> first(from);
  ++arrived;
  while (arrived < 2) usleep(1000);
  const std::lock_guard<std::mutex> second(to);
}

void* serve(void*) {
  next_job();
  return nullptr;
}
void* hold(void*) {
  read_answer();
  return nullptr;
}
void* use(void*) {
  look_up();
  return nullptr;
}
void* left(void*) {
  transfer(left_lock, right_lock);
  return nullptr;
}
void* right(void*) {
  transfer(right_lock, left_lock);
  return nullptr;
}

void start(void* (*run)(void*)) {
  static pthread_attr_t attributes;
  static bool made = false;
  if (!made) {
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_size);
    made = true;
  }
  pthread_t thread{};
  if (const int error = pthread_create(&thread, &attributes, run, nullptr); error != 0) {
    std::fprintf(stderr, "thread %d: %s\n", arrived.load(), std::strerror(error));
    std::_Exit(3);
  }
}

void wait_for(int count) {
  while (arrived < count) usleep(1000);
}

}  // namespace

int main(int argc, char** argv) {
  const char* kind = argc > 1 ? argv[1] : "idle";
  const int count = argc > 2 ? std::atoi(argv[2]) : 5000;
  if (pipe(never) != 0) return 1;
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  int special = 0;
  if (std::strcmp(kind, "behind") == 0) {
    start(hold);
    wait_for(special = 1);
  } else if (std::strcmp(kind, "ring") == 0) {
    start(left);
    start(right);
    wait_for(special = 2);
  }
  const bool idles = std::strcmp(kind, "behind") != 0;
  for (int i = special; i < count - 1; ++i) start(idles ? serve : use);
  wait_for(count - 1);
  std::printf("READY {\"pid\": %d, \"threads\": {\"main\": %d}, \"settles\": {\"main\": \"%s\"}}\n",
              getpid(), gettid(), "rt_sigtimedwait");
  std::fflush(stdout);
  int signal = 0;
  sigwait(&stop, &signal);
  std::_Exit(0);
}
