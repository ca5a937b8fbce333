#include "lens/cpython/sync_objects.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace coldcase::cpython {
namespace {

// Attributes of instances, 3.6 to 3.15 (Lib/threading.py, queue.py, concurrent/futures,
// multiprocessing/pool.py, subprocess.py, importlib/_bootstrap.py, logging/__init__.py).
struct Shape {
  Sort sort;
  std::string_view name;
  WaitKind kind;
  std::array<std::string_view, 4> attributes;  // all of them; empty ones at the end
};

// size: table
constexpr std::array shapes{
    Shape{Sort::condition,
          "threading.Condition",
          WaitKind::python_condition,
          {"_lock", "_waiters", "", ""}},
    Shape{Sort::event, "threading.Event", WaitKind::python_condition, {"_cond", "_flag", "", ""}},
    Shape{Sort::semaphore, "threading.Semaphore", WaitKind::semaphore, {"_cond", "_value", "", ""}},
    Shape{Sort::barrier,
          "threading.Barrier",
          WaitKind::barrier,
          {"_cond", "_parties", "_count", "_state"}},
    Shape{Sort::queue,
          "queue.Queue",
          WaitKind::queue,
          {"mutex", "not_empty", "unfinished_tasks", "maxsize"}},
    Shape{Sort::python_simple_queue,
          "queue.SimpleQueue",
          WaitKind::queue,
          {"_queue", "_count", "", ""}},
    Shape{Sort::thread,
          "threading.Thread",
          WaitKind::thread_exit,
          {"_started", "_ident", "_daemonic", ""}},
    Shape{Sort::future,
          "concurrent.futures.Future",
          WaitKind::future,
          {"_condition", "_state", "_waiters", "_done_callbacks"}},
    Shape{Sort::thread_pool,
          "concurrent.futures.ThreadPoolExecutor",
          WaitKind::queue,
          {"_work_queue", "_threads", "_max_workers", "_shutdown"}},
    Shape{Sort::process_pool,
          "concurrent.futures.ProcessPoolExecutor",
          WaitKind::queue,
          {"_pending_work_items", "_processes", "_call_queue", "_result_queue"}},
    Shape{Sort::pool,
          "multiprocessing.Pool",
          WaitKind::future,
          {"_taskqueue", "_maxtasksperchild", "_worker_handler", "_cache"}},
    Shape{Sort::pool_result,
          "multiprocessing.pool.AsyncResult",
          WaitKind::future,
          {"_event", "_job", "_cache", ""}},
    Shape{Sort::pool_iterator,
          "multiprocessing.pool.IMapIterator",
          WaitKind::future,
          {"_cond", "_job", "_cache", "_items"}},
    Shape{Sort::popen,
          "subprocess.Popen",
          WaitKind::process_exit,
          {"pid", "returncode", "_waitpid_lock", "args"}},
    Shape{Sort::process,
          "multiprocessing.Process",
          WaitKind::process_exit,
          {"_popen", "_identity", "_parent_pid", "_config"}},
    Shape{Sort::module_lock,
          "importlib._ModuleLock",
          WaitKind::import_lock,
          {"wakeup", "owner", "waiters", "name"}},
    Shape{Sort::handler,
          "logging.Handler",
          WaitKind::python_rlock,
          {"level", "formatter", "lock", "filters"}},
};
constexpr std::size_t most_attributes = 256;

const Shape* find_shape(Sort sort) {
  const auto at = std::ranges::find(shapes, sort, &Shape::sort);
  return at == shapes.end() ? nullptr : &*at;
}

std::uint32_t wanted_attributes(const Shape& shape) {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(shape.attributes, [](std::string_view name) { return !name.empty(); }));
}

// _queue.SimpleQueue (Modules/_queuemodule.c). To 3.12 a list of which the first `lst_pos` are
// taken; from 3.13 on a ring of items.
constexpr std::int64_t old_simple_size = 56, simple_list = 32, simple_position = 40;
constexpr std::int64_t ring_size = 72, ring_next = 32, ring_items = 40, ring_capacity = 48,
                       ring_count = 56;

std::string number_text(std::int64_t value) {
  return std::to_string(value);
}

