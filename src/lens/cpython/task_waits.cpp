#include "lens/cpython/task_waits.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/rings.hpp"
#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_children = 250'000;

enum class Purpose : std::uint8_t {
  lock,
  signal,
  queue,
  sleep,
  wait_for,
  wait,
  group,
  child,
  stream,
  shutdown
};

// asyncio's own waiting coroutines (Lib/asyncio, 3.8 to 3.13). Of several at the inner end of a
// chain the outermost says what the program asked for.
struct Row {
  std::string_view file, function;  // empty: any of the file
  Purpose purpose;
};
constexpr std::array rows{
    Row{"locks.py", "acquire", Purpose::lock},
    Row{"locks.py", "__aenter__", Purpose::lock},
    Row{"locks.py", "wait", Purpose::signal},
    Row{"queues.py", "get", Purpose::queue},
    Row{"queues.py", "put", Purpose::queue},
    Row{"queues.py", "join", Purpose::queue},
    Row{"tasks.py", "sleep", Purpose::sleep},
    Row{"tasks.py", "wait_for", Purpose::wait_for},
    Row{"tasks.py", "_wait", Purpose::wait},
    Row{"taskgroups.py", "__aexit__", Purpose::group},
    Row{"taskgroups.py", "_aexit", Purpose::group},
    Row{"subprocess.py", "wait", Purpose::child},
    Row{"subprocess.py", "communicate", Purpose::child},
    Row{"base_subprocess.py", "_wait", Purpose::child},
    Row{"base_events.py", "shutdown_default_executor", Purpose::shutdown},
    Row{"base_events.py", "", Purpose::stream},
    Row{"selector_events.py", "", Purpose::stream},
    Row{"unix_events.py", "", Purpose::stream},
    Row{"streams.py", "", Purpose::stream},
    Row{"sslproto.py", "", Purpose::stream},
};

bool of_asyncio(const PythonFrame& frame) {
  return frame.code->file.find("/asyncio/") != std::string::npos &&
         ring_of_python(frame.code->file) == Ring::runtime;
}

std::optional<Purpose> purpose_of(const PythonFrame& frame) {
  const std::string_view file = base_name(frame.code->file);
  const std::string_view function = last_part(frame.code->name);
  const auto row = std::ranges::find_if(rows, [&](const Row& one) {
    return one.file == file && (one.function.empty() || one.function == function);
  });
  return row == rows.end() ? std::nullopt : std::optional(row->purpose);
}

class Search {
 public:
  Search(const Objects& objects, const AsyncLayout& layout, const Futures& futures,
         const AsyncTask& task)
      : objects_(objects), layout_(layout), futures_(futures), task_(task) {}

  TaskWait find() {
    const auto& frames = task_.chain.frames;
    std::optional<Purpose> purpose;
    std::size_t k = 0;
    for (; k < frames.size() && of_asyncio(frames[k]); ++k) {
      const auto found = purpose_of(frames[k]);
      // A condition that was notified takes its lock again, and that is what it waits for.
      if (!found || (purpose == Purpose::lock && *found != Purpose::lock)) continue;
      if (*found == Purpose::wait_for && purpose) continue;  // from 3.12 on: only adds a timeout
      if (*found == Purpose::stream && purpose) continue;
      purpose = found;
      wait_.frame = k;
    }
    wait_.user_frame = std::min(k, frames.empty() ? 0 : frames.size() - 1);
    if (purpose)
      explain(*purpose, frames[wait_.frame]);
    else
      explain_future(task_.waiter);
    if (!wait_.ends) find_timeout();
    if (!wait_.ends) wait_.ends = Ends::never;
    return std::move(wait_);
  }

