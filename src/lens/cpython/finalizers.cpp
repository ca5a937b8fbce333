// Which threads are inside a finalizer, and whether the cyclic collector runs it. A finalizer is
// the outermost Python frame of a run that native code of the interpreter called because an object
// goes away; what is outside it is the line at which that happened (cpython.md 7).
#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "lens/cpython/containers.hpp"
#include "lens/cpython/lens_parts.hpp"

namespace coldcase::cpython {
namespace {

// The interpreter's functions by what they tell, 3.6 to 3.15; the compiler's suffixes are dropped.
constexpr std::array collecting_functions = std::to_array<std::string_view>(
    {"gc_collect_main", "gc_collect_region", "gc_collect_full", "gc_collect_internal",
     "gc_collect_young", "gc_collect_increment", "gc_collect_generations",
     "gc_collect_with_callback", "collect", "collect_generations", "collect_with_callback",
     "finalize_garbage", "handle_weakrefs", "delete_garbage", "_Py_RunGC",
     // To 3.11 a collection begins inside an allocation, and nothing else in these functions runs
     // Python code. They are exported: a stripped interpreter has their names.
     "_PyObject_GC_New", "_PyObject_GC_NewVar", "_PyObject_GC_Malloc", "_PyObject_GC_Calloc",
     "_PyObject_GC_Link", "gc_alloc", "PyType_GenericAlloc"});
constexpr std::array<std::string_view, 3> asking_functions{"gc_collect", "gc_collect_impl",
                                                           "PyGC_Collect"};
constexpr std::array<std::string_view, 8> finalizing_functions{
    "slot_tp_finalize",       "slot_tp_del",
    "PyObject_CallFinalizer", "PyObject_CallFinalizerFromDealloc",
    "_PyGen_Finalize",        "handle_callback",
    "handle_weakrefs",        "PyObject_ClearWeakRefs"};
constexpr std::array<std::string_view, 3> dropping_functions{"PyObject_CallFinalizerFromDealloc",
                                                             "subtype_dealloc", "_Py_Dealloc"};

template <class Names>
bool among(const Names& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

// What the native frames between two runs of Python frames say; `first` is the innermost that says
// that an object goes away.
struct Between {
  bool collecting = false, asked = false, finalizing = false, dropping = false;
  std::string_view role;
  bool nameless = false;  // some of the interpreter's own have no name
  std::optional<std::size_t> first;
};

void note_name(Between& between, std::string_view name, std::size_t frame) {
  name = name.substr(0, name.find('.'));
  const bool collecting = among(collecting_functions, name);
  between.collecting = between.collecting || collecting;
  between.asked = between.asked || among(asking_functions, name);
  between.finalizing = between.finalizing || among(finalizing_functions, name);
  between.dropping = between.dropping || among(dropping_functions, name);
  if (name == "_PyGen_Finalize") between.role = "the clean-up of a generator";
  if (name == "handle_callback" || name == "handle_weakrefs")
    between.role = "the callback of a weak reference";
  if (!between.first && (collecting || among(finalizing_functions, name))) between.first = frame;
}

// One more than there are runs: the last is outside all of them. Empty when the native walk and the
// runs do not agree.
std::vector<Between> read_between(const LensContext& context, std::size_t thread,
                                  std::size_t runs) {
  const auto& run_at = context.stacks[thread].run_at;
  if (run_at.size() != runs) return {};
  std::vector<Between> all(1);
  const auto& frames = context.view.threads.walks[thread].frames;
  for (std::size_t f = 0; f < frames.size(); ++f) {
    if (all.size() <= runs && run_at[all.size() - 1] == f) {
      all.emplace_back();
      continue;
    }
    const CodeName& name = context.view.threads.name_of(frames[f]);
    if (context.view.threads.rules.row(frames[f].row).module != context.runtime().module) continue;
    Between& between = all.back();
    for (const InlineName& inlined : name.inlines) note_name(between, inlined.function, f);
    note_name(between, name.symbol, f);
    between.nameless = between.nameless || name.symbol.empty();
  }
  return all;
}

struct Finalizer {
  const PythonFrame* python = nullptr;       // null: native code alone
  const PythonFrame* interrupted = nullptr;  // null: nothing of Python is outside it
  std::optional<std::uint32_t> frame, interrupted_frame;
  Between between;
};

bool is_del(const PythonFrame& frame) {
  const std::string& name = frame.code->name;
  return name == "__del__" || name.ends_with(".__del__");
}

// Native code that the collector called, with no Python frame inside it (an extension's dealloc).
std::optional<Finalizer> find_native(const LensContext& context, const PyThread& state,
                                     const Between& innermost) {
  if (!innermost.collecting || state.runs.empty()) return std::nullopt;
  const std::size_t thread = *state.core_thread;
  Finalizer found;
  found.between = innermost;
  const std::size_t inside = innermost.first.value_or(0);
  const auto& map = context.stacks[thread].native_at;
  if (inside > 0 && inside - 1 < map.size()) found.frame = map[inside - 1];
  if (!state.runs.front().empty()) found.interrupted = &state.runs.front().front();
  found.interrupted_frame = context.python_frame(thread, 0);
  return found;
}

// Whether the outermost frame of a run is a finalizer. `self.__del__()` in Python begins a run of
// its own up to 3.10: everything between it and its caller has names then.
bool is_finalizer(const PythonFrame& outermost, const Between& outside, bool agreed) {
  if (outside.finalizing || outside.collecting) return true;
  return is_del(outermost) && (!agreed || outside.nameless);
}

// Its argument is a weak reference whose object is gone, or the one after `self` is. A stripped
// interpreter has no name for what calls it (handle_callback).
bool is_weak_callback(const Objects& objects, const PythonFrame& frame) {
  for (std::int32_t slot = 0; slot < std::min(frame.code->locals, 2); ++slot) {
    const auto value =
        objects.read_slot(offset_by(frame.at, objects.layout().frame_locals + 8 * slot));
    if (!value) continue;
    const Addr argument = out_of_cell(objects, *value);
    const bool weak = is_kind_of(objects, argument, "weakref") ||
                      is_kind_of(objects, argument, "weakref.ReferenceType");
    if (weak && weak_target(objects, argument).value == 0) return true;
  }
  return false;
}

// The innermost one that the thread is in.
std::optional<Finalizer> find_finalizer(const LensContext& context, const PyThread& state) {
  const std::size_t thread = *state.core_thread;
  const auto between = read_between(context, thread, state.runs.size());
  if (!between.empty()) {
    if (auto native = find_native(context, state, between.front())) return native;
  }
  std::size_t counted_frames = state.inner_frames;
  for (std::size_t r = 0; r < state.runs.size(); ++r) {
    const auto& run = state.runs[r];
    counted_frames += run.size();
    Finalizer found;
    if (!between.empty()) found.between = between[r + 1];
    if (run.empty()) continue;
    const bool weak = found.between.nameless && is_weak_callback(context.objects(), run.back());
    if (!weak && !is_finalizer(run.back(), found.between, !between.empty())) continue;
    if (weak) found.between.role = "the callback of a weak reference";
    found.python = &run.back();
    found.frame = context.python_frame(thread, counted_frames - 1);
    const auto outer =
        std::find_if(state.runs.begin() + static_cast<std::ptrdiff_t>(r) + 1, state.runs.end(),
                     [](const auto& frames) { return !frames.empty(); });
    if (outer == state.runs.end()) return found;
    found.interrupted = &outer->front();
    found.interrupted_frame = context.python_frame(thread, counted_frames);
    return found;
  }
  return std::nullopt;
}

// By the names of native frames, else by the interpreter's state: with that, and no sign of a last
// reference, the thread that finalizes is the one that collects.
std::optional<bool> is_collection(const Interpreter& interpreter, const Between& between) {
  if (between.collecting) return true;
  if (between.dropping) return false;
  return interpreter.gc_running;
}

// Whether the line that was interrupted asked for the collection; a line that mentions no `collect`
// did not.
std::optional<bool> is_asked(const LensContext& context, const Finalizer& found) {
  if (found.between.asked) return true;
  if (found.interrupted == nullptr) return std::nullopt;
  const auto names = read_names(context.objects(), found.interrupted->code->at);
  if (std::ranges::find(names, "collect") == names.end()) return false;
  return found.between.collecting && !found.between.nameless ? std::optional(false) : std::nullopt;
}

std::string place_of(const PythonFrame& frame) {
  return clean_text(frame.code->name) + " (" + clean_text(base_name(frame.code->file)) + ":" +
         std::to_string(frame.line) + ")";
}

EvidenceId add_evidence(LensContext& context, ThreadId thread, const Interpreter& interpreter,
                        const Finalizer& found, std::optional<bool> collection) {
  Evidence evidence;
  const std::string what = found.python != nullptr ? place_of(*found.python) : "native code";
  evidence.claim = "the interpreter called " + what +
                   (found.interrupted != nullptr ? " on top of " + place_of(*found.interrupted)
                                                 : " with no Python code outside it");
  if (collection == true && interpreter.gc_running == true)
    evidence.claim += ", and its own state says that a garbage collection runs (collecting is 1)";
  if (collection == false) evidence.claim += ", because the last reference to an object went away";
  evidence.basis = Basis::interpreter;
  evidence.thread = thread;
  evidence.frame = found.frame;
  if (interpreter.gc_running) {
    evidence.address = interpreter.gc_word;
    evidence.words = {{"", interpreter.gc_word, *interpreter.gc_running ? 1u : 0u, ""}};
    evidence.source = "gc.collecting, CPython " + context.runtime().version;
  }
  return context.ledger.add_evidence(std::move(evidence));
}

// The interpreter's record of its collection gets the thread that runs it.
void set_collector(LensContext& context, std::size_t interpreter_index, ThreadId id) {
  for (PythonThread& python : context.ledger.thread(id).python) python.in_gc = true;
  ProcessFact& process = context.ledger.facts.processes[context.view.process.index];
  for (RuntimeFact& runtime : process.runtimes) {
    if (runtime.kind != "cpython" || interpreter_index >= runtime.interpreters.size()) continue;
    auto& gc = runtime.interpreters[interpreter_index].gc;
    if (gc && gc->running && !gc->thread.known()) gc->thread = id;
  }
}

void add_finalizer(LensContext& context, std::size_t interpreter_index, const PyThread& state,
                   const Finalizer& found) {
  const Interpreter& interpreter = context.runtime().interpreters[interpreter_index];
  const ThreadId id = context.view.thread_id(*state.core_thread);
  FinalizerFact fact;
  fact.collection = is_collection(interpreter, found.between);
  if (fact.collection == true) set_collector(context, interpreter_index, id);
  if (!found.frame) return;
  fact.frame = *found.frame;
  fact.interrupted = found.interrupted_frame;
  fact.native = found.python == nullptr;
  if (fact.collection == true) fact.asked = is_asked(context, found);
  if (found.python != nullptr && is_del(*found.python)) {
    if (const auto self = find_self(context.objects(), *found.python))
      fact.type = context.objects().type_name(*self);
  }
  if (found.python == nullptr || !is_del(*found.python)) fact.role = found.between.role;
  const bool sure = found.between.finalizing || found.between.collecting ||
                    (fact.collection == true && interpreter.gc_running == true);
  fact.confidence = sure ? Confidence::proved : Confidence::very_likely;
  fact.evidence = {add_evidence(context, id, interpreter, found, fact.collection)};
  context.ledger.thread(id).finalizer = std::move(fact);
}

}  // namespace

// Who does not collect: everybody while no collection runs, and while one does, everybody but the
// thread that is known to run it.
static void set_bystanders(LensContext& context) {
  const auto& process = context.ledger.facts.processes[context.view.process.index];
  const auto at = std::ranges::find(process.runtimes, "cpython", &RuntimeFact::kind);
  if (at == process.runtimes.end()) return;
  for (std::size_t k = 0; k < at->interpreters.size(); ++k) {
    const auto& gc = at->interpreters[k].gc;
    if (!gc || (gc->running && !gc->thread.known())) continue;
    for (const PyThread& state : context.runtime().interpreters[k].threads) {
      if (!state.core_thread) continue;
      const ThreadId id = context.view.thread_id(*state.core_thread);
      for (PythonThread& python : context.ledger.thread(id).python)
        if (!python.in_gc) python.in_gc = false;
    }
  }
}

void add_finalizers(LensContext& context) {
  for (std::size_t k = 0; k < context.runtime().interpreters.size(); ++k) {
    for (const PyThread& state : context.runtime().interpreters[k].threads) {
      if (!state.core_thread || state.outer) continue;
      if (const auto found = find_finalizer(context, state))
        add_finalizer(context, k, state, *found);
    }
  }
  set_bystanders(context);
}

}  // namespace coldcase::cpython
