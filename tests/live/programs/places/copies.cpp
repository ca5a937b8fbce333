// One library mapped twice; a thread in each copy holds its lock and wants the other's.
// copies HOW LIBRARY: "apart", the second in a namespace of its own, with its own C library
// (dlmopen); "memory", both from memory that has no file (memfd).
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include "truth.h"

namespace {

using AtShelf = int (*)(int (*)(void*), void*);
std::atomic<int> holding = 0;

AtShelf find_in(void* library) {
  void* function = library == nullptr ? nullptr : dlsym(library, "at_shelf");
  if (function == nullptr) std::abort();
  return reinterpret_cast<AtShelf>(function);
}

AtShelf from_memory(const char* file) {
  const int from = open(file, O_RDONLY);
  struct stat state {};
  fstat(from, &state);
  const int copy = memfd_create("shelf", 0);
  if (sendfile(copy, from, nullptr, static_cast<std::size_t>(state.st_size)) != state.st_size)
    std::abort();
  // Not /proc/self: gdb opens the loader's names, and that would be a file of its own.
  const std::string path = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(copy);
  return find_in(dlopen(path.c_str(), RTLD_NOW));
}

struct Errand {
  const char* who;
  AtShelf next;
};

int nothing(void*) {
  return 0;
}

[[gnu::noinline]] int go_on(void* data) {
  const Errand& errand = *static_cast<Errand*>(data);
  for (++holding; holding < 2;) std::this_thread::yield();
  TRUTH_BLOCKS(errand.who, "futex");
  return errand.next(nothing, nullptr) + 1;
}

}  // namespace

int main(int, char** arguments) {
  const bool memory = arguments[1] == std::string("memory");
  const char* path = arguments[2];
  const AtShelf one = memory ? from_memory(path) : find_in(dlopen(path, RTLD_NOW));
  const AtShelf other = memory ? from_memory(path) : find_in(dlmopen(LM_ID_NEWLM, path, RTLD_NOW));
  Errand to_other{"one", other}, to_one{"other", one};
  std::thread first([&] { one(go_on, &to_other); });
  std::thread second([&] { other(go_on, &to_one); });
  truth_wait_for(2);
  truth_edge("one", "mutex", "other");
  truth_edge("other", "mutex", "one");
  truth_ready("copies.cpp", "lock-cycle", "deadlock");
  first.join();
  second.join();
}
