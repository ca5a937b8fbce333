#include "lens/cpython/event_loops.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "image/walk.hpp"
#include "lens/cpython/values.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_tasks = 250'000;
constexpr std::size_t most_frames = 2'000'000;  // of all await chains together
constexpr std::int64_t holder_loop = 16;        // PyRunningLoopHolder.rl_loop

// "Task-10" after "Task-9".
bool before(const AsyncTask& a, const AsyncTask& b) {
  if (a.loop != b.loop) return a.loop < b.loop;
  const auto number = [](const std::string& name) {
    const auto digits = name.find_last_not_of("0123456789");
    const std::string tail = digits == std::string::npos ? name : name.substr(digits + 1);
    return tail.empty() || tail.size() > 18 ? std::uint64_t{0} : std::stoull(tail);
  };
  const auto stem = [](const std::string& name) {
    return name.substr(0, name.find_last_not_of("0123456789") + 1);
  };
  const std::string stem_a = stem(a.name), stem_b = stem(b.name);
  if (stem_a != stem_b) return stem_a < stem_b;
  const std::uint64_t number_a = number(a.name), number_b = number(b.name);
  return number_a != number_b ? number_a < number_b : a.at < b.at;
}

class Reader {
 public:
  Reader(Python& python, const AsyncLayout& layout, const Interpreter& interpreter,
         const Pthreads& pthreads)
      : objects_(python.objects()),
        layout_(layout),
        interpreter_(interpreter),
        pthreads_(pthreads),
        futures_(objects_, layout),
        coroutines_(python, layout) {}

  EventLoops read() {
    world_.interpreter = interpreter_.at;
    find_running();
    // 3.8 to 3.11: _all_tasks; 3.12 and 3.13: _scheduled_tasks and, for tasks that began at once,
    // _eager_tasks.
    for (const std::string_view name : {"_all_tasks", "_scheduled_tasks"}) {
      if (const auto weak = global(name)) add_weak(*weak);
    }
    if (const auto eager = global("_eager_tasks"))
      each_in_set(objects_, *eager, [&](Addr task) { return add_task(task); });
    add_linked();
    std::ranges::sort(world_.tasks, before);
    read_current();
    for (EventLoop& loop : world_.loops) fill_loop(objects_, pthreads_, loop);
    read_chains();
    return std::move(world_);
  }

 private:
  std::optional<Addr> global(std::string_view name) const {
    return find_global(objects_, interpreter_.at, "asyncio.tasks", name);
  }

  // From 3.14 on each thread state links its tasks; those of ended threads the interpreter has.
  void add_linked() {
    if (layout_.task_node < 0) return;
    add_list(offset_by(interpreter_.at, layout_.interp_tasks));
    for (const PyThread& thread : interpreter_.threads)
      add_list(offset_by(thread.at, layout_.ts_tasks));
  }

  // struct llist_node: next, previous; a ring through its head.
  void add_list(Addr head) {
    const MemoryImage& image = objects_.image();
    const auto next = [&](Addr at) { return image.read_pointer(at); };
    walk_list(image.read_pointer(head).value_or(head), most_tasks, next, [&](Addr node) {
      return node != head && add_task(offset_by(node, -std::int64_t{layout_.task_node}));
    });
  }

  void add_weak(Addr weak_set) {
    const auto data = objects_.find_attribute(weak_set, "data");
    if (!data) return;
    each_in_set(objects_, *data, [&](Addr reference) {
      const Addr task = weak_target(objects_, reference);
      return task.value == 0 || add_task(task);
    });
  }

  bool add_task(Addr at) {
    if (!futures_.is_task(at) || !futures_.is_pending(at)) return true;
    if (futures_.misfits(at)) {
      world_.unknown_layout = true;
      return false;
    }
    if (!known_.insert(at).second) return true;
    if (world_.tasks.size() >= most_tasks) {
      ++world_.unread;
      return true;
    }
    AsyncTask task;
    task.at = at;
    task.loop = futures_.loop_of(at);
    task.coroutine = futures_.coroutine_of(at);
    task.waiter = futures_.waiter_of(at);
    task.name = futures_.name_of(at);
    task.due = task.waiter.value == 0 || !futures_.is_pending(task.waiter);
    loop_at(task.loop);
    world_.tasks.push_back(std::move(task));
    return true;
  }

  EventLoop& loop_at(Addr at) {
    const auto [known, fresh] = loops_.try_emplace(at.value, world_.loops.size());
    if (fresh) {
      EventLoop loop;
      loop.at = at;
      loop.type = loop_type(objects_, at);
      world_.loops.push_back(std::move(loop));
    }
    return world_.loops[known->second];
  }

  // The loop a thread runs, in its thread state: from 3.13 on a field, before an entry of its dict.
  Addr running_in(const PyThread& thread) const {
    const MemoryImage& image = objects_.image();
    if (layout_.ts_running_loop >= 0) {
      // 3.13's later micro versions have the field 8 bytes further on.
      for (const std::int32_t offset : {layout_.ts_running_loop, layout_.ts_running_loop + 8}) {
        const auto loop = image.read_pointer(offset_by(thread.at, offset));
        if (loop && loop->value % 8 == 0 && objects_.type_name(*loop).ends_with("Loop"))
          return *loop;
      }
      return {};
    }
    const auto dict = image.read_pointer(offset_by(thread.at, layout_.ts_dict));
    const auto holder = dict && dict->value != 0
                            ? objects_.find_item(*dict, "__asyncio_running_event_loop__")
                            : std::nullopt;
    if (!holder) return {};
    // To 3.11 an object that has the loop and its process's number, in 3.12 the loop itself.
    if (objects_.type_name(*holder).ends_with("Loop")) return *holder;
    const auto loop = image.read_pointer(offset_by(*holder, holder_loop));
    return loop && objects_.type_name(*loop).ends_with("Loop") ? *loop : Addr{};
  }

