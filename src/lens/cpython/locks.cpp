#include "lens/cpython/locks.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "lens/cpython/opcodes.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::int64_t object_body = 16, bound_self = 24;
constexpr std::int32_t setup_finally = 122;  // block type, opcode SETUP_FINALLY, 3.6 to 3.10
constexpr std::int32_t most_slots = 4096;

// The manager an exit callable is bound to. From 3.14 on the callable is a plain function or a
// method descriptor and the slot after it holds the manager; that slot is NULL where it is bound.
std::optional<WithMarker> marker_at(const Objects& objects, Addr slot) {
  const bool pairs = objects.layout().tagged_slots();
  const auto exit = objects.read_slot(slot);
  if (!exit) return std::nullopt;
  if (pairs) {
    if (const auto self = objects.read_slot(offset_by(slot, 8))) return WithMarker{*exit, *self};
  }
  const std::string& type = objects.type_name(*exit);
  if (type != "builtin_function_or_method" && type != "method") return std::nullopt;
  const auto self = objects.image().read_pointer(offset_by(*exit, bound_self));
  if (!self) return std::nullopt;
  return WithMarker{*exit, *self, 0};
}

// To 3.10: the block stack. The block is pushed after __enter__ returned, so a waiter has none.
std::vector<WithMarker> markers_from_blocks(const Objects& objects, const PythonFrame& frame) {
  const Layout& layout = objects.layout();
  const MemoryImage& image = objects.image();
  std::vector<WithMarker> markers;
  const auto count = image.read<std::int32_t>(offset_by(frame.at, layout.frame_iblock));
  const auto stack = image.read_pointer(offset_by(frame.at, layout.frame_valuestack));
  if (!count || !stack || *count < 0 || *count > 20) return markers;  // CO_MAXBLOCKS
  for (std::int32_t i = *count; i-- > 0;) {
    struct Block {
      std::int32_t type, handler, level;
    };
    const auto block = image.read<Block>(offset_by(frame.at, layout.frame_blockstack + i * 12));
    if (!block || block->type != setup_finally || block->level < 1 || block->level > most_slots)
      continue;
    const std::int64_t at = std::int64_t{block->handler} * (layout.lasti_is_index() ? 2 : 1);
    if (original_opcode(objects, *frame.code, at) != layout.op_with_except_start) continue;
    if (const auto marker =
            marker_at(objects, offset_by(*stack, (std::int64_t{block->level} - 1) * 8))) {
      markers.push_back(*marker);
      markers.back().handler = at;
    }
  }
  return markers;
}

// From 3.11: the chain of handlers that cover the instruction, from the exception table.
std::vector<WithMarker> markers_from_table(const Objects& objects, const PythonFrame& frame) {
  const Layout& layout = objects.layout();
  std::vector<WithMarker> markers;
  std::set<std::int64_t> visited;
  const Addr base = offset_by(frame.at, layout.frame_locals + std::int64_t{frame.code->locals} * 8);
  const std::int32_t width = layout.tagged_slots() ? 2 : 1;
  std::int64_t offset = frame.lasti;
  while (const auto handler = find_handler(*frame.code, offset)) {
    if (!visited.insert(handler->target).second || visited.size() > 100) break;
    const bool with_body =
        original_opcode(objects, *frame.code, handler->target) == layout.op_push_exc_info &&
        original_opcode(objects, *frame.code, handler->target + 2) == layout.op_with_except_start;
    if (with_body && handler->depth >= width && handler->depth <= frame.code->stack_size) {
      if (const auto marker =
              marker_at(objects, offset_by(base, (std::int64_t{handler->depth} - width) * 8))) {
        markers.push_back(*marker);
        markers.back().handler = handler->target;
      }
    }
    offset = handler->target;
  }
  return markers;
}

}  // namespace

// What the frame itself says: stacktop, -1 in the innermost frame of a native call (3.11 to 3.13);
// stackpointer, null while the frame's own instructions run (3.14 on).
std::optional<std::int32_t> find_live_slots(const Objects& objects, const PythonFrame& frame) {
  const Layout& layout = objects.layout();
  const std::int64_t most = std::int64_t{frame.code->locals} + frame.code->stack_size;
  std::int64_t live = -1;
  if (layout.frame_stackpointer >= 0) {
    const auto top = objects.image().read_pointer(offset_by(frame.at, layout.frame_stackpointer));
    const Addr first = offset_by(frame.at, layout.frame_locals);
    if (!top || *top < first || top->value % 8 != 0) return std::nullopt;
    live = static_cast<std::int64_t>((top->value - first.value) / 8);
  } else if (layout.frame_stacktop >= 0) {
    live =
        objects.image().read<std::int32_t>(offset_by(frame.at, layout.frame_stacktop)).value_or(-1);
  }
  if (live < frame.code->locals || live > most || live > most_slots) return std::nullopt;
  return static_cast<std::int32_t>(live);
}

std::vector<Addr> read_slots(const Objects& objects, const PythonFrame& frame) {
  const Layout& layout = objects.layout();
  const std::int32_t count =
      find_live_slots(objects, frame)
          .value_or(std::clamp(frame.code->locals + frame.code->stack_size + 16, 0, most_slots));
  std::vector<Addr> slots;
  for (std::int32_t done = 0; done < count;) {
    const Bytes bytes =
        objects.image().view(offset_by(frame.at, layout.frame_locals + std::int64_t{done} * 8),
                             static_cast<Size>(count - done) * 8);
    if (bytes.size() < 8) break;
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8, ++done) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, sizeof word);
      const auto value = untag_slot(word, layout.tagged_slots());
      if (value && value->value % 8 == 0) slots.push_back(*value);
    }
  }
  return slots;
}

