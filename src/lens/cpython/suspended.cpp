#include "lens/cpython/suspended.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace coldcase::cpython {
namespace {

// PyGenObject (Include/genobject.h from 3.6, Include/internal/pycore_frame.h from 3.11) and what a
// suspended frame says of itself: to 3.10 the generator points to its frame and that frame tells,
// from 3.11 on the frame lies inside the generator, which has gi_frame_state.
struct Shape {
  int minor;
  std::int32_t frame;  // gi_frame, or gi_iframe
  bool embedded;
  std::int32_t state;                    // of the generator, or of its frame (3.10); -1: none
  std::array<std::int8_t, 2> suspended;  // values of that: yielded, delegating
  std::int32_t stack_top;                // of the frame
  enum class Top : std::uint8_t { pointer, depth, index } top;  // what stands there
};

constexpr std::array shapes{
    Shape{6, 16, false, -1, {}, 72, Shape::Top::pointer},
    Shape{7, 16, false, -1, {}, 72, Shape::Top::pointer},
    Shape{8, 16, false, -1, {}, 72, Shape::Top::pointer},
    Shape{9, 16, false, -1, {}, 72, Shape::Top::pointer},
    Shape{10, 16, false, 108, {-1, -1}, 80, Shape::Top::depth},
    Shape{11, 80, true, 75, {-1, -1}, 64, Shape::Top::index},
    Shape{12, 72, true, 67, {-1, -1}, 64, Shape::Top::index},
    Shape{13, 72, true, 67, {-2, -1}, 64, Shape::Top::index},
    Shape{14, 72, true, 67, {-2, -1}, 64, Shape::Top::pointer},
    Shape{15, 72, true, 67, {1, 2}, 64, Shape::Top::pointer},
};

const Shape* shape_of(const Objects& objects) {
  const auto at = std::ranges::find(shapes, objects.layout().minor, &Shape::minor);
  return at == shapes.end() ? nullptr : &*at;
}

constexpr std::size_t most_delegations = 64;
constexpr std::int32_t most_slots = 4096;

Addr stack_base(const Objects& objects, const PythonFrame& frame) {
  const Layout& layout = objects.layout();
  if (layout.frame_valuestack >= 0) {
    return objects.image()
        .read_pointer(offset_by(frame.at, layout.frame_valuestack))
        .value_or(Addr{});
  }
  return offset_by(frame.at, layout.frame_locals + std::int64_t{frame.code->locals} * 8);
}

// How many values lie on it.
std::int64_t stack_depth(const Objects& objects, const Shape& shape, const PythonFrame& frame) {
  const MemoryImage& image = objects.image();
  const Addr at = offset_by(frame.at, shape.stack_top);
  std::int64_t depth = 0;
  if (shape.top == Shape::Top::pointer) {  // null while the frame runs
    const Addr top = image.read_pointer(at).value_or(Addr{});
    const Addr base = stack_base(objects, frame);
    depth = top < base ? 0 : static_cast<std::int64_t>((top.value - base.value) / 8);
  } else {
    depth = image.read<std::int32_t>(at).value_or(0);
    if (shape.top == Shape::Top::index) depth -= frame.code->locals;
  }
  return depth > 0 && depth <= frame.code->stack_size ? std::min<std::int64_t>(depth, most_slots)
                                                      : 0;
}

bool is_suspended(const Objects& objects, const Shape& shape, Addr generator, Addr frame) {
  const MemoryImage& image = objects.image();
  if (shape.state < 0) {  // to 3.9: the stack's top is saved while it does not run
    return image.read_pointer(offset_by(frame, shape.stack_top)).value_or(Addr{}).value != 0 &&
           image.read<std::uint8_t>(offset_by(generator, 24)).value_or(1) == 0;  // gi_running
  }
  const auto state =
      image.read<std::int8_t>(offset_by(shape.embedded ? generator : frame, shape.state));
  return state && std::ranges::find(shape.suspended, *state) != shape.suspended.end();
}

}  // namespace

