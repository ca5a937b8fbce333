// What a thread asleep in Python's own waiting code waits for: a lock, or what the standard library
// builds on locks.
#include <algorithm>

#include "base/rings.hpp"
#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"

namespace coldcase::cpython {
namespace {

// The standard library's own waiting code: whose `self` says what is really waited for.
bool waits_for_others(const PythonFrame& frame) {
  const std::string_view name = base_name(frame.code->file);
  return ring_of_python(frame.code->file) == Ring::runtime &&
         (name == "threading.py" || name == "queue.py" || name == "_base.py" ||
          name == "thread.py");
}

// What the standard library's frames above a lock wait for, outermost of them: a queue, an event, a
// future, another thread's end.
struct Purpose {
  WaitKind kind = WaitKind::python_condition;
  std::string type;
  Addr object;
  std::optional<std::size_t> thread;  // of the core: join
  std::size_t frame = 0;              // the Python frame, counted
};

std::optional<std::size_t> joined_thread(const LensContext& context, Addr thread_object) {
  const auto ident = context.objects().find_attribute(thread_object, "_ident");
  const auto value = ident ? context.objects().read_int(*ident) : Read<std::int64_t>(0);
  return value && *value != 0
             ? context.pthreads.find_block(Addr{static_cast<std::uint64_t>(*value)})
             : std::nullopt;
}

// threading._shutdown, which the main thread runs at the end, joins every thread that is no daemon:
// through their _tstate_lock up to 3.12, in C from 3.13 on. It cannot go on before this one ends.
std::optional<Purpose> find_shutdown(const LensContext& context, const PyThread& state) {
  const PythonFrame& frame = state.runs.front().front();
  if (frame.code->name != "_shutdown" || base_name(frame.code->file) != "threading.py" ||
      ring_of_python(frame.code->file) != Ring::runtime)
    return std::nullopt;
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    for (const PyThread& other : interpreter.threads) {
      if (&other == &state || !other.core_thread || other.daemon.value_or(true)) continue;
      return Purpose{WaitKind::thread_exit, "Thread", Addr{}, other.core_thread, 0};
    }
  }
  return std::nullopt;
}

std::optional<Purpose> find_purpose(const LensContext& context, const PyThread& state) {
  if (auto shutdown = find_shutdown(context, state)) return shutdown;
  std::optional<Purpose> purpose;
  std::size_t counted_frames = 0;
  for (const auto& run : state.runs) {
    for (const PythonFrame& frame : run) {
      if (!waits_for_others(frame)) return purpose;
      const std::string_view function = last_part(frame.code->name);
      const auto self = find_self(context.objects(), frame);
      const std::size_t here = counted_frames++;
      if (function == "_bootstrap" || function == "_bootstrap_inner" || function == "run" ||
          function == "__enter__" || function == "_worker" || !self) {
        continue;
      }
      // An executor's shutdown joins its threads one by one: what it waits for now is this end.
      if (purpose && purpose->thread) continue;
      Purpose found;
      found.type = context.objects().type_name(*self);
      found.object = *self;
      found.frame = here;
      if (function == "join" || function == "_wait_for_tstate_lock") {
        const auto thread = joined_thread(context, *self);
        if (thread) found = {WaitKind::thread_exit, found.type, *self, thread, here};
      }
      const std::string_view type = last_part(found.type);
      if (type.ends_with("Queue")) found.kind = WaitKind::queue;
      if (type == "Future") found.kind = WaitKind::future;
      purpose = found;
    }
  }
  return purpose;
}

void wait_for_purpose(LensContext& context, std::size_t thread, const Purpose& purpose) {
  const ThreadId id = context.view.thread_id(thread);
  Wait wait = *context.ledger.thread(id).wait;
  Evidence evidence;
  evidence.thread = id;
  evidence.frame = context.python_frame(thread, purpose.frame);
  evidence.basis = Basis::memory;
  wait.kind = purpose.kind;
  wait.frame = evidence.frame;
  if (purpose.thread) {
    wait.on = {context.view.thread_id(*purpose.thread)};
    const bool named = purpose.object.value != 0;
    evidence.claim = named ? "its frame's self is the Thread object of "
                           : "it joins, in threading."
                             "_shutdown, every thread that is no daemon, such as ";
    evidence.claim += context.lwp(*purpose.thread);
    if (!named) wait.confidence = std::min(wait.confidence, Confidence::very_likely);
    context.ledger.thread(id).state = coldcase::ThreadState::blocked;
  } else {
    const ResourceId resource = context.ledger.resource_at(context.view.process, purpose.object,
                                                           purpose.kind, purpose.type);
    ResourceFact& fact = context.ledger.resource(resource);
    if (fact.label.empty()) fact.label = purpose.type + " at " + hex(purpose.object.value);
    fact.state = LockState::waiting;
    fact.owner_unknown_code = "no_owner";
    fact.owner_unknown_text = "nobody owns it: some thread has to signal it";
    wait.on = {resource};
    evidence.resource = resource;
    evidence.claim = "its frame's self is this " + purpose.type;
    context.ledger.thread(id).state = coldcase::ThreadState::idle;
  }
  evidence.address = purpose.object;
  wait.evidence.push_back(context.ledger.add_evidence(std::move(evidence)));
  context.ledger.set_wait(id, std::move(wait));
}

// An idle worker of a ThreadPoolExecutor: its loop `_worker` waits for the pool's queue.
bool is_pool_worker(const PyThread& state) {
  return !state.runs.empty() && !state.runs.front().empty() &&
         last_part(state.runs.front().front().code->name) == "_worker" &&
         state.runs.front().front().code->file.ends_with("concurrent/futures/thread.py");
}

void set_lock_wait(LensContext& context, std::size_t thread, const PyThread& state,
                   const LockObject& lock) {
  const ThreadId id = context.view.thread_id(thread);
  Wait wait = *context.ledger.thread(id).wait;
  const ResourceId resource = lock_resource(context, lock);
  ResourceFact& fact = context.ledger.resource(resource);
  const PythonFrame& frame = state.runs.front().front();
  if (const std::string name = name_in_frame(context.objects(), frame, lock.at); !name.empty()) {
    const std::string label = (lock.recursive ? "threading.RLock " : "threading.Lock ") + name;
    if (fact.label.find(" at 0x") != std::string::npos)
      fact.label = label;
    else if (fact.label != label)
      fact.aliases.push_back(name);
  }
  wait.kind = fact.kind;
  wait.on = {resource};
  wait.frame = context.python_frame(thread, 0);
  Evidence evidence;
  evidence.claim =
      "its futex word is that of this lock object, which " + describe(frame) + " takes";
  evidence.basis = Basis::register_;
  evidence.thread = id;
  evidence.frame = wait.frame;
  evidence.resource = resource;
  evidence.address = lock.at;
  wait.evidence.push_back(context.ledger.add_evidence(std::move(evidence)));
  if (wait.at.known()) context.ledger.resource(wait.at).part_of = resource;
  context.ledger.thread(id).state = coldcase::ThreadState::blocked;
  context.ledger.set_wait(id, std::move(wait));
}

}  // namespace

