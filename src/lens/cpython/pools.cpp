#include "lens/cpython/pools.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_work = 1024;  // of one pool
constexpr std::uint64_t flag_type = 1u << 31;
constexpr std::int64_t partial_function = 16, method_function = 16, builtin_method = 16;

Work read_work(const Objects& objects, Addr item) {
  Work work;
  if (const auto future = objects.find_attribute(item, "future")) work.future = *future;
  auto function = objects.find_attribute(item, "fn");
  if (!function) {  // 3.14+: one tuple of function, arguments and keywords
    const auto task = objects.find_attribute(item, "task");
    const auto parts = task ? read_items(objects, *task, 1) : std::vector<Addr>{};
    if (!parts.empty()) function = parts.front();
  }
  if (function) work.function = callable_name(objects, *function);
  return work;
}

std::optional<Addr> find_executor(const Objects& objects, const PythonFrame& frame) {
  const auto reference = find_local(objects, frame, "executor_reference");
  const Addr executor = reference ? weak_target(objects, *reference) : Addr{};
  return executor.value != 0 ? std::optional(executor) : std::nullopt;
}

// concurrent.futures.thread._threads_queues: a weak dictionary from each worker's Thread object to
// the queue it serves, for all executors.
bool knows_all_workers(const Objects& objects, const Interpreter& interpreter,
                       const ThreadPool& pool) {
  const auto weak =
      find_global(objects, interpreter.at, "concurrent.futures.thread", "_threads_queues");
  const auto data = weak ? objects.find_attribute(*weak, "data") : std::nullopt;
  if (!data) return false;
  bool all = true;
  const bool read = objects.each_item(*data, [&](Addr key, Addr queue) {
    const Addr thread = queue == pool.queue ? weak_target(objects, key) : Addr{};
    const auto ident = thread.value != 0 ? find_number(objects, thread, "_ident") : std::nullopt;
    if (!ident) {
      all = all && thread.value == 0;  // not started yet: it may still come
      return true;
    }
    const auto is_it = [&](const auto& state) {
      return state.ident == static_cast<std::uint64_t>(*ident);
    };
    const bool lives = std::ranges::any_of(interpreter.threads, is_it);
    all = all && (!lives || std::ranges::any_of(pool.workers, [&](const PyThread* worker) {
            return is_it(*worker);
          }));
    return true;
  });
  return read && all;
}

ThreadPool& pool_of(std::vector<ThreadPool>& pools, Addr queue) {
  const auto at = std::ranges::find(pools, queue, &ThreadPool::queue);
  if (at != pools.end()) return *at;
  pools.push_back({queue, std::nullopt, {}, false, {}, 0});
  return pools.back();
}

// From 3.14 on _WorkItem.run calls a run of the worker's context, which stands above it.
std::optional<RunningWork> find_running(const Objects& objects, const PyThread& state) {
  std::optional<RunningWork> running;
  each_frame(state, [&](const PythonFrame& frame, std::size_t index) {
    const bool run = last_part(frame.code->name) == "run" &&
                     module_of(objects, frame) == "concurrent.futures.thread";
    const auto item = run ? find_self(objects, frame) : std::nullopt;
    if (!item) return true;
    Work work = read_work(objects, *item);
    if (work.future.value != 0) running = {&state, index, std::move(work)};
    return !running;
  });
  return running;
}

void read_worker(const Objects& objects, const PyThread& state, Pools& pools) {
  if (!state.core_thread) return;
  const auto worker = find_library_frame(objects, state, "concurrent.futures.thread", "_worker");
  if (!worker) return;
  const auto queue = find_local(objects, *worker->frame, "work_queue");
  const Sort sort = queue ? sort_of(objects, *queue) : Sort::none;
  if (kind_of(sort) != WaitKind::queue) return;
  ThreadPool& pool = pool_of(pools.threads, *queue);
  pool.workers.push_back(&state);
  if (!pool.executor) pool.executor = find_executor(objects, *worker->frame);
  if (auto running = find_running(objects, state)) pools.running.push_back(std::move(*running));
}

