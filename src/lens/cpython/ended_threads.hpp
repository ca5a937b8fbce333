// Threads of Python that have ended and whose Thread objects are still there: threading._dangling
// without threading._active. Of the signals that nobody gives, one of them may have been the giver.
#pragma once

#include "lens/cpython/values.hpp"

namespace coldcase::cpython {

struct EndedThread {
  Addr object;
  std::string name;
};
std::vector<EndedThread> find_ended_threads(const Objects& objects, const Interpreter& interpreter);

// "the thread producer, which refers to it, has ended"; empty when none has.
std::string ended_text(const Objects& objects, const std::vector<EndedThread>& ended, Addr awaited);

}  // namespace coldcase::cpython