void add_lock_waits(LensContext& context) {
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    for (const PyThread& state : interpreter.threads) {
      if (!state.core_thread || state.outer) continue;  // an outer one waits for nothing itself
      const std::size_t thread = *state.core_thread;
      const ThreadFact& fact = context.ledger.thread(context.view.thread_id(thread));
      const auto& futex = context.native.futexes[thread];
      if (!futex || !fact.wait || fact.wait->kind == WaitKind::gil) continue;
      if (wait_for_buffered(context, thread, futex->address)) continue;
      if (state.runs.empty() || state.runs.front().empty()) continue;
      if (wait_for_module_lock(context, thread, state, awaited_word(context.view, thread, *futex)))
        continue;
      if (const auto purpose = find_purpose(context, state)) {
        wait_for_purpose(context, thread, *purpose);
        continue;
      }
      const auto lock =
          find_awaited_lock(context.objects(), state, awaited_word(context.view, thread, *futex));
      if (lock) {
        set_lock_wait(context, thread, state, *lock);
      } else if (is_pool_worker(state)) {
        Wait wait = *fact.wait;
        wait.kind = WaitKind::queue;
        if (wait.at.known()) {
          ResourceFact& queue = context.ledger.resource(wait.at);
          queue.kind = WaitKind::queue;
          queue.label = "the work queue of its ThreadPoolExecutor";
          queue.state = LockState::waiting;
          queue.owner_unknown_text = "nobody owns it: some thread has to hand in work";
        }
        wait.frame = context.python_frame(thread, 0);
        context.ledger.set_wait(context.view.thread_id(thread), std::move(wait));
      }
    }
  }
}

}  // namespace coldcase::cpython