// To 3.8 a function of the module with everything in its arguments, from 3.9 on a Thread.
void read_manager(const Objects& objects, const PyThread& state, Pools& pools) {
  const std::string_view module = "concurrent.futures.process";
  if (!state.core_thread) return;
  std::optional<Addr> unfinished, processes;
  ProcessPool pool;
  if (const auto old = find_library_frame(objects, state, module, "_queue_management_worker")) {
    unfinished = find_local(objects, *old->frame, "pending_work_items");
    processes = find_local(objects, *old->frame, "processes");
    pool.executor = find_executor(objects, *old->frame);
  } else if (const auto run = find_library_frame(objects, state, module, "run")) {
    const auto self = find_self(objects, *run->frame);
    if (!self) return;
    unfinished = objects.find_attribute(*self, "pending_work_items");
    processes = objects.find_attribute(*self, "processes");
    const auto reference = objects.find_attribute(*self, "executor_reference");
    const Addr executor = reference ? weak_target(objects, *reference) : Addr{};
    if (executor.value != 0) pool.executor = executor;
  }
  if (!unfinished || !objects.has_flag(*unfinished, flag_dict)) return;
  pool.manager = &state;
  objects.each_item(*unfinished, [&](Addr, Addr item) {
    pool.unfinished.push_back(read_work(objects, item));
    return pool.unfinished.size() < most_work;
  });
  if (processes) {
    objects.each_item(*processes, [&](Addr, Addr) { return ++pool.processes < most_work; });
  }
  pools.processes.push_back(std::move(pool));
}

}  // namespace

std::string callable_name(const Objects& objects, Addr callable) {
  const MemoryImage& image = objects.image();
  constexpr int most_wrapped = 4;
  for (int i = 0; i < most_wrapped; ++i) {
    const std::string& type = objects.type_name(callable);
    const bool wraps = type == "functools.partial" || type == "method";
    static_assert(partial_function == method_function);
    if (!wraps) break;
    const auto inner = image.read_pointer(offset_by(callable, partial_function));
    if (!inner || inner->value == 0) return {};
    callable = *inner;
  }
  const std::string& type = objects.type_name(callable);
  if (type == "function") {
    const auto name = image.read_pointer(offset_by(callable, objects.layout().function_qualname));
    return name ? clean_text(objects.read_str(*name).value_or(""), 128) : std::string();
  }
  if (objects.has_flag(callable, flag_type)) {                      // a class
    const auto name = image.read_pointer(offset_by(callable, 24));  // tp_name
    return name ? clean_text(last_part(image.read_text(*name, 256).value_or("")), 128)
                : std::string();
  }
  if (type != "builtin_function_or_method") return {};
  const auto method = image.read_pointer(offset_by(callable, builtin_method));  // PyMethodDef
  const auto name = method ? image.read_pointer(*method) : Read<Addr>(Addr{});
  return name && name->value != 0 ? clean_text(image.read_text(*name, 128).value_or(""), 128)
                                  : std::string();
}

Pools read_pools(const Objects& objects, const Interpreter& interpreter) {
  Pools pools;
  for (const PyThread& state : interpreter.threads) {
    read_worker(objects, state, pools);
    read_manager(objects, state, pools);
  }
  for (ThreadPool& pool : pools.threads) {
    pool.complete = knows_all_workers(objects, interpreter, pool);
    const Sort sort = sort_of(objects, pool.queue);
    pool.length = queue_size(objects, sort, pool.queue).value_or(0);
    for (const Addr item : queue_items(objects, sort, pool.queue, most_work)) {
      // None wakes a worker that has to end.
      if (is_none(objects, item)) {
        pool.length -= std::min<std::uint64_t>(pool.length, 1);
        continue;
      }
      pool.queued.push_back(read_work(objects, item));
    }
  }
  return pools;
}

}  // namespace coldcase::cpython
