// A thread's Python frames: from the thread state to the outermost, cut where native code lies
// between them.
#include <algorithm>
#include <utility>

#include "image/walk.hpp"
#include "lens/cpython/cframes.hpp"
#include "lens/cpython/locks.hpp"
#include "lens/cpython/runtime.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_python_frames = 100'000;

// _PyInterpreterFrame.owner. From 3.12 on a frame of the third kind marks where native code called
// the evaluation function; 3.14 calls it the interpreter's and adds one of the C stack.
constexpr std::uint8_t owned_by_generator = 1, owned_by_c_stack = 3;

}  // namespace

std::optional<PythonFrame> Python::read_frame(Addr at) {
  const Layout& layout = *runtime.layout;
  const MemoryImage& image = objects_->image();
  const auto code = objects_->read_slot(offset_by(at, layout.frame_code));
  PythonFrame frame;
  frame.at = at;
  frame.code = code ? codes_->find(*code) : nullptr;
  if (frame.code == nullptr) return std::nullopt;
  if (layout.code_adaptive >= 0) {
    const auto instruction = image.read_pointer(offset_by(at, layout.frame_lasti));
    if (!instruction) return std::nullopt;
    frame.lasti = static_cast<std::int64_t>(instruction->value - frame.code->instructions.value);
    if (frame.lasti < -2 || frame.lasti > most_code) return std::nullopt;
  } else {
    const auto lasti = image.read<std::int32_t>(offset_by(at, layout.frame_lasti));
    if (!lasti) return std::nullopt;
    frame.lasti = layout.lasti_is_index() ? std::int64_t{*lasti} * 2 : *lasti;
  }
  frame.line = line_at(layout, *frame.code, frame.lasti);
  return frame;
}

// Still being set up: the interpreter itself shows no such frame (_PyFrame_IsIncomplete).
bool Python::is_incomplete(const PythonFrame& frame, std::uint8_t owner) const {
  return runtime.layout->code_firsttraceable >= 0 && owner != owned_by_generator &&
         frame.lasti < std::int64_t{frame.code->first_traceable} * 2;
}

// Where the walk over a thread's frames begins and ends.
struct FrameChain {
  Addr head;
  Addr base;                  // 3.15: below all calls, in the thread state itself; none of them
  Addr outer;                 // the frame that the second call runs, where calls have CFrames
  std::vector<Addr> cframes;  // innermost first
};

static FrameChain find_chain(const MemoryImage& image, const Layout& layout, Addr thread_state) {
  const auto read_head = [&](Addr at, std::int32_t offset) {
    return offset < 0 ? Addr{} : image.read_pointer(offset_by(at, offset)).value_or(Addr{});
  };
  FrameChain chain;
  if (layout.ts_cframe >= 0) chain.cframes = read_cframes(image, layout, thread_state);
  chain.base = read_head(thread_state, layout.ts_base_frame);
  const std::int32_t direct = std::max(layout.ts_frame, layout.ts_current_frame);
  if (direct >= 0) {
    chain.head = read_head(thread_state, direct);
    return chain;
  }
  const auto& cframes = chain.cframes;
  const Addr inner = cframes.empty() ? read_head(thread_state, layout.ts_cframe) : cframes.front();
  chain.head = frame_of(image, layout, inner);
  if (cframes.size() > 1) chain.outer = frame_of(image, layout, cframes[1]);
  return chain;
}

// To 3.10 every frame has a native call of its own.
void Python::read_frames(PyThread& thread) {
  const Layout& layout = *runtime.layout;
  const MemoryImage& image = objects_->image();
  FrameChain chain = find_chain(image, layout, thread.at);
  const bool marked = layout.frame_owner >= 0 && layout.frame_is_entry < 0;
  std::vector<PythonFrame> run;
  const auto end_run = [&] { thread.runs.push_back(std::exchange(run, {})); };
  const auto next = [&](Addr at) { return image.read_pointer(offset_by(at, layout.frame_back)); };
  walk_list(chain.head, most_python_frames, next, [&](Addr at) {
    if (at == chain.base) return false;
    const std::uint8_t owner =
        layout.frame_owner < 0
            ? 0
            : image.read<std::uint8_t>(offset_by(at, layout.frame_owner)).value_or(0);
    if (marked && owner >= owned_by_c_stack) {
      end_run();  // its own fields mean nothing
      thread.anchors.push_back(at);
      return true;
    }
    const auto frame = read_frame(at);
    if (frame && !is_incomplete(*frame, owner)) run.push_back(*frame);
    // The innermost call may not have marked its frame yet.
    const bool entry =
        layout.frame_is_entry >= 0 &&
        (image.read<std::uint8_t>(offset_by(at, layout.frame_is_entry)).value_or(0) != 0 ||
         (thread.runs.empty() && chain.outer.value != 0 &&
          next(at).value_or(Addr{}) == chain.outer));
    if (layout.frame_owner < 0 || entry) end_run();
    return true;
  });
  if (!run.empty()) end_run();
  if (layout.ts_cframe >= 0 && !marked) thread.anchors = std::move(chain.cframes);
  if (thread.anchors.size() != thread.runs.size()) thread.anchors.clear();
}

// The qualified name of the function with this code among what the frame references; empty when
// none is there.
std::string Python::find_qualified_name(const PythonFrame& frame, Addr code) const {
  const MemoryImage& image = objects_->image();
  for (const Addr slot : read_slots(*objects_, frame)) {
    Addr function = slot;
    if (objects_->type_name(slot) == "method") {
      function = image.read_pointer(offset_by(slot, 16)).value_or(Addr{});  // im_func
    }
    if (objects_->type_name(function) != "function") continue;
    const auto its_code = image.read_pointer(offset_by(function, runtime.layout->function_code));
    if (!its_code || *its_code != code) continue;
    const auto name = image.read_pointer(offset_by(function, runtime.layout->function_qualname));
    return name ? objects_->read_str(*name).value_or("") : std::string{};
  }
  return {};
}

// To 3.10 a code object has a bare name. The function that was called lies on its caller's value
// stack, alone or bound to an object, and has the qualified one.
void Python::qualify_names(const PyThread& thread) {
  const PythonFrame* inner = nullptr;
  for (const auto& run : thread.runs) {
    for (const PythonFrame& caller : run) {
      const PythonFrame* called = std::exchange(inner, &caller);
      if (called == nullptr || called->code->qualified) continue;
      std::string name = find_qualified_name(caller, called->code->at);
      if (!name.empty()) codes_->qualify(called->code->at, std::move(name));
    }
  }
}

}  // namespace coldcase::cpython