MemoryWord word_of(std::string_view name, std::int64_t value, std::string means = "") {
  return {std::string(name), Addr{}, static_cast<std::uint64_t>(value), std::move(means)};
}

void read_barrier(const Objects& objects, Addr barrier, SyncState& state) {
  const auto parties = find_number(objects, barrier, "_parties");
  const auto count = find_number(objects, barrier, "_count");
  const auto phase = find_number(objects, barrier, "_state");
  if (!parties || !count || !phase) return;
  const std::string_view means = *phase == 0    ? "filling"
                                 : *phase == 1  ? "draining"
                                 : *phase == -1 ? "resetting"
                                                : "broken";
  state.words = {word_of("_parties", *parties), word_of("_count", *count),
                 word_of("_state", *phase, std::string(means))};
  if (*phase == -2) state.summary = LockState::broken;
  const std::string arrived = number_text(*count) + " of " + number_text(*parties) + " parties";
  state.details = *phase == 0 ? arrived + " have arrived" : std::string(means) + ", " + arrived;
}

void read_queue(const Objects& objects, Sort sort, Addr queue, SyncState& state) {
  const auto size = queue_size(objects, sort, queue);
  if (!size) return;
  state.words.push_back(word_of("size", static_cast<std::int64_t>(*size)));
  const auto limit = find_number(objects, queue, "maxsize");
  if (limit) state.words.push_back(word_of("maxsize", *limit, *limit <= 0 ? "no limit" : ""));
  if (limit && *limit > 0) {
    const bool full = static_cast<std::int64_t>(*size) >= *limit;
    state.details = (full         ? "full: "
                     : *size == 0 ? "empty: "
                                  : "") +
                    std::to_string(*size) + " of " + number_text(*limit) + " items";
  } else {
    state.details = *size == 0 ? "empty" : counted(*size, "item");
  }
  const auto unfinished = find_number(objects, queue, "unfinished_tasks");
  if (unfinished) state.words.push_back(word_of("unfinished_tasks", *unfinished));
  if (unfinished && *unfinished > 0)
    state.details += ", " + number_text(*unfinished) + " not done yet";
  if (find_number(objects, queue, "is_shutdown").value_or(0) != 0) {  // 3.13+
    state.words.push_back(word_of("is_shutdown", 1));
    state.details += ", shut down";
  }
}

void read_future(const Objects& objects, Addr future, SyncState& state) {
  const std::string text = clean_text(find_text(objects, future, "_state"), 32);
  static constexpr std::array<std::string_view, 5> known{"PENDING", "RUNNING", "CANCELLED",
                                                         "CANCELLED_AND_NOTIFIED", "FINISHED"};
  const auto at = std::ranges::find(known, text);
  if (at == known.end()) return;
  state.words = {word_of("_state", at - known.begin(), text)};
  state.details = text;
}

// Its cache keeps the results that are not there yet, by job.
void read_pool(const Objects& objects, Addr pool, SyncState& state) {
  const auto cache = objects.find_attribute(pool, "_cache");
  if (!cache || !objects.has_flag(*cache, flag_dict)) return;
  std::uint64_t count = 0;
  constexpr std::uint64_t most = 100'000;
  objects.each_item(*cache, [&](Addr, Addr) { return ++count < most; });
  state.words = {word_of("_cache", static_cast<std::int64_t>(count))};
  state.details = counted(count, "result") + " not there";
}

// A MapResult counts the pieces that it was cut into; an IMapIterator has them one by one.
void read_pool_result(const Objects& objects, Addr result, SyncState& state) {
  const auto left = find_number(objects, result, "_number_left");
  const auto values = objects.find_attribute(result, "_value");
  const auto count = values ? read_length(objects, *values) : std::nullopt;
  const auto length = count ? std::optional(static_cast<std::int64_t>(*count)) : std::nullopt;
  const auto size = find_number(objects, result, "_chunksize");
  const auto done = find_number(objects, result, "_index");
  if (left && length && size && *left >= 0 && *length > 0 && *size > 0) {
    state.words = {word_of("_number_left", *left)};
    const std::int64_t pieces = *length / *size + (*length % *size != 0 ? 1 : 0);
    state.details = number_text(*left) + " of " + number_text(pieces) +
                    (pieces == 1 ? " piece of work" : " pieces of work") + " not done";
  } else if (done && *done >= 0) {
    state.words = {word_of("_index", *done)};
    state.details = number_text(*done) + (*done == 1 ? " result" : " results") + " taken";
  }
}

