#include "lens/stacks.hpp"

#include <algorithm>

#include "base/rings.hpp"
#include "base/text.hpp"
#include "lens/basics.hpp"
#include "lens/fold.hpp"

namespace coldcase {
namespace {

std::string_view code_of(StopCode code) {
  switch (code) {
    case StopCode::outermost:
      return "outermost";
    case StopCode::unreadable:
      return "unreadable";
    case StopCode::did_not_advance:
      return "did_not_advance";
    case StopCode::no_unwind_info:
      return "no_unwind_info";
    case StopCode::limit:
      return "limit";
    case StopCode::no_stack:
      return "no_stack";
  }
  return "unknown";
}

void set_stop(const Stop& stop, Stack& stack) {
  stack.stop_code = code_of(stop.code);
  if (stop.code == StopCode::outermost) return;
  stack.stop_address = stop.address;
  if (stop.fault) {
    stack.stop_address = stop.fault->address;
    stack.stop_text = std::string(text_of(stop.fault->why));
  }
}

// A key for finding an equal label: what is shown of it.
std::string key_of(const Frame& frame) {
  std::string key(word(frame.kind));
  for (const std::string* part : {&frame.function, &frame.file}) {
    key += '\0';
    key += *part;
  }
  key += '\0';
  key += std::to_string(frame.line.value_or(0));
  key += '\0';
  key += std::to_string(frame.module.index);
  key += '\0';
  key += hex(frame.pc.value_or(Addr{}).value);
  key += word(frame.trust);
  if (frame.times) key += "x" + std::to_string(*frame.times);
  if (frame.of) key += "of" + std::to_string(*frame.of);
  return key;
}

}  // namespace

StackBuilder::StackBuilder(const View& view, Ledger& ledger) : view_(view), ledger_(ledger) {
  for (const CodeName& name : view.threads.names) {
    evaluates_.push_back(name.symbol.starts_with("_PyEval_EvalFrameDefault"));
  }
}

std::uint32_t StackBuilder::add_frame(const Frame& frame) {
  const auto [at, fresh] =
      frames_.try_emplace(key_of(frame), static_cast<std::uint32_t>(ledger_.facts.frames.size()));
  if (fresh) ledger_.facts.frames.push_back(frame);
  return at->second;
}

const std::vector<std::uint32_t>& StackBuilder::labels_of_row(std::uint32_t index, Trust trust) {
  const auto [at, fresh] = labels_.try_emplace({index, trust});
  if (!fresh) return at->second;
  const Row& row = view_.threads.rules.row(index);
  const CodeName& name = view_.threads.names[index];
  Frame frame;
  frame.trust = trust;
  frame.pc = row.pc;
  if (name.module != nullptr) {
    frame.module = view_.module_id(name.module);
    frame.module_offset = Addr{row.pc.value - name.module->range.begin.value};
    frame.in_app = ring_of_module(name.module->path) == Ring::application;
  }
  for (const InlineName& inlined : name.inlines) {
    Frame inner = frame;
    inner.kind = FrameKind::inline_;
    inner.function = inlined.function;
    inner.file = inlined.where.file;
    // Code of a system header inlined into the user's is not the user's own.
    const bool system = is_standard_library(inner.function) ||
                        inner.file.starts_with("/usr/include/") ||
                        inner.file.find("/include/c++/") != std::string::npos;
    if (system) inner.in_app = false;
    if (inlined.where.line != 0) inner.line = inlined.where.line;
    at->second.push_back(add_frame(inner));
  }
  frame.kind = row.signal_frame ? FrameKind::signal : FrameKind::native;
  frame.named_by_debug_file = name.from_debug_file;
  frame.function = clean_text(name.function, 2048);
  const bool library = name.where.file.empty() && is_c_library(frame.function) &&
                       has_c_library_linked_in(view_.modules);
  if (library || is_standard_library(frame.function)) frame.in_app = false;
  if (name.symbol != name.function) frame.symbol = name.symbol;
  if (!name.symbol.empty() && row.pc >= name.start)
    frame.symbol_offset = row.pc.value - name.start.value;
  frame.file = name.where.file;
  if (name.where.line != 0) frame.line = name.where.line;
  at->second.push_back(add_frame(frame));
  return at->second;
}

// Where each run belongs by its anchor: the walk's frame in whose memory that lies. A stripped or
// profile-optimised interpreter has no name there (Debian's 3.14 and 3.15: their evaluation loop is
// in a part of its own without a symbol).
static std::vector<std::size_t> place_by_anchors(const Walk& walk, const Interpreted& interpreted) {
  std::vector<std::size_t> places;
  std::size_t at = 0;
  for (const InterpretedRun& run : interpreted.runs) {
    while (at < walk.frames.size() && walk.frames[at].cfa <= run.anchor.value) ++at;
    const bool inside = at < walk.frames.size() &&
                        (at == 0 || walk.frames[at - 1].cfa <= run.anchor.value) &&
                        (places.empty() || places.back() < at);
    if (run.anchor.value == 0 || !inside) return {};
    places.push_back(at);
  }
  return places;
}

// The walk's frame of each run, innermost first; all by anchors, or as many as there are by names.
std::vector<std::size_t> StackBuilder::place_runs(const Walk& walk,
                                                  const Interpreted& interpreted) const {
  auto places = place_by_anchors(walk, interpreted);
  if (!places.empty()) return places;
  for (std::size_t i = 0; i < walk.frames.size(); ++i) {
    if (runs_python(walk.frames[i].row)) places.push_back(i);
  }
  // A computing thread caught where its evaluation loop has been called and has no frame yet, or no
  // more, as in the check of its result that ends it up to 3.10: every other one of them has called
  // something since, and has its frame.
  const auto leaves = [&](std::size_t loop) {
    return loop == 0 || view_.threads.name_of(walk.frames[loop - 1])
                            .symbol.starts_with("_Py_CheckFunctionResult");  // or its stub
  };
  if (places.size() == interpreted.runs.size() + 1 && leaves(places.front()))
    places.erase(places.begin());
  return places;
}

// The maps lead on to the frame that is shown for one left out.
void StackBuilder::fold(Stack& stack, StackMap& map) {
  FoldedStack folded = fold_repeats(stack.frames, [this](const Repeat& repeat) {
    Frame frame;
    frame.kind = FrameKind::repeat;
    frame.times = repeat.times;
    frame.of = repeat.of;
    return add_frame(frame);
  });
  if (folded.frames.empty()) return;
  stack.frames = std::move(folded.frames);
  for (std::uint32_t& at : map.native_at) at = folded.at[at];
  for (std::uint32_t& at : map.python_at) at = folded.at[at];
}

StackMap StackBuilder::build(std::size_t core_thread, ThreadId thread,
                             const Interpreted& interpreted) {
  const Walk& walk = view_.threads.walks[core_thread];
  StackMap map;
  Stack stack;
  std::size_t run = 0;
  const auto add_run = [&] {
    for (const std::uint32_t frame : interpreted.runs[run].frames) {
      map.python_at.push_back(static_cast<std::uint32_t>(stack.frames.size()));
      stack.frames.push_back(frame);
    }
    ++run;
  };
  std::vector<std::size_t> places;
  if (!interpreted.runs.empty()) places = place_runs(walk, interpreted);
  for (std::size_t i = 0; i < walk.frames.size(); ++i) {
    const WalkFrame& frame = walk.frames[i];
    if (run < std::min(places.size(), interpreted.runs.size()) && places[run] == i) add_run();
    const auto& labels = labels_of_row(frame.row, frame.trust);
    stack.frames.insert(stack.frames.end(), labels.begin(), labels.end());
    map.native_at.push_back(static_cast<std::uint32_t>(stack.frames.size() - 1));
    const auto pending = interpreted.pending.find(i);
    if (pending != interpreted.pending.end()) stack.frames.push_back(pending->second);
  }
  if (!interpreted.runs.empty()) {
    stack.merge = places.size() == interpreted.runs.size() ? Merge::exact : Merge::unsure;
  }
  while (run < interpreted.runs.size()) add_run();
  if (stack.merge == Merge::exact) map.run_at = std::move(places);
  stack.depth = stack.frames.size();
  fold(stack, map);
  set_stop(walk.stop, stack);
  const auto [at, fresh] = known_.try_emplace(
      stack.frames, StackId{static_cast<std::uint32_t>(ledger_.facts.stacks.size())});
  if (fresh) ledger_.facts.stacks.push_back(std::move(stack));
  ledger_.thread(thread).stack = at->second;
  return map;
}

}  // namespace coldcase
