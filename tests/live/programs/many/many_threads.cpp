// many_threads KIND COUNT: a process of that many threads with small stacks.
//   idle: all wait for work at a condition variable, main for a signal
//   behind: all but two wait for one mutex; its holder reads from a pipe that stays empty
//   ring: two of them hold a mutex each and want the other's; the others wait for work
//   own: each waits at a condition variable of its own
//   pairs: of each two, one reads from the pipe with a mutex in hand and the other wants that
//   circle: each holds a mutex and wants the next one's, the last the first one's
//   chain: each holds a mutex and wants the next one's; the last reads from the pipe
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

struct Own {
  std::mutex lock;
  std::condition_variable arrived;
};
std::vector<Own> own;
std::atomic<std::size_t> next_own{0};

[[gnu::noinline]] void wait_alone(Own& mine) {
  std::unique_lock<std::mutex> guard(mine.lock);
  ++arrived;
  mine.arrived.wait(guard, [] { return work; });
}

[[gnu::noinline]] void read_with(Own& mine) {
  const std::lock_guard<std::mutex> guard(mine.lock);
  ++arrived;
  char answer = 0;
  while (read(never[0], &answer, 1) != 1) {
  }
}

[[gnu::noinline]] void want(Own& theirs) {
  ++arrived;
  const std::lock_guard<std::mutex> guard(theirs.lock);
}

[[gnu::noinline]] void hold_and_want(Own& mine, Own& theirs) {
  const std::lock_guard<std::mutex> guard(mine.lock);
  ++arrived;
  while (static_cast<std::size_t>(arrived) < own.size()) usleep(50000);
  const std::lock_guard<std::mutex> second(theirs.lock);
}

void* alone(void*) {
  wait_alone(own[next_own++]);
  return nullptr;
}
void* one_of_pair(void*) {
  const std::size_t number = next_own++;
  if (number % 2 == 0) {
    read_with(own[number]);
  } else {
    while (static_cast<std::size_t>(arrived) < own.size() / 2) usleep(50000);
    want(own[number - 1]);
  }
  return nullptr;
}
void* link_of_chain(void*) {
  const std::size_t number = next_own++;
  if (number + 1 == own.size())
    read_with(own[number]);
  else
    hold_and_want(own[number], own[number + 1]);
  return nullptr;
}
void* link_of_circle(void*) {
  const std::size_t number = next_own++;
  hold_and_want(own[number], own[(number + 1) % own.size()]);
  return nullptr;
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
  own = std::vector<Own>(static_cast<std::size_t>(count - 1));
  void* (*run)(void*) = std::strcmp(kind, "behind") == 0   ? use
                        : std::strcmp(kind, "own") == 0    ? alone
                        : std::strcmp(kind, "pairs") == 0  ? one_of_pair
                        : std::strcmp(kind, "circle") == 0 ? link_of_circle
                        : std::strcmp(kind, "chain") == 0  ? link_of_chain
                                                           : serve;
  for (int i = special; i < count - 1; ++i) start(run);
  wait_for(count - 1);
  std::printf("READY {\"pid\": %d, \"threads\": {\"main\": %d}, \"settles\": {\"main\": \"%s\"}}\n",
              getpid(), gettid(), "rt_sigtimedwait");
  std::fflush(stdout);
  int signal = 0;
  sigwait(&stop, &signal);
  std::_Exit(0);
}
