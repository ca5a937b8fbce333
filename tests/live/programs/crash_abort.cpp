// Dies of an exception that nobody catches.

#include <stdexcept>

#include "truth.h"

namespace {

[[gnu::noinline]] int parse_setting(int words) {
  truth_message = "the message";
  TRUTH_CRASHES("main", "crash_abort.cpp", "crash-uncaught-exception");
  if (words < 9) throw std::runtime_error("the message");
  return words;
}

[[gnu::noinline]] int load_settings(int words) {
  return parse_setting(words) + 1;
}

}  // namespace

int main(int count, char**) {
  return load_settings(count);
}