bool is_generator(const Objects& objects, Addr object) {
  const std::string& type = objects.type_name(object);
  return type == "generator" || type == "coroutine" || type == "async_generator";
}

std::optional<PythonFrame> read_suspended(Python& python, Addr generator) {
  const Objects& objects = python.objects();
  const Shape* shape = shape_of(objects);
  if (shape == nullptr || !is_generator(objects, generator)) return std::nullopt;
  Addr at = offset_by(generator, shape->frame);
  if (!shape->embedded) {
    at = objects.image().read_pointer(at).value_or(Addr{});  // null when it has ended
    if (at.value == 0) return std::nullopt;
  }
  if (!is_suspended(objects, *shape, generator, at)) return std::nullopt;
  auto frame = python.read_frame(at);
  if (!frame || frame->lasti < 0) return std::nullopt;
  return frame;
}

std::vector<Addr> read_suspended_stack(const Objects& objects, const PythonFrame& frame) {
  std::vector<Addr> values;
  const Shape* shape = shape_of(objects);
  if (shape == nullptr) return values;
  const Addr base = stack_base(objects, frame);
  const std::int64_t depth = stack_depth(objects, *shape, frame);
  for (std::int64_t i = 0; i < depth; ++i) {
    // From 3.15 on an empty slot lies above what is delegated to.
    if (const auto value = objects.read_slot(offset_by(base, i * 8))) values.push_back(*value);
  }
  return values;
}

std::vector<PythonFrame> read_delegation(Python& python, Addr generator) {
  std::vector<PythonFrame> frames;
  std::set<Addr> seen;
  for (Addr at = generator; frames.size() < most_delegations && seen.insert(at).second;) {
    const auto frame = read_suspended(python, at);
    if (!frame) break;
    frames.push_back(*frame);
    const auto values = read_suspended_stack(python.objects(), *frame);
    if (values.empty() || !is_generator(python.objects(), values.back())) break;
    at = values.back();
  }
  return frames;
}

std::vector<WithMarker> find_suspended_markers(Python& python, Addr generator) {
  std::vector<WithMarker> markers;
  for (const PythonFrame& frame : read_delegation(python, generator)) {
    const auto own = find_with_markers(python.objects(), frame);
    markers.insert(markers.end(), own.rbegin(), own.rend());
  }
  return markers;
}

// Where loops and with blocks begin that the frame is in: each loop leaves its iterator on the
// stack, each with block its exit (from 3.14 on a pair), in the order in which they were entered.
std::vector<Addr> read_iterators(Lookup& lookup, const PythonFrame& frame) {
  const Objects& objects = lookup.objects();
  std::vector<Addr> iterators;
  const Addr base = stack_base(objects, frame);
  const auto slot = [&](std::int64_t index) {
    return objects.read_slot(offset_by(base, index * 8)).value_or(Addr{});
  };
  bool any = false;
  const std::int32_t slots = std::clamp(frame.code->stack_size, 0, 64);
  for (std::int32_t i = 0; i < slots && !any; ++i) any = is_generator(objects, slot(i));
  if (!any) return iterators;
  const Routine& routine = lookup.text_of(*frame.code).routine;
  std::set<std::int32_t> blocks;
  for (const WithMarker& marker : find_with_markers(objects, frame)) {
    const auto entry = find_with_entry(routine, marker.handler);
    if (entry) blocks.insert(routine.instructions[*entry].begin);
  }
  const std::int64_t width = routine.minor >= 14 ? 2 : 1;
  std::int64_t loops = 0;
  for (const Instruction& one : routine.instructions) {
    if (one.op != Op::for_iter || frame.lasti < one.begin || frame.lasti >= one.target) continue;
    const auto outside =
        std::ranges::count_if(blocks, [&](std::int32_t begin) { return begin < one.begin; });
    const Addr iterator = slot(loops++ + outside * width);
    if (is_generator(objects, iterator)) iterators.push_back(iterator);
  }
  return iterators;
}

}  // namespace coldcase::cpython