 private:
  void explain(Purpose purpose, const PythonFrame& frame) {
    const auto self = find_self(objects_, frame);
    const std::string type = self ? asyncio_type(objects_, *self) : std::string{};
    switch (purpose) {
      case Purpose::lock:
      case Purpose::signal:
        return explain_primitive(self, type);
      case Purpose::queue:
        wait_.kind = WaitKind::queue;
        wait_.mode = last_part(frame.code->name) == "put" ? Mode::write : Mode::read;
        return set_object(self, type);
      case Purpose::sleep:
        return explain_sleep(frame);
      case Purpose::wait_for:
        if (const auto inner = find_local(objects_, frame, "fut")) add_target(*inner);
        wait_.kind = WaitKind::task;
        return set_timeout(find_local(objects_, frame, "timeout"));
      case Purpose::wait:
        return explain_wait(frame);
      case Purpose::group:
        if (self) add_children(objects_.find_attribute(*self, "_tasks"));
        wait_.all = true;
        wait_.kind = WaitKind::task;
        wait_.through = "asyncio.TaskGroup";
        return;
      case Purpose::child:
        wait_.kind = WaitKind::process_exit;
        return;
      case Purpose::stream:
        if (task_.waiter.value != 0) explain_future(task_.waiter);
        if (wait_.tasks.empty() && wait_.called.value == 0) wait_.kind = WaitKind::io;
        return;
      case Purpose::shutdown:
        wait_.kind = WaitKind::future;
        wait_.shutdown = true;
        return;
    }
  }

  void set_object(std::optional<Addr> object, const std::string& type) {
    if (!object || type.empty()) return;
    wait_.object = *object;
    wait_.type = type;
  }

  void explain_primitive(std::optional<Addr> self, const std::string& type) {
    wait_.kind = WaitKind::python_condition;
    if (type == "asyncio.Lock") wait_.kind = WaitKind::asyncio_lock;
    if (type.ends_with("Semaphore")) wait_.kind = WaitKind::semaphore;
    if (type == "asyncio.Barrier") wait_.kind = WaitKind::barrier;
    set_object(self, type);
  }

  void explain_sleep(const PythonFrame& frame) {
    wait_.kind = WaitKind::sleep;
    set_timeout(find_local(objects_, frame, "delay"));
    wait_.ends = Ends::timeout;
  }

  // asyncio.wait: for the first of them, or for all.
  void explain_wait(const PythonFrame& frame) {
    wait_.kind = WaitKind::task;
    add_children(find_local(objects_, frame, "fs"));
    const auto when = find_local(objects_, frame, "return_when");
    wait_.all = when && objects_.read_str(*when).value_or("") == "ALL_COMPLETED";
    wait_.through = "asyncio.wait";
    set_timeout(find_local(objects_, frame, "timeout"));
  }

  void set_timeout(std::optional<Addr> seconds) {
    if (!seconds || is_none(objects_, *seconds)) return;
    const auto value = read_float(objects_, *seconds);
    if (!value || std::isinf(*value) || std::isnan(*value)) return;
    wait_.ends = Ends::timeout;
    if (*value >= 0 && *value < 1e12)
      wait_.timeout_ms = static_cast<std::uint64_t>(std::llround(*value * 1000));
  }

  void add_target(Addr future) {
    if (!futures_.is_pending(future)) return;
    if (futures_.is_task(future)) {
      if (wait_.tasks.size() < most_children) wait_.tasks.push_back(future);
    } else if (task_.waiter == future || wait_.tasks.empty()) {
      explain_future(future);
    }
  }

  void add_children(std::optional<Addr> children) {
    if (!children) return;
    const auto add = [&](Addr child) {
      if (futures_.is_task(child) && futures_.is_pending(child)) wait_.tasks.push_back(child);
      return wait_.tasks.size() < most_children;
    };
    if (objects_.has_flag(*children, flag_list)) {
      for (const Addr child : read_list(objects_, *children, most_children)) add(child);
    } else {
      each_in_set(objects_, *children, add);
    }
  }

  // A future by itself: whoever made it knows who fulfils it.
  void explain_future(Addr future) {
    if (future.value == 0 || !futures_.is_future(future)) return;
    if (futures_.is_task(future)) {
      wait_.kind = WaitKind::task;
      wait_.tasks = {future};
      return;
    }
    wait_.kind = WaitKind::future;
    if (const auto children = objects_.find_attribute(future, "_children");
        children && objects_.type_name(future) == "_GatheringFuture") {
      add_children(children);
      wait_.kind = WaitKind::task;
      wait_.all = true;
      wait_.through = "asyncio.gather";
      return;
    }
    for (const Addr callback : futures_.callbacks_of(future)) {
      const std::string name = code_name_of(objects_, callback);
      if (name == "_outer_done_callback") {  // asyncio.shield
        const auto inner = find_closure(objects_, layout_, callback, "inner");
        if (inner && *inner != future && ++shields_ < 16) return explain_future(*inner);
      }
      if (name == "_call_check_cancel") {  // asyncio.wrap_future, run_in_executor
        const auto source = find_closure(objects_, layout_, callback, "source");
        if (!source) continue;
        if (futures_.is_task(*source)) {
          wait_.kind = WaitKind::task;
          wait_.tasks = {*source};
        } else if (!futures_.is_future(*source)) {
          wait_.called = *source;
        }
        return;
      }
    }
  }

