// The runtime, its threads' names, and the GIL, as facts.
#include <algorithm>

#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"
#include "lens/cpython/version_text.hpp"

namespace coldcase::cpython {

// 3.6 without its file: the GIL is variables of the module, and nothing tells which. Threads asleep
// on words of that module may wait for it or for anything else there.
static void note_unread_gil(LensContext& context) {
  const Runtime& runtime = context.runtime();
  const bool unread = std::ranges::any_of(
      runtime.interpreters, [](const Interpreter& one) { return one.gil_words.holder.value == 0; });
  if (!unread || !runtime.missing) return;
  const std::vector<Range> parts = writable_parts(context.view, *runtime.module);
  std::vector<Ref> asleep;
  for (std::size_t i = 0; i < context.native.futexes.size(); ++i) {
    const auto& futex = context.native.futexes[i];
    if (!futex) continue;
    const bool inside = std::ranges::any_of(
        parts, [&](const Range& part) { return part.contains(futex->address); });
    if (inside) asleep.emplace_back(context.view.thread_id(i));
  }
  if (asleep.empty()) return;
  context.ledger.add_note("python-unread", Severity::warning,
                          "CPython " + runtime.version + "'s GIL lies in variables of " +
                              clean_text(std::string(runtime.module->name())) +
                              ", whose file is not here: who has it is not told, nor whether " +
                              counted(asleep.size(), "thread") + " asleep in there " +
                              (asleep.size() == 1 ? "waits" : "wait") + " for it",
                          std::move(asleep), runtime.missing->advice);
}

void add_runtime(LensContext& context) {
  note_unread_gil(context);
  const Runtime& runtime = context.runtime();
  RuntimeFact fact;
  fact.kind = "cpython";
  fact.version = runtime.version;
  fact.free_threaded = runtime.free_threaded;
  fact.module = context.view.module_id(runtime.module);
  ProcessFact& process = context.ledger.facts.processes[context.view.process.index];
  for (const Interpreter& interpreter : runtime.interpreters) {
    InterpreterFact one;
    one.finalizing = runtime.finalizing;
    if (interpreter.gc_running) one.gc = GcFact{*interpreter.gc_running, std::nullopt, {}};
    if (interpreter.gil.value != 0) {
      one.gil = context.ledger.resource_at(context.view.process, interpreter.gil, WaitKind::gil,
                                           interpreter.gil_words.source);
      ResourceFact& gil = context.ledger.resource(one.gil);
      // To 3.11, and for those made the old way later too, interpreters share one GIL.
      const bool shared = std::ranges::all_of(runtime.interpreters, [&](const Interpreter& other) {
        return other.gil == interpreter.gil;
      });
      gil.label =
          shared ? "the GIL" : "the GIL of interpreter " + std::to_string(context.gils.size());
      gil.state = interpreter.gil_locked ? LockState::locked : LockState::free;
      gil.words = {{"locked", Addr{}, interpreter.gil_locked ? 1u : 0u, ""},
                   {std::string(interpreter.gil_words.holder_name), Addr{},
                    interpreter.gil_holder.value, "a thread state"}};
    }
    context.gils.push_back(one.gil);
    fact.interpreters.push_back(one);
  }
  process.runtimes.push_back(std::move(fact));
}

// Interpreters of the processes before this one: their ids are counted over the whole report.
static std::uint32_t first_interpreter(const LensContext& context) {
  std::uint32_t count = 0;
  for (std::uint32_t p = 0; p < context.view.process.index; ++p) {
    for (const RuntimeFact& runtime : context.ledger.facts.processes[p].runtimes) {
      count += static_cast<std::uint32_t>(runtime.interpreters.size());
    }
  }
  return count;
}

// Killed with the program's end, or by a fork that C code made: the state stays.
static void note_lost_states(LensContext& context) {
  std::size_t lost = 0;
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    lost += static_cast<std::size_t>(std::ranges::count_if(
        interpreter.threads, [](const PyThread& state) { return !state.core_thread; }));
  }
  if (lost == 0) return;
  context.ledger.add_note(
      "python-thread-gone", Severity::info,
      "CPython has " + std::to_string(lost) +
          (lost == 1 ? " thread state whose thread is" : " thread states whose threads are") +
          " not in this core: ended with the program's end, or by a fork that CPython was not told "
          "of");
}

