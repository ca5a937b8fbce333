// Two function-local statics whose constructors need each other, entered from two threads.

#include <thread>

#include "holds.h"

namespace {

volatile int first_begun = 0, second_begun = 0;

struct Registry {
  Registry();
  long size = 0;
};
struct Loader {
  Loader();
  long count = 0;
};

Registry& registry() {
  static Registry one;
  return one;
}

Loader& loader() {
  static Loader one;
  return one;
}

[[gnu::noinline]] Registry::Registry() {
  hold_set(&first_begun);
  hold_wait_until(&second_begun);
  TRUTH_BLOCKS("registrar", "futex");
  size = loader().count;
}

[[gnu::noinline]] Loader::Loader() {
  hold_set(&second_begun);
  hold_wait_until(&first_begun);
  TRUTH_BLOCKS("loader", "futex");
  count = registry().size;
}

}  // namespace

int main() {
  std::thread registrar([] { registry().size = 1; });
  std::thread loading([] { loader().count = 1; });
  truth_wait_for(2);
  truth_edge("registrar", "static_guard", "loader");
  truth_edge("loader", "static_guard", "registrar");
  truth_ready("static_guard.cpp", "lock-cycle", "deadlock");
  registrar.join();
  loading.join();
  return 0;
}