void read_semaphore(const Objects& objects, Addr semaphore, SyncState& state) {
  const auto value = find_number(objects, semaphore, "_value");
  if (!value) return;
  state.words = {word_of("_value", *value)};
  state.details = "value " + number_text(*value);
  if (const auto initial = find_number(objects, semaphore, "_initial_value")) {
    state.words.push_back(word_of("_initial_value", *initial));
    state.details += " of " + number_text(*initial);
  }
}

void read_event(const Objects& objects, Addr event, SyncState& state) {
  const auto flag = find_number(objects, event, "_flag");
  if (!flag) return;
  state.words = {word_of("_flag", *flag != 0 ? 1 : 0)};
  state.details = *flag != 0 ? "set" : "not set";
}

void read_condition(const Objects& objects, Addr condition, SyncState& state) {
  const auto waiters = objects.find_attribute(condition, "_waiters");
  const auto count = waiters ? read_length(objects, *waiters) : std::nullopt;
  if (!count) return;
  state.words = {word_of("_waiters", static_cast<std::int64_t>(*count))};
  if (*count > 1) state.details = counted(*count, "waiter");
}

}  // namespace

Sort sort_of(const Objects& objects, Addr object) {
  if (objects.type_name(object) == "_queue.SimpleQueue") return Sort::simple_queue;
  std::array<std::uint32_t, shapes.size()> found{};
  std::size_t looked = 0;
  objects.each_attribute(object, [&](Addr key, Addr) {
    const auto name = objects.read_str(key);
    if (!name) return true;
    for (std::size_t i = 0; i < shapes.size(); ++i)
      found[i] += std::ranges::find(shapes[i].attributes, *name) != shapes[i].attributes.end();
    return ++looked < most_attributes;
  });
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    if (found[i] == wanted_attributes(shapes[i])) return shapes[i].sort;
  }
  return Sort::none;
}

std::string_view name_of(Sort sort) {
  if (sort == Sort::simple_queue) return "queue.SimpleQueue";
  const Shape* shape = find_shape(sort);
  return shape == nullptr ? std::string_view() : shape->name;
}

WaitKind kind_of(Sort sort) {
  if (sort == Sort::simple_queue) return WaitKind::queue;
  const Shape* shape = find_shape(sort);
  return shape == nullptr ? WaitKind::unknown : shape->kind;
}

std::string type_text(const Objects& objects, Sort sort, Addr object) {
  const std::string_view known = name_of(sort);
  const std::string own = clean_text(last_part(objects.type_name(object)), 64);
  static constexpr std::array<std::string_view, 3> queues{"Queue", "LifoQueue", "PriorityQueue"};
  if (sort == Sort::queue && std::ranges::find(queues, own) != queues.end()) return "queue." + own;
  if (sort == Sort::semaphore && own == "BoundedSemaphore") return "threading.BoundedSemaphore";
  // Other names of the same thing: ApplyResult and MapResult, ForkProcess and SpawnProcess.
  const bool renamed = sort == Sort::python_simple_queue || sort == Sort::pool_result ||
                       sort == Sort::pool_iterator || sort == Sort::process ||
                       sort == Sort::simple_queue;
  if (own.empty() || renamed || own == last_part(known)) return std::string(known);
  return own + " (a " + std::string(known) + ")";
}

std::optional<Addr> find_file_io(const Objects& objects, Addr stream) {
  constexpr std::int64_t text_buffer = 32, buffered_raw = 16;
  Addr at = stream;
  if (objects.type_name(at) == "_io.TextIOWrapper")
    at = objects.image().read_pointer(offset_by(at, text_buffer)).value_or(Addr{});
  if (objects.type_name(at).starts_with("_io.Buffered"))  // not with -u
    at = objects.image().read_pointer(offset_by(at, buffered_raw)).value_or(Addr{});
  return objects.type_name(at) == "_io.FileIO" ? std::optional(at) : std::nullopt;
}