void name_threads(LensContext& context) {
  note_lost_states(context);
  const std::uint32_t first = first_interpreter(context);
  for (std::size_t k = 0; k < context.runtime().interpreters.size(); ++k) {
    for (const PyThread& state : context.runtime().interpreters[k].threads) {
      if (!state.core_thread) continue;
      ThreadFact& thread = context.ledger.thread(context.view.thread_id(*state.core_thread));
      PythonThread python;
      python.interpreter = {first + static_cast<std::uint32_t>(k)};
      python.ident = hex(state.ident);
      python.name = state.name;
      python.daemon = state.daemon;
      python.gil_state = GilState::none;
      if (state.state) python.attached = *state.state == 1;
      // The main interpreter, last in the list, names a thread that several interpreters know.
      if (!state.name.empty()) {
        thread.name = state.name;
        thread.name_from = NameFrom::python;
      }
      // A program that never imports threading has one thread, and no name for it.
      const auto& process = context.view.core.process;
      if (thread.name.empty() && process && thread.tid == process->pid) {
        thread.name = "MainThread";
        thread.name_from = NameFrom::runtime;
      }
      thread.python.push_back(std::move(python));
    }
  }
}

// The holder sleeps on a mutex of the GIL's own, to give the GIL up. Whoever has that mutex is
// awake, in the few instructions between two waits for the GIL, and lets go of it: no wait, as none
// of them lasts. Runs before the waits of those caught awake are told.
static void let_go_on(LensContext& context, ThreadId holder, const GilWords& words) {
  ThreadFact& thread = context.ledger.thread(holder);
  if (!thread.wait || thread.wait->on.size() != 1) return;
  const auto mutex = thread.wait->on.front().as<RefKind::resource>();
  if (!mutex.known()) return;
  const ResourceFact& fact = context.ledger.resource(mutex);
  const bool own = std::ranges::any_of(fact.at, [&](const Place& place) {
    return std::ranges::any_of(words.parts,
                               [&](const Range& part) { return part.contains(place.address); });
  });
  const bool passing = std::ranges::all_of(fact.owners, [&](const Owner& owner) {
    const auto other = owner.by.as<RefKind::thread>();
    return other.known() && !context.ledger.thread(other).wait;
  });
  // Not recorded: it has just been taken or is just being given back. Nobody's: a condition whose
  // last waiters have not left it yet.
  const std::string& code = fact.owner_unknown_code;
  const bool someone = code.empty() || code == "owner_not_recorded" ||
                       (code == "no_owner" && context.pthreads.lists_read() &&
                        context.pthreads.lost_threads().empty());
  if (!own || !passing || !someone) return;
  context.ledger.clear_wait(holder);
  thread.state = coldcase::ThreadState::running;
}

static void add_gil_holder(LensContext& context, std::size_t k) {
  const Interpreter& interpreter = context.runtime().interpreters[k];
  if (!interpreter.gil_locked) return;
  const PyThread* holder = nullptr;
  for (const Interpreter& sharing : context.runtime().interpreters) {
    if (sharing.gil != interpreter.gil) continue;
    for (const PyThread& state : sharing.threads) {
      if (state.at == interpreter.gil_holder) holder = &state;
    }
  }
  ResourceFact& gil = context.ledger.resource(context.gils[k]);
  if (holder == nullptr || !holder->core_thread) {
    gil.owner_unknown_code = "owner_not_in_core";
    gil.owner_unknown_text = "it is locked, and the thread that took it last is not in this core";
    return;
  }
  const ThreadId thread = context.view.thread_id(*holder->core_thread);
  gil.words[1].means = context.lwp(*holder->core_thread);
  const GilWords& words = interpreter.gil_words;
  Evidence evidence;
  evidence.claim = "the interpreter's own record: " +
                   std::string(words.locked.value != 0 ? "locked is 1 and " : "") +
                   std::string(words.holder_name) + " is the thread state of " +
                   context.lwp(*holder->core_thread);
  evidence.basis = Basis::interpreter;
  evidence.thread = thread;
  evidence.resource = context.gils[k];
  evidence.address = words.holder;
  if (words.locked.value != 0) evidence.words.push_back({"", words.locked, 1, ""});
  evidence.words.push_back({"", words.holder, interpreter.gil_holder.value, ""});
  evidence.source = std::string(words.source) + ", CPython " + context.runtime().version;
  const EvidenceId id = context.ledger.add_evidence(std::move(evidence));
  Hold hold;
  hold.resource = context.gils[k];
  hold.frame = context.python_frame(*holder->core_thread, 0);
  hold.confidence = Confidence::proved;
  hold.basis = Basis::interpreter;
  hold.evidence = {id};
  context.ledger.add_hold(thread, hold);
  let_go_on(context, thread, words);
  for (PythonThread& python : context.ledger.thread(thread).python)
    python.gil_state = GilState::holds;
}

