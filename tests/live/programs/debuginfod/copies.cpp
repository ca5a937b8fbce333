// One library four times: linked, in a namespace of its own (dlmopen), loaded from memory (memfd),
// and mapped as data below and above the others. Three threads wait inside the first three for a
// lock that main holds while it waits for them.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>

#include "ring.h"
#include "truth.h"

namespace {

Account account;
using Post = void (*)(Account&, long);
constexpr const char* symbol = "_Z4postR7Accountl";

int open_library(std::size_t& size) {
  Dl_info about{};
  dladdr(reinterpret_cast<void*>(&post), &about);
  const int file = open(about.dli_fname, O_RDONLY);
  struct stat state {};
  fstat(file, &state);
  size = static_cast<std::size_t>(state.st_size);
  return file;
}

Post from_memory(int file, std::size_t size) {
  const int copy = memfd_create("ring", 0);
  const void* bytes = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  if (write(copy, bytes, size) != static_cast<ssize_t>(size)) std::abort();
  void* library = dlopen(("/proc/self/fd/" + std::to_string(copy)).c_str(), RTLD_NOW);
  return reinterpret_cast<Post>(dlsym(library, symbol));
}

[[gnu::noinline]] void wait_in(const char* who, Post function) {
  TRUTH_BLOCKS(who, "futex");
  function(account, 1);
}

}  // namespace

int main() {
  std::size_t size = 0;
  const int file = open_library(size);
  mmap(reinterpret_cast<void*>(0x10000000), size, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0);
  const Post memory = from_memory(file, size);
  Dl_info about{};
  dladdr(reinterpret_cast<void*>(&post), &about);
  void* other = dlmopen(LM_ID_NEWLM, about.dli_fname, RTLD_NOW);
  const Post apart = reinterpret_cast<Post>(dlsym(other, symbol));
  if (memory == nullptr || apart == nullptr) std::abort();
  account.lock.lock();
  std::thread linked([] { wait_in("linked", post); });
  std::thread loaded([=] { wait_in("loaded", memory); });
  std::thread spaced([=] { wait_in("spaced", apart); });
  truth_wait_for(3);
  truth_edge("linked", "mutex", "main");
  truth_ready("copies.cpp", "lock-cycle", "deadlock");
  linked.join();
  loaded.join();
  spaced.join();
}
