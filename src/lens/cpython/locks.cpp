#include "lens/cpython/locks.hpp"

#include <algorithm>
#include <set>

#include "lens/cpython/values.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::int32_t setup_finally = 122;  // block type, opcode SETUP_FINALLY, 3.6 to 3.10
constexpr std::int32_t most_slots = 4096;

std::optional<WithMarker> marker_at(const Objects& objects, Addr slot) {
  const auto exit = objects.image().read_pointer(slot);
  if (!exit || exit->value == 0) return std::nullopt;
  const std::string& type = objects.type_name(*exit);
  if (type != "builtin_function_or_method" && type != "method") return std::nullopt;
  const auto self = objects.image().read_pointer(offset_by(*exit, bound_self));
  if (!self) return std::nullopt;
  return WithMarker{*exit, *self};
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
    const auto opcode = image.read<std::uint8_t>(offset_by(frame.code->instructions, at));
    if (!opcode || *opcode != layout.op_with_except_start) continue;
    if (const auto marker =
            marker_at(objects, offset_by(*stack, (std::int64_t{block->level} - 1) * 8))) {
      markers.push_back(*marker);
    }
  }
  return markers;
}

// From 3.11: the chain of handlers that cover the instruction, from the exception table.
std::vector<WithMarker> markers_from_table(const Objects& objects, const PythonFrame& frame) {
  const Layout& layout = objects.layout();
  const MemoryImage& image = objects.image();
  std::vector<WithMarker> markers;
  std::set<std::int64_t> visited;
  const Addr base = offset_by(frame.at, layout.frame_locals + std::int64_t{frame.code->locals} * 8);
  std::int64_t offset = frame.lasti;
  while (const auto handler = find_handler(*frame.code, offset)) {
    if (!visited.insert(handler->target).second || visited.size() > 100) break;
    const auto code = image.read<std::array<std::uint8_t, 4>>(
        offset_by(frame.code->instructions, handler->target));
    if (code && (*code)[0] == layout.op_push_exc_info &&
        (*code)[2] == layout.op_with_except_start && handler->depth >= 1 &&
        handler->depth <= frame.code->stack_size) {
      if (const auto marker =
              marker_at(objects, offset_by(base, (std::int64_t{handler->depth} - 1) * 8))) {
        markers.push_back(*marker);
      }
    }
    offset = handler->target;
  }
  return markers;
}

}  // namespace

std::vector<Addr> read_slots(const Objects& objects, const PythonFrame& frame) {
  const Layout& layout = objects.layout();
  const std::int32_t count =
      std::clamp(frame.code->locals + frame.code->stack_size + 16, 0, most_slots);
  std::vector<Addr> slots;
  for (std::int32_t i = 0; i < count; ++i) {
    const auto value = objects.image().read_pointer(
        offset_by(frame.at, layout.frame_locals + std::int64_t{i} * 8));
    if (!value) break;
    if (value->value != 0 && value->value % 8 == 0) slots.push_back(*value);
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
  if (!recursive &&
      objects.type_basic_size(at) == 24) {  // PyMutex: bit 0 locked, bit 1 has waiters
    lock.word = offset_by(at, object_body);
    const auto byte = image.read<std::uint8_t>(lock.word);
    if (!byte) return std::nullopt;
    lock.locked = (*byte & 1) != 0;
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

std::optional<Addr> find_self(const Objects& objects, const PythonFrame& frame) {
  if (frame.code->locals < 1) return std::nullopt;
  const auto names = read_local_names(objects, frame.code->at);
  if (names.empty() || names[0] != "self") return std::nullopt;
  const auto value =
      objects.image().read_pointer(offset_by(frame.at, objects.layout().frame_locals));
  if (!value || value->value == 0) return std::nullopt;
  if (objects.type_name(*value) == "cell") {
    const auto inside = objects.image().read_pointer(offset_by(*value, object_body));
    return inside && inside->value != 0 ? std::optional(*inside) : std::nullopt;
  }
  return *value;
}

}  // namespace coldcase::cpython