std::string handler_text(const Objects& objects, Addr handler) {
  const std::string module = module_of_class(objects, handler);
  const bool own = module == "logging" || module == "logging.handlers";
  std::string text = own ? "logging." : "logging.Handler ";
  text += clean_text(last_part(objects.type_name(handler)), 64);
  std::string target = find_text(objects, handler, "baseFilename");
  const auto stream = objects.find_attribute(handler, "stream");
  const auto file = stream ? find_file_io(objects, *stream) : std::nullopt;
  if (target.empty() && file) target = find_text(objects, *file, "name");
  if (!target.empty()) text += " " + clean_text(base_name(target), 64);
  return text;
}

std::optional<std::uint64_t> queue_size(const Objects& objects, Sort sort, Addr queue) {
  if (sort == Sort::queue || sort == Sort::python_simple_queue) {
    const auto items = objects.find_attribute(queue, sort == Sort::queue ? "queue" : "_queue");
    return items ? read_length(objects, *items) : std::nullopt;
  }
  const MemoryImage& image = objects.image();
  if (objects.type_basic_size(queue) == ring_size) {
    const auto count = image.read<std::uint64_t>(offset_by(queue, ring_count));
    return count && *count < (std::uint64_t{1} << 40) ? std::optional(*count) : std::nullopt;
  }
  if (objects.type_basic_size(queue) != old_simple_size) return std::nullopt;
  const auto list = image.read_pointer(offset_by(queue, simple_list));
  const auto taken = image.read<std::uint64_t>(offset_by(queue, simple_position));
  const auto all = list ? read_length(objects, *list) : std::nullopt;
  return all && taken && *taken <= *all ? std::optional(*all - *taken) : std::nullopt;
}

std::vector<Addr> queue_items(const Objects& objects, Sort sort, Addr queue, std::size_t limit) {
  const auto size = queue_size(objects, sort, queue);
  if (!size) return {};
  if (sort != Sort::simple_queue) {
    const auto items = objects.find_attribute(queue, sort == Sort::queue ? "queue" : "_queue");
    return items ? read_items(objects, *items, limit) : std::vector<Addr>{};
  }
  const MemoryImage& image = objects.image();
  std::vector<Addr> items;
  if (objects.type_basic_size(queue) == ring_size) {
    const auto next = image.read<std::uint64_t>(offset_by(queue, ring_next));
    const auto room = image.read<std::uint64_t>(offset_by(queue, ring_capacity));
    const auto first = image.read_pointer(offset_by(queue, ring_items));
    if (!next || !room || !first || *room == 0 || *next >= *room || *size > *room) return items;
    for (std::uint64_t i = 0; i < *size && i < limit; ++i) {
      const std::uint64_t at = (*next + i) % *room;
      const auto item = image.read_pointer(offset_by(*first, static_cast<std::int64_t>(at * 8)));
      if (!item) break;
      items.push_back(*item);
    }
    return items;
  }
  const auto list = image.read_pointer(offset_by(queue, simple_list));
  const auto taken = image.read<std::uint64_t>(offset_by(queue, simple_position));
  if (!list || !taken) return items;
  items = read_items(objects, *list, *taken + limit);
  items.erase(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(
                                                 std::min<std::uint64_t>(*taken, items.size())));
  return items;
}

SyncState read_state(const Objects& objects, Sort sort, Addr object) {
  SyncState state;
  switch (sort) {
    case Sort::condition:
      read_condition(objects, object, state);
      break;
    case Sort::event:
      read_event(objects, object, state);
      break;
    case Sort::semaphore:
      read_semaphore(objects, object, state);
      break;
    case Sort::barrier:
      read_barrier(objects, object, state);
      break;
    case Sort::queue:
    case Sort::simple_queue:
    case Sort::python_simple_queue:
      read_queue(objects, sort, object, state);
      break;
    case Sort::future:
      read_future(objects, object, state);
      break;
    case Sort::pool:
      read_pool(objects, object, state);
      break;
    case Sort::pool_result:
    case Sort::pool_iterator:
      read_pool_result(objects, object, state);
      break;
    case Sort::none:
    case Sort::thread:
    case Sort::thread_pool:
    case Sort::process_pool:
    case Sort::popen:
    case Sort::process:
    case Sort::module_lock:
    case Sort::handler:
      break;
  }
  return state;
}

}  // namespace coldcase::cpython