std::optional<LockObject> read_lock(const Objects& objects, Addr at) {
  const std::string& type = objects.type_name(at);
  const bool recursive = type == "_thread.RLock";
  if (type != "_thread.lock" && !recursive) return std::nullopt;
  const MemoryImage& image = objects.image();
  LockObject lock;
  lock.at = at;
  lock.recursive = recursive;
  // PyMutex: bit 0 locked, bit 1 has waiters. 3.14's RLock: a _PyRecursiveMutex, its level one less
  // than its depth.
  if (objects.type_basic_size(at) == (recursive ? 40 : 24)) {
    lock.word = offset_by(at, object_body);
    const auto byte = image.read<std::uint8_t>(lock.word);
    if (!byte) return std::nullopt;
    lock.locked = (*byte & 1) != 0;
    if (recursive) lock.owner = image.read<std::uint64_t>(offset_by(at, 24)).value_or(0);
    if (lock.owner != 0) lock.count = image.read<std::uint64_t>(offset_by(at, 32)).value_or(0) + 1;
    return lock;
  }
  const auto semaphore = image.read_pointer(offset_by(at, object_body));
  if (!semaphore) return std::nullopt;
  lock.word = *semaphore;
  const auto value = image.read<std::uint32_t>(*semaphore);
  if (!value) return std::nullopt;
  lock.locked = *value == 0;
  if (recursive) {
    lock.owner = image.read<std::uint64_t>(offset_by(at, 24)).value_or(0);
    lock.count = image.read<std::uint64_t>(offset_by(at, 32)).value_or(0);
  }
  return lock;
}

std::vector<WithMarker> find_with_markers(const Objects& objects, const PythonFrame& frame) {
  return objects.layout().code_exceptiontable >= 0 ? markers_from_table(objects, frame)
                                                   : markers_from_blocks(objects, frame);
}

Addr awaited_word(const View& view, std::size_t core_thread, const FutexWait& futex) {
  // 3.13.1+: the thread sleeps on a semaphore inside a wait_entry on its own stack, linked into a
  // bucket of the parking lot; the address parked on stands 8 bytes before (Python/parking_lot.c).
  const Addr sp = view.core.threads[core_thread].registers.at(Registers::rsp);
  if (futex.address <= sp || futex.address.value - sp.value > 4096) return futex.address;
  const auto parked = view.image.read_pointer(offset_by(futex.address, -8));
  const auto next = view.image.read_pointer(offset_by(futex.address, 32));
  if (!parked || !next) return futex.address;
  const auto back = view.image.read_pointer(offset_by(*next, 8));
  return back && *back == offset_by(futex.address, 32) ? *parked : futex.address;
}

std::optional<LockObject> find_awaited_lock(const Objects& objects, const PyThread& thread,
                                            Addr word) {
  std::size_t looked = 0;
  for (const auto& run : thread.runs) {
    for (const PythonFrame& frame : run) {
      if (++looked > 3) return std::nullopt;
      for (const Addr slot : read_slots(objects, frame)) {
        Addr candidate = slot;
        const std::string& type = objects.type_name(slot);
        if (type == "builtin_function_or_method" || type == "method") {
          const auto self = objects.image().read_pointer(offset_by(slot, bound_self));
          if (!self) continue;
          candidate = *self;
        }
        const auto lock = read_lock(objects, candidate);
        if (lock && lock->word == word) return lock;
      }
    }
  }
  return std::nullopt;
}

std::optional<Addr> find_self(const Objects& objects, const PythonFrame& frame) {
  if (frame.code->locals < 1) return std::nullopt;
  const auto names = read_local_names(objects, frame.code->at);
  if (names.empty() || names[0] != "self") return std::nullopt;
  const auto value = objects.read_slot(offset_by(frame.at, objects.layout().frame_locals));
  if (!value) return std::nullopt;
  if (objects.type_name(*value) == "cell") {
    const auto inside = objects.image().read_pointer(offset_by(*value, object_body));
    return inside && inside->value != 0 ? std::optional(*inside) : std::nullopt;
  }
  return *value;
}

std::string name_in_frame(const Objects& objects, const PythonFrame& frame, Addr object) {
  const Layout& layout = objects.layout();
  std::string found;
  const auto name_of = [&](Addr key) {
    return clean_text(objects.read_str(key).value_or("?"), 256);
  };
  if (const auto self = find_self(objects, frame)) {
    objects.each_attribute(*self, [&](Addr key, Addr value) {
      if (value == object) found = objects.type_name(*self) + "." + name_of(key);
      return found.empty();
    });
  }
  if (!found.empty()) return found;
  std::size_t looked = 0;
  const auto globals = objects.image().read_pointer(offset_by(frame.at, layout.frame_globals));
  if (globals) {
    objects.each_item(*globals, [&](Addr key, Addr value) {
      if (value == object) found = name_of(key);
      return found.empty() && ++looked < 10'000;
    });
  }
  if (!found.empty()) return found;
  const auto names = read_local_names(objects, frame.code->at);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto value = objects.read_slot(
        offset_by(frame.at, layout.frame_locals + static_cast<std::int64_t>(i * 8)));
    if (!value) continue;
    if (*value == object) return clean_text(names[i], 256);
    if (objects.type_name(*value) != "cell") continue;
    const auto inside = objects.image().read_pointer(offset_by(*value, object_body));
    if (inside && *inside == object) return clean_text(names[i], 256);
  }
  return {};
}

}  // namespace coldcase::cpython
