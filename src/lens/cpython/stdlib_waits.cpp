#include "lens/cpython/stdlib_waits.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace coldcase::cpython {
namespace {

struct Row {
  std::string_view module, function;
  Sort self;
  Use use;
};

// size: table
// Lib/, 3.6 to 3.15. Semaphore.__enter__ is acquire itself. Thread.join goes through
// _wait_for_tstate_lock up to 3.12.
constexpr std::array rows{
    Row{"threading", "wait", Sort::condition, Use::waits},
    Row{"threading", "_acquire_restore", Sort::condition, Use::retakes},
    Row{"threading", "wait", Sort::event, Use::waits},
    Row{"threading", "acquire", Sort::semaphore, Use::waits},
    Row{"threading", "wait", Sort::barrier, Use::waits},
    Row{"threading", "join", Sort::thread, Use::joins},
    Row{"threading", "_wait_for_tstate_lock", Sort::thread, Use::joins},
    Row{"queue", "get", Sort::queue, Use::takes},
    Row{"queue", "put", Sort::queue, Use::puts},
    Row{"queue", "join", Sort::queue, Use::drains},
    Row{"queue", "get", Sort::python_simple_queue, Use::takes},
    Row{"concurrent.futures._base", "result", Sort::future, Use::results},
    Row{"concurrent.futures._base", "exception", Sort::future, Use::results},
    Row{"concurrent.futures._base", "wait", Sort::none, Use::several},
    Row{"concurrent.futures._base", "as_completed", Sort::none, Use::several},
    Row{"multiprocessing.pool", "wait", Sort::pool_result, Use::results},
    Row{"multiprocessing.pool", "get", Sort::pool_result, Use::results},
    Row{"multiprocessing.pool", "next", Sort::pool_iterator, Use::results},
    Row{"multiprocessing.pool", "join", Sort::pool, Use::drains},
    Row{"multiprocessing.process", "join", Sort::process, Use::joins},
    Row{"subprocess", "wait", Sort::popen, Use::joins},
    Row{"subprocess", "communicate", Sort::popen, Use::communicates},
};

// Modules whose frames may stand between the sleeping one and the one that says what for.
constexpr std::array library{
    std::string_view("threading"),
    std::string_view("queue"),
    std::string_view("concurrent.futures._base"),
    std::string_view("concurrent.futures.thread"),
    std::string_view("concurrent.futures.process"),
    std::string_view("multiprocessing.pool"),
    std::string_view("multiprocessing.process"),
    std::string_view("multiprocessing.popen_fork"),
    std::string_view("multiprocessing.popen_forkserver"),
    std::string_view("multiprocessing.popen_spawn_posix"),
    std::string_view("multiprocessing.connection"),
    std::string_view("multiprocessing.util"),
    std::string_view("subprocess"),
    std::string_view("selectors"),
    std::string_view("contextlib"),
};

constexpr std::size_t most_frames = 32;
constexpr double longest_ms = 1e15;

std::optional<StdlibCall> match(const Objects& objects, const PythonFrame& frame,
                                std::string_view module) {
  const std::string_view function = last_part(frame.code->name);
  std::optional<Addr> self;
  std::optional<Sort> sort;
  for (const Row& row : rows) {
    if (row.module != module || row.function != function) continue;
    if (row.self == Sort::none) {
      if (find_local(objects, frame, "waiter")) return StdlibCall{row.self, row.use, {}, 0, &frame};
      continue;
    }
    if (!sort) {
      self = find_self(objects, frame);
      sort = self ? sort_of(objects, *self) : Sort::none;
    }
    if (*sort == row.self) return StdlibCall{row.self, row.use, *self, 0, &frame};
  }
  return std::nullopt;
}

}  // namespace

std::vector<StdlibCall> find_calls(const Objects& objects, const PyThread& thread) {
  std::vector<StdlibCall> calls;
  each_frame(thread, [&](const PythonFrame& frame, std::size_t index) {
    const std::string module = module_of(objects, frame);
    if (index >= most_frames || std::ranges::find(library, module) == library.end()) return false;
    if (auto call = match(objects, frame, module)) {
      call->index = index;
      calls.push_back(*call);
    }
    return true;
  });
  return calls;
}

std::optional<std::uint64_t> asked_timeout(const Objects& objects, const PythonFrame& frame) {
  const auto value = find_local(objects, frame, "timeout");
  if (!value) return std::nullopt;
  const auto seconds = read_float(objects, *value);
  if (!seconds) return std::nullopt;
  const double ms = *seconds * 1000;
  if (!std::isfinite(ms) || ms < 0 || ms > longest_ms) return std::nullopt;
  return static_cast<std::uint64_t>(ms);
}

std::optional<LibraryFrame> find_library_frame(const Objects& objects, const PyThread& thread,
                                               std::string_view module, std::string_view function) {
  std::optional<LibraryFrame> found;
  each_frame(thread, [&](const PythonFrame& frame, std::size_t index) {
    const bool here =
        last_part(frame.code->name) == function && module_of(objects, frame) == module;
    if (here) found = {index, &frame};
    return !found && index < most_values;
  });
  return found;
}

}  // namespace coldcase::cpython