  // asyncio.timeout() and its like around any of the frames, or wait_for further out.
  void find_timeout() {
    for (const PythonFrame& frame : task_.chain.frames) {
      if (of_asyncio(frame) && last_part(frame.code->name) == "wait_for")
        set_timeout(find_local(objects_, frame, "timeout"));
      for (const WithMarker& marker : find_with_markers(objects_, frame)) {
        const std::string_view type = last_part(objects_.type_name(marker.self));
        if (type != "Timeout" && type != "CancelScope") continue;
        for (const std::string_view name : {"_when", "_deadline"}) {
          const auto when = objects_.find_attribute(marker.self, name);
          const auto value = when ? read_float(objects_, *when) : std::nullopt;
          if (value && std::isfinite(*value)) wait_.ends = Ends::timeout;
        }
      }
      if (wait_.ends) return;
    }
  }

  const Objects& objects_;
  const AsyncLayout& layout_;
  const Futures& futures_;
  const AsyncTask& task_;
  TaskWait wait_;
  int shields_ = 0;
};

// Inside wait() of this condition: it gave its lock back, though its with block stands.
bool waits_inside(const Objects& objects, const AsyncTask& task, std::size_t frame,
                  Addr condition) {
  for (std::size_t k = 0; k < frame; ++k) {
    const PythonFrame& inner = task.chain.frames[k];
    const std::string_view name = last_part(inner.code->name);
    if (name != "wait" && name != "wait_for") continue;
    if (find_self(objects, inner) == condition) return true;
  }
  return false;
}

}  // namespace

std::string asyncio_type(const Objects& objects, Addr object) {
  static constexpr std::array<std::string_view, 9> names{
      "Lock",  "Event",         "Condition", "Semaphore", "BoundedSemaphore",
      "Queue", "PriorityQueue", "LifoQueue", "Barrier"};
  const std::string_view name = last_part(objects.type_name(object));
  if (std::ranges::find(names, name) == names.end()) return {};
  const std::string module = module_of_class(objects, object);
  return module.starts_with("asyncio.") ? "asyncio." + std::string(name) : std::string{};
}

TaskWait find_task_wait(const Objects& objects, const AsyncLayout& layout, const Futures& futures,
                        const AsyncTask& task) {
  return Search(objects, layout, futures, task).find();
}

std::vector<TaskHold> find_task_holds(const Objects& objects, const AsyncTask& task) {
  std::vector<TaskHold> holds;
  for (std::size_t k = 0; k < task.chain.frames.size(); ++k) {
    const PythonFrame& frame = task.chain.frames[k];
    for (const WithMarker& marker : find_with_markers(objects, frame)) {
      TaskHold hold;
      hold.object = marker.self;
      hold.frame = k;
      hold.handler = marker.handler;
      hold.type = asyncio_type(objects, hold.object);
      if (hold.type == "asyncio.Condition") {
        if (waits_inside(objects, task, k, hold.object)) continue;
        hold.object = objects.find_attribute(hold.object, "_lock").value_or(Addr{});
        hold.type = asyncio_type(objects, hold.object);
      }
      if (hold.type == "asyncio.Lock") {
        const auto locked = objects.find_attribute(hold.object, "_locked");
        if (!locked || objects.read_int(*locked).value_or(0) == 0) continue;
      } else if (hold.type.empty()) {
        const auto lock = read_lock(objects, hold.object);
        if (!lock || !lock->locked || lock->recursive) continue;
      } else if (!hold.type.ends_with("Semaphore")) {
        continue;
      }
      const auto names = read_names(objects, frame.code->at);
      hold.releases = std::ranges::find(names, "release") != names.end();
      holds.push_back(std::move(hold));
    }
  }
  return holds;
}

}  // namespace coldcase::cpython