  void find_running() {
    for (const PyThread& thread : interpreter_.threads) {
      const Addr at = running_in(thread);
      if (at.value == 0) continue;
      EventLoop& loop = loop_at(at);
      loop.running = true;
      loop.ident = thread.ident;
      loop.core_thread = thread.core_thread;
    }
  }

  void read_current() {
    if (layout_.ts_running_task >= 0) {
      for (const PyThread& thread : interpreter_.threads) {
        const auto task =
            objects_.image().read_pointer(offset_by(thread.at, layout_.ts_running_task));
        if (task && task->value != 0) set_current(running_in(thread), *task);
      }
    }
    const auto current = global("_current_tasks");
    if (!current) return;
    objects_.each_item(*current, [&](Addr loop, Addr task) {
      set_current(loop, task);
      return true;
    });
  }

  void set_current(Addr loop, Addr task) {
    const auto known = loops_.find(loop.value);
    if (known == loops_.end()) return;
    world_.loops[known->second].current = task;
    for (AsyncTask& one : world_.tasks) one.current = one.current || one.at == task;
  }

  void read_chains() {
    std::size_t frames = 0;
    for (AsyncTask& task : world_.tasks) {
      if (frames >= most_frames) {
        task.chain.whole = false;
        continue;
      }
      task.chain = coroutines_.read_chain(task.coroutine);
      if (task.chain.running || task.current) take_running(task);
      frames += task.chain.frames.size();
    }
  }

  // A running task's frames lie on its thread's stack, down to its own coroutine's.
  void take_running(AsyncTask& task) {
    const Addr own = coroutines_.frame_of(task.coroutine);
    for (const PyThread& thread : interpreter_.threads) {
      std::vector<PythonFrame> inner;
      for (const auto& run : thread.runs) {
        for (const PythonFrame& frame : run) {
          inner.push_back(frame);
          if (frame.at != own) continue;
          task.chain.frames = std::move(inner);
          task.chain.running = true;
          task.due = false;
          task.current = true;
          return;
        }
      }
    }
  }

  const Objects& objects_;
  const AsyncLayout& layout_;
  const Interpreter& interpreter_;
  const Pthreads& pthreads_;
  Futures futures_;
  Coroutines coroutines_;
  EventLoops world_;
  std::map<std::uint64_t, std::size_t> loops_;
  std::set<Addr> known_;
};

void set_thread(const Objects& objects, const Pthreads& pthreads, EventLoop& loop, Addr ident) {
  if (is_none(objects, ident)) {
    loop.running = loop.running.value_or(false);
    return;
  }
  const auto value = objects.read_int(ident);
  if (!value) return;
  loop.running = true;
  loop.ident = static_cast<std::uint64_t>(*value);
  if (!loop.core_thread) loop.core_thread = pthreads.find_block(Addr{loop.ident});
}

}  // namespace

std::string loop_type(const Objects& objects, Addr loop) {
  const std::string name(last_part(objects.type_name(loop)));
  return module_of_class(objects, loop).starts_with("uvloop") ? "uvloop." + name : name;
}

// selectors.EpollSelector._fd_to_key (Lib/selectors.py, 3.6 to 3.15).
static std::optional<std::uint64_t> count_files(const Objects& objects, Addr selector) {
  const auto files = objects.find_attribute(selector, "_fd_to_key");
  if (!files || !objects.has_flag(*files, flag_dict)) return std::nullopt;
  std::uint64_t count = 0;
  constexpr std::uint64_t most = 65'536;
  objects.each_item(*files, [&](Addr, Addr) { return ++count < most; });
  return count;
}

// BaseEventLoop keeps these in its dict. uvloop's keeps them in C: its deque is found among the
// words of the object.
void fill_loop(const Objects& objects, const Pthreads& pthreads, EventLoop& loop) {
  if (loop.native()) {
    for (const Addr word : words_of(objects, loop.at)) {
      if (objects.type_name(word) != "collections.deque") continue;
      loop.ready = word;
      break;
    }
  }
  objects.each_attribute(loop.at, [&](Addr key, Addr value) {
    const std::string name = objects.read_str(key).value_or("");
    if (name == "_ready") loop.ready = value;
    if (name == "_scheduled") loop.timer_count = length_of(objects, value);
    if (name == "_selector") loop.file_count = count_files(objects, value);
    if (name == "_closed") loop.closed = objects.read_int(value).value_or(0) != 0;
    if (name == "_thread_id") set_thread(objects, pthreads, loop, value);
    return true;
  });
  if (loop.ready.value != 0) loop.ready_count = length_of(objects, loop.ready);
}

const EventLoop* EventLoops::find_loop(Addr at) const {
  const auto found = std::ranges::find(loops, at, &EventLoop::at);
  return found == loops.end() ? nullptr : &*found;
}

EventLoops read_event_loops(Python& python, const AsyncLayout& layout,
                            const Interpreter& interpreter, const Pthreads& pthreads) {
  return Reader(python, layout, interpreter, pthreads).read();
}

}  // namespace coldcase::cpython
