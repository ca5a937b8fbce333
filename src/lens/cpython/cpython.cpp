#include "lens/cpython/cpython.hpp"

#include <algorithm>

#include "base/rings.hpp"
#include "base/text.hpp"
#include "lens/cpython/children.hpp"
#include "lens/cpython/lens_parts.hpp"

namespace coldcase::cpython {

Frame label_of(const std::string& function, const std::string& file, std::uint32_t line) {
  Frame frame;
  frame.kind = FrameKind::python;
  frame.trust = Trust::interpreter;
  frame.function = clean_text(function);
  frame.file = clean_text(shorten_home(file));
  if (line != 0) frame.line = line;
  frame.in_app = ring_of_python(file) == Ring::application;
  return frame;
}

namespace {

using Labels = std::map<std::pair<std::uint64_t, std::uint32_t>, std::uint32_t>;  // code, line

InterpretedRun label_run(const std::vector<PythonFrame>& frames, Labels& labels,
                         StackBuilder& builder) {
  InterpretedRun run;
  for (const PythonFrame& frame : frames) {
    const auto [at, fresh] = labels.try_emplace({frame.code->at.value, frame.line});
    if (fresh)
      at->second = builder.add_frame(label_of(frame.code->name, frame.code->file, frame.line));
    run.frames.push_back(at->second);
  }
  return run;
}

// Every state of a core's thread; of one thread's the inner before the outer.
std::vector<const PyThread*> states_inside_out(const Runtime& runtime) {
  std::vector<const PyThread*> states;
  for (const Interpreter& interpreter : runtime.interpreters) {
    for (const PyThread& state : interpreter.threads) {
      if (state.core_thread) states.push_back(&state);
    }
  }
  std::ranges::stable_sort(states, {}, &PyThread::inner_frames);
  return states;
}

}  // namespace

PythonFacts read_python(const View& view, const Pthreads& pthreads, const NativeWaits& native) {
  PythonFacts facts;
  facts.python = Python::open(view, pthreads, facts.problems);
  if (!facts.python || facts.python->runtime.layout == nullptr) return facts;
  facts.gil_waits = find_gil_waits(view, facts.python->runtime, native);
  for (const GilWait& wait : facts.gil_waits) {
    if (auto callback = find_callback(view, *facts.python, wait)) {
      facts.callbacks.emplace(wait.core_thread, std::move(*callback));
    }
  }
  return facts;
}

std::vector<Interpreted> interpret(const PythonFacts& facts, std::size_t thread_count,
                                   StackBuilder& builder) {
  std::vector<Interpreted> all(thread_count);
  if (!facts.python) return all;
  Labels labels;
  for (const PyThread* state : states_inside_out(facts.python->runtime)) {
    Interpreted& thread = all[*state->core_thread];
    for (std::size_t r = 0; r < state->runs.size(); ++r) {
      InterpretedRun run = label_run(state->runs[r], labels, builder);
      if (r < state->anchors.size()) run.anchor = state->anchors[r];
      thread.runs.push_back(std::move(run));
    }
  }
  for (const GilWait& wait : facts.gil_waits) {
    const auto callback = facts.callbacks.find(wait.core_thread);
    if (callback == facts.callbacks.end() || !wait.ensure) continue;
    Frame frame = label_of(callback->second.name + std::string(pending_suffix),
                           callback->second.file, callback->second.line);
    all[wait.core_thread].pending[*wait.ensure] = builder.add_frame(frame);
  }
  return all;
}

void look_at_cpython(const View& view, const PythonFacts& facts, const Pthreads& pthreads,
                     const NativeWaits& native, const std::vector<StackMap>& stacks,
                     Ledger& ledger) {
  for (const Unread& problem : facts.problems)
    ledger.add_note("python-unread", Severity::warning, problem.text, {}, problem.advice);
  if (!facts.python) return;
  if (const auto& missing = facts.python->runtime.missing)
    ledger.add_note("python-file-missing", Severity::warning, missing->text, {}, missing->advice);
  LensContext context{view, facts, pthreads, native, stacks, ledger, {}};
  add_runtime(context);
  if (facts.python->runtime.layout == nullptr) return;
  name_threads(context);
  add_gil(context);
  add_lock_waits(context);
  add_futures(context);
  add_busy_databases(context);
  add_multiprocessing_waits(context);
  add_child_pipes(context);
  add_lock_holders(context);
  add_finalizers(context);
  add_tasks(context);
  add_finalization(context);
  add_signal_handlers(context);
  add_labels(context);
}

}  // namespace coldcase::cpython
