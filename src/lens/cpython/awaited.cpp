#include "lens/cpython/awaited.hpp"

#include <algorithm>

#include "lens/cpython/stdlib_waits.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t innermost = 3;  // frames whose references are looked through

// ThreadHandle (Modules/_threadmodule.c, 3.13+): ident, state (3: running), thread_is_exiting.
constexpr std::int64_t handle_ident = 32, handle_state = 52, handle_event = 57;
constexpr std::int64_t old_simple_size = 56;

// The object a slot leads to: itself, or what it is bound to.
Addr reached(const Objects& objects, Addr slot) {
  const std::string& type = objects.type_name(slot);
  if (type != "builtin_function_or_method" && type != "method") return slot;
  return objects.image().read_pointer(offset_by(slot, bound_self)).value_or(Addr{});
}

std::optional<Awaited> confirm(const Objects& objects, Addr object, Addr word) {
  const std::string& type = objects.type_name(object);
  const MemoryImage& image = objects.image();
  if (const auto lock = read_lock(objects, object))
    return lock->word == word ? std::optional(Awaited{Awaited::What::lock, object, *lock})
                              : std::nullopt;
  if (type == "_queue.SimpleQueue") {
    // To 3.12 it waits on a lock of its own; from 3.13 on it parks on has_threads_waiting.
    Addr own = offset_by(object, object_body);
    if (objects.type_basic_size(object) == old_simple_size)
      own = image.read_pointer(own).value_or(Addr{});
    return own == word ? std::optional(Awaited{Awaited::What::simple_queue, object, {}})
                       : std::nullopt;
  }
  if (type == "_thread._ThreadHandle") {
    const auto handle = image.read_pointer(offset_by(object, object_body));
    if (!handle || offset_by(*handle, handle_event) != word) return std::nullopt;
    const auto ident = read_handle_ident(image, word);
    return ident ? std::optional(Awaited{Awaited::What::handle, object, {}, *ident}) : std::nullopt;
  }
  const auto semlock = read_semlock(objects, object);
  if (semlock && semlock->handle == word) return Awaited{Awaited::What::semlock, object, {}};
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> read_handle_ident(const MemoryImage& image, Addr word) {
  const Addr handle = offset_by(word, -handle_event);
  const auto ident = image.read<std::uint64_t>(offset_by(handle, handle_ident));
  const auto state = image.read<std::uint8_t>(offset_by(handle, handle_state));
  constexpr std::uint8_t starting = 2, running = 3;
  if (!ident || !state || *ident == 0 || (*state != running && *state != starting))
    return std::nullopt;
  return *ident;
}

std::optional<SemLock> read_semlock(const Objects& objects, Addr at) {
  if (objects.type_name(at) != "_multiprocessing.SemLock") return std::nullopt;
  struct Fields {
    std::uint64_t handle, last_tid;
    std::int32_t count, maximum, kind;
  };
  const auto fields = objects.image().read<Fields>(offset_by(at, object_body));
  if (!fields || fields->kind < 0 || fields->kind > 1) return std::nullopt;
  return SemLock{at,
                 Addr{fields->handle},
                 fields->last_tid,
                 fields->count,
                 fields->maximum,
                 fields->kind == 0};
}

bool refers_to(const Objects& objects, const PythonFrame& frame, Addr object) {
  const auto slots = read_slots(objects, frame);
  return std::ranges::any_of(slots, [&](Addr slot) { return reached(objects, slot) == object; });
}

std::optional<Awaited> find_awaited(const Objects& objects, const PyThread& thread, Addr word) {
  std::optional<Awaited> found;
  each_frame(thread, [&](const PythonFrame& frame, std::size_t index) {
    if (index >= innermost) return false;
    for (const Addr slot : read_slots(objects, frame)) {
      found = confirm(objects, reached(objects, slot), word);
      if (found) return false;
    }
    return true;
  });
  return found;
}

}  // namespace coldcase::cpython
