// asyncio's futures and tasks, field by field.
#include <algorithm>

#include "base/text.hpp"
#include "lens/cpython/event_loops.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_callbacks = 1'000;
constexpr std::int64_t most_words = 4'096 / 8;

}  // namespace

Futures::Form Futures::form_of(Addr object) const {
  const auto type = objects_.read_type(object);
  if (!type || object.value == 0) return Form::none;
  const auto [at, fresh] = forms_.try_emplace(type->value, Form::none);
  if (!fresh) return at->second;
  if (is_kind_of(objects_, object, "_asyncio.Task")) {
    at->second = Form::task;
  } else if (is_kind_of(objects_, object, "_asyncio.Future")) {
    at->second = Form::future;
  } else if (is_kind_of(objects_, object, "Task") && objects_.find_attribute(object, "_coro")) {
    at->second = Form::python_task;
  } else if (is_kind_of(objects_, object, "Future") &&
             module_of_class(objects_, object).starts_with("asyncio.")) {
    at->second = Form::python_future;
  }
  return at->second;
}

bool Futures::is_task(Addr object) const {
  const Form form = form_of(object);
  return form == Form::task || form == Form::python_task;
}

bool Futures::is_future(Addr object) const {
  return form_of(object) != Form::none;
}

// A class derived from it is larger, never smaller.
bool Futures::misfits(Addr task) const {
  const std::int64_t size = objects_.type_basic_size(task);
  const bool own = objects_.type_name(task) == "_asyncio.Task";
  return form_of(task) == Form::task &&
         (own ? size != layout_.task_size : size < layout_.task_size);
}

Addr Futures::field(Addr future, std::int32_t offset, std::string_view attribute) const {
  const Form form = form_of(future);
  if (form == Form::none) return {};
  if (form == Form::task || form == Form::future) {
    return objects_.image().read_pointer(offset_by(future, offset)).value_or(Addr{});
  }
  return objects_.find_attribute(future, attribute).value_or(Addr{});
}

bool Futures::is_pending(Addr future) const {
  const Form form = form_of(future);
  if (form == Form::task || form == Form::future) {
    const auto state = objects_.image().read<std::int32_t>(offset_by(future, layout_.future_state));
    return state && *state == 0;
  }
  const auto state = objects_.find_attribute(future, "_state");
  return state && objects_.read_str(*state).value_or("") == "PENDING";
}

Addr Futures::loop_of(Addr future) const {
  return field(future, layout_.future_loop, "_loop");
}

Addr Futures::coroutine_of(Addr task) const {
  return field(task, layout_.task_coro, "_coro");
}

Addr Futures::waiter_of(Addr task) const {
  const Addr waiter = field(task, layout_.task_waiter, "_fut_waiter");
  return is_none(objects_, waiter) ? Addr{} : waiter;
}

// From 3.12 on a task that was given no name has a number until somebody asks for its name.
std::string Futures::name_of(Addr task) const {
  const Addr name = field(task, layout_.task_name, "_name");
  if (const auto text = objects_.read_str(name)) return clean_text(*text, 128);
  const auto number = objects_.read_int(name);
  return number ? "Task-" + std::to_string(*number) : std::string{};
}

std::vector<Addr> Futures::callbacks_of(Addr future) const {
  std::vector<Addr> called;
  const Form form = form_of(future);
  const Addr first = form == Form::task || form == Form::future
                         ? field(future, layout_.future_callback, "")
                         : Addr{};
  if (!is_none(objects_, first)) called.push_back(first);
  const Addr list = field(future, layout_.future_callbacks, "_callbacks");
  for (const Addr entry : read_list(objects_, list, most_callbacks)) {
    // (callback, context)
    if (!objects_.has_flag(entry, flag_tuple)) continue;
    const auto callback =
        objects_.image().read_pointer(offset_by(entry, objects_.layout().tuple_items));
    if (callback) called.push_back(*callback);
  }
  return called;
}

std::vector<Addr> words_of(const Objects& objects, Addr object) {
  std::vector<Addr> words;
  const std::int64_t size = objects.type_basic_size(object);
  for (std::int64_t i = 2; i < std::min(size / 8, most_words); ++i) {
    const auto word = objects.image().read_pointer(offset_by(object, i * 8));
    if (word && word->value != 0 && word->value % 8 == 0) words.push_back(*word);
  }
  return words;
}

std::vector<std::vector<Addr>> read_due(const Objects& objects, const EventLoop& loop,
                                        std::size_t most) {
  std::vector<std::vector<Addr>> due;
  if (loop.ready.value == 0) return due;
  for (const Addr handle : read_deque(objects, loop.ready, most))
    due.push_back(words_of(objects, handle));
  return due;
}

}  // namespace coldcase::cpython
