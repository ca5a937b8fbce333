// native THREADS DEPTH [SPREAD]: that many threads, about DEPTH calls deep, wait for a mutex that
// main holds.
//
// The calls go round 24 instances of a template, each with a string and a map of its own; every 5th
// goes through a std::function, and each through an inlined step, so that a frame costs a tool what
// it costs in real C++. With SPREAD threads start at another instance or depth each, so that no two
// of up to 504 stacks are equal; without, all are alike. Says READY with its threads, as the live
// tests' programs do.
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr int kinds = 24;
constexpr std::size_t stack_size = 256 * 1024;

std::mutex held;
std::atomic<int> arrived{0};
std::vector<pid_t> tids;

struct Work {
  int kind;
  int index;
  int depth;
};

template <int Kind>
int descend(int depth, int index);

template <int Kind>
[[gnu::always_inline]] inline int step(int depth, int index, std::map<int, std::string>& seen) {
  const int below = descend<(Kind + 1) % kinds>(depth - 1, index);
  return below + static_cast<int>(seen.size());
}

int wait_here(int index) {
  tids[static_cast<std::size_t>(index)] = gettid();
  ++arrived;
  const std::lock_guard guard{held};
  return index;
}

template <int Kind>
[[gnu::noinline]] int descend(int depth, int index) {
  if (depth == 0) return wait_here(index) + Kind;
  const std::string name = "kind " + std::to_string(Kind);
  std::map<int, std::string> seen;
  if (depth % 16 == 0) seen.emplace(depth, name);
  if (depth % 5 == 0) {
    const std::function<int(int)> through = [&](int left) { return step<Kind>(left, index, seen); };
    return through(depth) + static_cast<int>(name.size());
  }
  return step<Kind>(depth, index, seen) + static_cast<int>(name.size());
}

using Start = int (*)(int, int);

template <std::size_t... Kind>
std::array<Start, kinds> starts_of(std::index_sequence<Kind...>) {
  return {descend<static_cast<int>(Kind)>...};
}

const std::array<Start, kinds> starts = starts_of(std::make_index_sequence<kinds>{});

void* run(void* argument) {
  const Work& work = *static_cast<Work*>(argument);
  return reinterpret_cast<void*>(
      static_cast<long>(starts[static_cast<std::size_t>(work.kind)](work.depth, work.index)));
}

void tell() {
  std::printf("READY {\"pid\": %d, \"threads\": {\"main\": %d", getpid(), gettid());
  for (std::size_t at = 0; at < tids.size(); ++at) std::printf(", \"t%zu\": %d", at, tids[at]);
  std::printf("}, \"settles\": {\"main\": \"futex\"");
  for (std::size_t at = 0; at < tids.size(); ++at) std::printf(", \"t%zu\": \"futex\"", at);
  std::printf("}}\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 500;
  const int depth = argc > 2 ? std::atoi(argv[2]) : 98;
  const bool spread = argc > 3;
  const std::lock_guard guard{held};
  tids.resize(static_cast<std::size_t>(count));
  std::vector<Work> works;
  for (int index = 0; index < count; ++index) {
    if (spread)
      works.push_back({index % kinds, index, depth + index / kinds % 21 - 10});
    else
      works.push_back({0, index, depth});
  }
  std::vector<pthread_t> threads(static_cast<std::size_t>(count));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_size);
  for (std::size_t at = 0; at < threads.size(); ++at) {
    if (pthread_create(&threads[at], &attributes, run, &works[at]) != 0) return 1;
  }
  while (arrived < count) usleep(1000);
  tell();
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
}
