#include "lens/cpython/coroutines.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_links = 2'000;  // of one chain: Python's recursion limit is 1,000

// The first pointer behind the object's header: PyCoroWrapper.cw_coroutine,
// futureiterobject.future, PyAsyncGenASend.ags_gen and PyAsyncGenAThrow.agt_gen.
constexpr std::int64_t wrapped_object = 16;

bool has_frame(std::string_view type) {
  return type == "coroutine" || type == "generator" || type == "async_generator";
}

}  // namespace

Addr Coroutines::frame_of(Addr coroutine) const {
  const Objects& objects = python_.objects();
  if (!has_frame(objects.type_name(coroutine))) return {};
  if (layout_.gen_iframe >= 0) return offset_by(coroutine, layout_.gen_iframe);
  return objects.image().read_pointer(offset_by(coroutine, layout_.gen_frame)).value_or(Addr{});
}

Coroutines::State Coroutines::state_of(Addr coroutine, Addr frame) const {
  const MemoryImage& image = python_.objects().image();
  if (frame.value == 0) return State::ended;
  // 3.10 has it in its frame (f_state), later versions in gi_frame_state.
  if (layout_.gen_state >= 0 || layout_.frame_state >= 0) {
    const auto state =
        image.read<std::int8_t>(layout_.gen_state >= 0 ? offset_by(coroutine, layout_.gen_state)
                                                       : offset_by(frame, layout_.frame_state));
    if (!state || *state > layout_.state_running || *state < layout_.state_created)
      return State::ended;
    if (*state == layout_.state_running) return State::running;
    return *state == layout_.state_created ? State::created : State::suspended;
  }
  const auto running = image.read<std::uint8_t>(offset_by(coroutine, layout_.gen_running));
  if (!running) return State::ended;
  if (*running != 0) return State::running;
  const auto lasti =
      image.read<std::int32_t>(offset_by(frame, python_.runtime.layout->frame_lasti));
  return lasti && *lasti < 0 ? State::created : State::suspended;
}

// On top of a suspended frame's value stack (reference 3.7).
Addr Coroutines::awaited_by(const PythonFrame& frame) const {
  const Layout& layout = *python_.runtime.layout;
  const MemoryImage& image = python_.objects().image();
  const std::int32_t capacity = frame.code->stack_size;
  if (layout_.frame_stack_top >= 0) {
    const auto top = image.read_pointer(offset_by(frame.at, layout_.frame_stack_top));
    const auto bottom = image.read_pointer(offset_by(frame.at, layout.frame_valuestack));
    if (!top || !bottom || *top <= *bottom) return {};
    if (top->value - bottom->value > static_cast<std::uint64_t>(capacity) * 8) return {};
    return image.read_pointer(offset_by(*top, -8)).value_or(Addr{});
  }
  if (layout_.frame_stack_depth >= 0) {
    const auto depth = image.read<std::int32_t>(offset_by(frame.at, layout_.frame_stack_depth));
    const auto bottom = image.read_pointer(offset_by(frame.at, layout.frame_valuestack));
    if (!depth || !bottom || *depth <= 0 || *depth > capacity) return {};
    return image.read_pointer(offset_by(*bottom, (std::int64_t{*depth} - 1) * 8)).value_or(Addr{});
  }
  if (layout.frame_stackpointer >= 0) {
    // 3.15 leaves an empty slot above it.
    const auto top = image.read_pointer(offset_by(frame.at, layout.frame_stackpointer));
    const Addr bottom =
        offset_by(frame.at, layout.frame_locals + std::int64_t{frame.code->locals} * 8);
    for (std::int64_t back = 8; back <= 16; back += 8) {
      if (!top || top->value < bottom.value + static_cast<std::uint64_t>(back)) return {};
      if (const auto value = python_.objects().read_slot(offset_by(*top, -back))) return *value;
    }
    return {};
  }
  if (layout_.frame_stack_index < 0) return {};
  const auto index = image.read<std::int32_t>(offset_by(frame.at, layout_.frame_stack_index));
  if (!index || *index <= frame.code->locals || *index > frame.code->locals + capacity) return {};
  return image
      .read_pointer(offset_by(frame.at, layout.frame_locals + (*index - 1) * std::int64_t{8}))
      .value_or(Addr{});
}

// What stands between an awaiting frame and the coroutine or future it awaits.
Addr Coroutines::unwrap(Addr awaited) const {
  const Objects& objects = python_.objects();
  const std::string& type = objects.type_name(awaited);
  const bool wraps = type == "coroutine_wrapper" || type == "_asyncio.FutureIter" ||
                     type == "async_generator_asend" || type == "async_generator_athrow";
  if (!wraps) return awaited;
  return objects.image().read_pointer(offset_by(awaited, wrapped_object)).value_or(Addr{});
}

// To 3.10 only the coroutine knows its qualified name.
void Coroutines::qualify(Addr coroutine, const PythonFrame& frame) const {
  if (frame.code->qualified) return;
  const Objects& objects = python_.objects();
  const auto name = objects.image().read_pointer(offset_by(coroutine, layout_.gen_qualname));
  const auto text = name ? objects.read_str(*name) : Read<std::string>(std::string{});
  if (text && !text->empty()) python_.codes().qualify(frame.code->at, *text);
}

AwaitChain Coroutines::read_chain(Addr coroutine) const {
  AwaitChain chain;
  std::set<Addr> seen;
  for (Addr at = coroutine;;) {
    if (at.value == 0 || !has_frame(python_.objects().type_name(at))) {
      chain.awaited = at;
      break;
    }
    const Addr frame_at = frame_of(at);
    const State state = state_of(at, frame_at);
    const auto frame = state == State::ended ? std::nullopt : python_.read_frame(frame_at);
    if (!frame || !seen.insert(at).second || seen.size() > most_links) {
      chain.whole = state == State::ended && !frame && !chain.frames.empty();
      break;
    }
    qualify(at, *frame);
    chain.frames.push_back(*frame);
    if (state == State::running) chain.running = true;
    if (state == State::created && chain.frames.size() == 1) chain.started = false;
    if (state != State::suspended) break;
    at = unwrap(awaited_by(*frame));
  }
  std::ranges::reverse(chain.frames);
  return chain;
}

}  // namespace coldcase::cpython