static void add_gil_wait(LensContext& context, const GilWait& wait) {
  const ThreadId id = context.view.thread_id(wait.core_thread);
  ThreadFact& thread = context.ledger.thread(id);
  const Interpreter& interpreter = context.runtime().interpreters[wait.interpreter];
  Wait waits;
  waits.kind = WaitKind::gil;
  waits.on = {context.gils[wait.interpreter]};
  waits.ends = Ends::poll_retry;
  if (wait.frame) waits.frame = context.stacks[wait.core_thread].native_at[*wait.frame];
  Evidence evidence;
  evidence.thread = id;
  evidence.frame = waits.frame;
  evidence.resource = context.gils[wait.interpreter];
  if (wait.awake) {
    evidence.claim = wait.slept ? "its registers have the interpreter's gil_cond, of a sleep that "
                                  "has just ended; it was caught between two of its 5 ms sleeps"
                                : "its innermost frames are in the function that takes the GIL; it "
                                  "was caught between two of its 5 ms sleeps";
    evidence.basis = Basis::register_;
    waits.confidence = Confidence::proved;
  } else {
    const FutexWait& futex = *context.native.futexes[wait.core_thread];
    evidence.claim = "it sleeps on the interpreter's gil_cond";
    evidence.basis = Basis::register_;
    evidence.address = futex.address;
    waits.confidence = Confidence::proved;
    waits.syscall_number = call_futex;
    waits.syscall_name = "futex";
    if (interpreter.gil_words.condition.value != 0) {
      const ResourceId condition =
          context.ledger.resource_at(context.view.process, interpreter.gil_words.condition,
                                     WaitKind::condition, "pthread_cond_t");
      ResourceFact& part = context.ledger.resource(condition);
      part.label = "gil_cond";
      part.part_of = context.gils[wait.interpreter];
      part.state = LockState::waiting;
      waits.at = condition;
    }
  }
  waits.evidence = {context.ledger.add_evidence(std::move(evidence))};
  const auto callback = context.facts.callbacks.find(wait.core_thread);
  if (callback != context.facts.callbacks.end()) {
    Evidence called;
    called.claim = "the function object in ctypes' frame: " + clean_text(callback->second.name) +
                   ", " + clean_text(std::string(base_name(callback->second.file))) + ":" +
                   std::to_string(callback->second.line);
    called.basis = Basis::memory;
    called.thread = id;
    called.frame = waits.frame;
    called.address = callback->second.callable;
    called.source = "CThunkObject.callable, CPython " + context.runtime().version;
    waits.evidence.push_back(context.ledger.add_evidence(std::move(called)));
  }
  thread.state = coldcase::ThreadState::blocked;
  for (PythonThread& python : thread.python) python.gil_state = GilState::waits;
  context.ledger.set_wait(id, std::move(waits));
}

void add_gil(LensContext& context) {
  for (std::size_t k = 0; k < context.runtime().interpreters.size(); ++k) {
    const auto seen = context.gils.begin() + static_cast<std::ptrdiff_t>(k);
    const bool first = std::find(context.gils.begin(), seen, *seen) == seen;
    if (context.gils[k].known() && first) add_gil_holder(context, k);
  }
  for (const GilWait& wait : context.facts.gil_waits) add_gil_wait(context, wait);
}

}  // namespace coldcase::cpython
