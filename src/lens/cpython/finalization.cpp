// Threads that asked for the GIL while the interpreter ends. Up to 3.13.7 take_gil() ends such a
// thread with pthread_exit, which C++ frames above it may turn into an abort; from 3.13.8 and in
// 3.14 (gh-87135) it parks the thread in pause() for ever.
#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::string_view parking = "PyThread_hang_thread", ending = "PyThread_exit_thread";
// The ways to the GIL. All but take_gil and _PyThreadState_Attach are exported: a stripped
// interpreter has their names.
constexpr std::array asking = std::to_array<std::string_view>(
    {"take_gil", "_PyThreadState_Attach", "PyEval_RestoreThread", "PyEval_AcquireThread",
     "PyEval_AcquireLock", "PyGILState_Ensure", "PyThreadState_Swap"});

// What the interpreter does with a thread: the first of its functions on the stack that has a name
// says it, or the way to the GIL by which the nameless ones were reached.
std::string_view fate_of(const LensContext& context, std::size_t thread) {
  const auto& frames = context.view.threads.walks[thread].frames;
  constexpr std::size_t most_nameless = 4;
  std::string_view left_by;  // the C library's function
  std::size_t nameless = 0;
  for (const WalkFrame& frame : frames) {
    const CodeName& name = context.view.threads.name_of(frame);
    std::string_view symbol = name.symbol;
    symbol = symbol.substr(0, symbol.find('.'));
    if (context.view.threads.rules.row(frame.row).module != context.runtime().module) {
      if (nameless > 0) return {};
      if (symbol == "pthread_exit" || symbol == "pause") left_by = symbol;
      continue;
    }
    if (symbol == parking || symbol == ending) return symbol;
    if (left_by.empty()) return {};
    if (symbol.empty() && ++nameless <= most_nameless) continue;
    if (std::ranges::find(asking, symbol) == asking.end()) return {};
    return left_by == "pause" ? parking : ending;
  }
  return {};
}

void add_fate(LensContext& context, std::size_t thread) {
  const std::string_view fate = fate_of(context, thread);
  if (fate.empty()) return;
  const ThreadId id = context.view.thread_id(thread);
  const bool parked = fate == parking;
  Evidence evidence;
  evidence.claim = std::string(
                       "it asked for the GIL while the interpreter ended, and the "
                       "interpreter ") +
                   (parked ? "parked it for ever" : "ended it (pthread_exit)");
  evidence.basis = Basis::call_site;
  evidence.thread = id;
  evidence.source = std::string(fate) + ", CPython " + context.runtime().version;
  const EvidenceId known = context.ledger.add_evidence(std::move(evidence));
  ThreadFact& fact = context.ledger.thread(id);
  if (!parked || !fact.wait || fact.wait->syscall_name != "pause") return;
  Wait wait = *fact.wait;
  wait.kind = WaitKind::sleep;
  wait.evidence.push_back(known);
  context.ledger.set_wait(id, std::move(wait));
}

// Where 3.6 keeps the word (_Py_Finalizing) is found by its name alone: who ends the interpreter is
// seen on the stacks.
ThreadId find_finalize_frame(const LensContext& context) {
  for (std::size_t thread = 0; thread < context.view.threads.walks.size(); ++thread) {
    for (const WalkFrame& frame : context.view.threads.walks[thread].frames) {
      if (context.view.threads.rules.row(frame.row).module == context.runtime().module &&
          context.view.threads.name_of(frame).symbol == "Py_FinalizeEx")
        return context.view.thread_id(thread);
    }
  }
  return {};
}

// The thread whose state the runtime's word names; it is the one that ends the interpreter.
void add_ending(LensContext& context) {
  const Runtime& runtime = context.runtime();
  Evidence evidence;
  evidence.claim = "the interpreter is ending: from now on one thread alone may run Python code";
  evidence.basis = Basis::interpreter;
  evidence.process = context.view.process;
  if (runtime.layout->runtime_finalizing >= 0) {
    const Addr word = offset_by(runtime.at, runtime.layout->runtime_finalizing);
    const std::uint64_t state = context.view.image.read<std::uint64_t>(word).value_or(0);
    evidence.address = word;
    evidence.words = {{"", word, state, ""}};
    for (const Interpreter& interpreter : runtime.interpreters) {
      for (const PyThread& thread : interpreter.threads) {
        if (thread.at.value != state || !thread.core_thread) continue;
        evidence.thread = context.view.thread_id(*thread.core_thread);
        evidence.claim =
            "the interpreter is ending, and its word for that is the thread state of " +
            context.lwp(*thread.core_thread);
      }
    }
  }
  if (!evidence.thread.known()) evidence.thread = find_finalize_frame(context);
  evidence.source = "_PyRuntimeState.finalizing, CPython " + runtime.version;
  context.ledger.add_evidence(std::move(evidence));
}

}  // namespace

void add_finalization(LensContext& context) {
  if (!context.runtime().finalizing) return;
  add_ending(context);
  for (std::size_t thread = 0; thread < context.view.threads.walks.size(); ++thread)
    add_fate(context, thread);
}

}  // namespace coldcase::cpython
