// A library with a lock of its own. Each copy of it in a process has another one.
#include <mutex>

namespace {

std::mutex shelf;

}  // namespace

// Runs `inside` while it holds the shelf of this copy.
extern "C" __attribute__((visibility("default"), noinline)) int at_shelf(int (*inside)(void*),
                                                                         void* data) {
  std::lock_guard<std::mutex> guard(shelf);
  return inside(data) + 1;
}
