// Which of the standard library's waiting functions a thread is inside, and of which object: a
// table of module, function and the kind of its `self`. A frame counts only when all three agree:
// the module by its own __name__, the object by its attributes.
#pragma once

#include "lens/cpython/locks.hpp"
#include "lens/cpython/sync_objects.hpp"

namespace coldcase::cpython {

enum class Use : std::uint8_t {
  waits,         // for a signal: notify, set, release, the last party
  takes,         // an item of a queue
  puts,          // an item into a full queue
  drains,        // until every item of a queue, all work of a pool is done
  joins,         // the end of a thread or process
  results,       // of a future
  several,       // futures: wait(), as_completed()
  retakes,       // the condition's own lock, after it was notified
  communicates,  // with a child process over its pipes
};

struct StdlibCall {
  Sort sort = Sort::none;
  Use use = Use::waits;
  Addr object;            // its self; none for `several`
  std::size_t index = 0;  // the Python frame, counted from the innermost
  const PythonFrame* frame = nullptr;
};

// Innermost first, as far as frames of the library reach without one of somebody else's between.
std::vector<StdlibCall> find_calls(const Objects& objects, const PyThread& thread);

// What the thread asked for: its `timeout` argument in that frame.
std::optional<std::uint64_t> asked_timeout(const Objects& objects, const PythonFrame& frame);

// A frame of the library by its module and function, such as "concurrent.futures.thread", "run".
struct LibraryFrame {
  std::size_t index = 0;
  const PythonFrame* frame = nullptr;
};
std::optional<LibraryFrame> find_library_frame(const Objects& objects, const PyThread& thread,
                                               std::string_view module, std::string_view function);

// Visits a thread's Python frames from the innermost on, until `visit` returns false.
template <class Visit>
void each_frame(const PyThread& thread, Visit visit) {
  std::size_t index = 0;
  for (const auto& run : thread.runs) {
    for (const PythonFrame& frame : run) {
      if (!visit(frame, index++)) return;
    }
  }
}

}  // namespace coldcase::cpython
