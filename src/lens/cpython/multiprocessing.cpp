// multiprocessing's queues and locks: what a thread inside them waits for. Source: Lib/
// multiprocessing/{queues,synchronize,connection}.py, 3.6 to 3.15, and
// _multiprocessing/semaphore.c.
#include <algorithm>

#include "base/rings.hpp"
#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"
#include "lens/cpython/semlocks.hpp"

namespace coldcase::cpython {
namespace {

bool in_file(const PythonFrame& frame, std::string_view name) {
  return frame.code->file.ends_with(std::string("multiprocessing/") + std::string(name));
}

constexpr std::size_t innermost = 8;

// multiprocessing.Barrier inherits threading's functions; it has its numbers in shared memory.
bool is_barrier(const Objects& objects, const PythonFrame& frame) {
  if (base_name(frame.code->file) != "threading.py") return false;
  const auto self = find_local(objects, frame, "self");  // a cell in _wait, for its lambda
  return self && objects.find_attribute(*self, "_wrapper");
}

struct Found {
  const PythonFrame* frame = nullptr;
  std::size_t index = 0;
  const PythonFrame* caller = nullptr;  // the frame outside it
};

// The outermost of multiprocessing's own frames at the inner end of the thread.
// A `with lock:` calls __enter__ through C: the frames of one call may lie in several runs.
Found find_own_frame(const Objects& objects, const std::vector<std::vector<PythonFrame>>& runs) {
  std::vector<const PythonFrame*> frames;
  for (const auto& run : runs) {
    for (const PythonFrame& frame : run) {
      if (frames.size() <= innermost) frames.push_back(&frame);
    }
  }
  Found found;
  for (std::size_t k = 0; k < std::min(frames.size(), innermost); ++k) {
    const bool own = in_file(*frames[k], "queues.py") || in_file(*frames[k], "synchronize.py") ||
                     in_file(*frames[k], "connection.py") || is_barrier(objects, *frames[k]);
    if (!own) break;
    found = {frames[k], k, k + 1 < frames.size() ? frames[k + 1] : nullptr};
  }
  return found;
}

std::string name_outside(const LensContext& context, const Found& found, Addr object) {
  if (found.caller == nullptr) return {};
  return name_in_frame(context.objects(), *found.caller, object);
}

std::string queue_label(const LensContext& context, const Found& found, Addr queue) {
  const std::string name = name_outside(context, found, queue);
  std::string label = "multiprocessing.Queue";
  return name.empty() ? label + " at " + hex(queue.value) : label + " " + name;
}

// Reading an empty queue's pipe.
void wait_for_queue(LensContext& context, std::size_t thread, const Found& found) {
  const auto queue = find_self(context.objects(), *found.frame);
  if (!queue || !last_part(context.objects().type_name(*queue)).ends_with("Queue")) return;
  const ThreadId id = context.view.thread_id(thread);
  Wait wait = *context.ledger.thread(id).wait;
  const ResourceId physical =
      wait.on.empty() ? ResourceId{} : wait.on.front().as<RefKind::resource>();
  const ResourceId resource = context.ledger.resource_at(context.view.process, *queue,
                                                         WaitKind::queue, "multiprocessing.Queue");
  ResourceFact& fact = context.ledger.resource(resource);
  if (fact.label.empty()) fact.label = queue_label(context, found, *queue);
  fact.state = LockState::waiting;
  fact.owner_unknown_code = "no_owner";
  fact.owner_unknown_text = "nobody owns it: some process has to put an item";
  wait.kind = WaitKind::queue;
  wait.on = {resource};
  wait.at = physical;
  wait.frame = context.python_frame(thread, found.index);
  Evidence evidence;
  evidence.claim = "its frame's self is this Queue, whose pipe it reads";
  evidence.basis = Basis::memory;
  evidence.thread = id;
  evidence.frame = wait.frame;
  evidence.resource = resource;
  evidence.address = *queue;
  wait.evidence.push_back(context.ledger.add_evidence(std::move(evidence)));
  context.ledger.set_wait(id, std::move(wait));
}

// What a thread sleeps on, and around that the object that the program knows.
struct SemWait {
  SemLockPart part;
  std::optional<Addr> object;  // Python's; none when the program called the C object itself
  std::string type;            // "multiprocessing.Event"
  Names names;
};

// Looks where the program would have a name for an object: in the frame that uses it, and where
// that has no more than a local variable, in all frames and modules.
class NameFinder {
 public:
  explicit NameFinder(const LensContext& context) : context_(context) {}

  Names find(const PythonFrame* user, Addr object) {
    Names names;
    if (user != nullptr) {
      NameSearch search(context_.objects(), {object});
      search.look_at(*user, true);
      names = std::move(search.of(object));
    }
    if (!names.telling() && left_ > 0) look_everywhere(names, object);
    return names;
  }

 private:
  void look_everywhere(Names& names, Addr object) {
    --left_;
    NameSearch search(context_.objects(), {object});
    for (const Interpreter& interpreter : context_.runtime().interpreters) {
      search.look_at_modules(interpreter);
      for (const PyThread& state : interpreter.threads) look_at(search, state);
    }
    Names& found = search.of(object);
    names.typed = std::move(found.typed);
    names.globals = std::move(found.globals);
    if (names.paths.empty()) names.paths = std::move(found.paths);
    if (names.empty()) names.locals = std::move(found.locals);
  }

  static void look_at(NameSearch& search, const PyThread& state) {
    constexpr std::size_t most_frames = 12;
    each_frame(state, [&](const PythonFrame& frame, std::size_t index) {
      search.look_at(frame, false);
      return index + 1 < most_frames;
    });
  }

  const LensContext& context_;
  std::size_t left_ = 16;  // searches through everything
};

std::string type_around(const LensContext& context, const SemWait& wait) {
  if (!wait.object) return std::string(type_of_semlock(wait.part.lock));
  return "multiprocessing." + clean_text(last_part(context.objects().type_name(*wait.object)), 64);
}

// Python's object around a SemLock: each of them is in multiprocessing.util._afterfork_registry, a
// WeakValueDictionary, unless it came from another process.
std::optional<Addr> find_wrapper(const LensContext& context, Addr lock) {
  const Objects& objects = context.objects();
  std::optional<Addr> found;
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    const auto registry =
        find_global(objects, interpreter.at, "multiprocessing.util", "_afterfork_registry");
    const auto data = registry ? objects.find_attribute(*registry, "data") : std::nullopt;
    std::size_t looked = 0;
    if (!data) continue;
    objects.each_item(*data, [&](Addr, Addr reference) {
      const Addr object = weak_target(objects, reference);
      if (object.value != 0 && objects.find_attribute(object, "_semlock") == lock) found = object;
      return !found && ++looked < most_values;
    });
  }
  return found;
}

// By a method of Python's, which tells what for; or by the C object's own, which a lock's acquire
// is.
std::optional<SemWait> find_semlock_wait(const LensContext& context, const PyThread& state,
                                         const Found& found, Addr word, NameFinder& names) {
  const Objects& objects = context.objects();
  SemWait wait;
  const auto self = found.frame != nullptr ? find_self(objects, *found.frame) : std::nullopt;
  if (const auto part = self ? find_semlock_part(objects, *self, word) : std::nullopt) {
    wait.part = *part;
    wait.object = self;
    wait.names = names.find(found.caller, *self);
  } else {
    const auto awaited = find_awaited(objects, state, word);
    const bool known = awaited && awaited->what == Awaited::What::semlock;
    const auto lock = known ? read_semlock(objects, awaited->at) : std::nullopt;
    if (!lock) return std::nullopt;
    wait.part.lock = *lock;
    const bool called =
        found.frame == nullptr && !state.runs.empty() && !state.runs.front().empty();
    if (called) wait.object = find_wrapper(context, lock->at);
    if (wait.object) wait.names = names.find(&state.runs.front().front(), *wait.object);
  }
  wait.type = type_around(context, wait);
  return wait;
}

// "the read lock of multiprocessing.Queue jobs".
std::string semlock_label(const SemWait& wait, const Found& found) {
  const std::vector<std::string> names = wait.names.all();
  const std::string name = names.empty() ? "" : " " + names.front();
  const bool article = names.empty();
  const std::string whose = (article ? "a " : "") + wait.type + name;
  const bool feeds = found.frame != nullptr && last_part(found.frame->code->name) == "_feed";
  if (!wait.object && feeds) return "the write lock of a multiprocessing.Queue";
  switch (use_of_part(wait.part.path)) {
    case PartUse::whole:
    case PartUse::signal:
      return wait.type + name;
    case PartUse::lock:
      return "the lock of " + whose;
    case PartUse::reading:
      return "the read lock of " + whose;
    case PartUse::writing:
      return "the write lock of " + whose;
    case PartUse::room:
      return "the size limit of " + whose;
    case PartUse::waking:
      return "the count of woken waiters of " + whose;
    case PartUse::other:
      break;
  }
  return "a semaphore of " + whose;
}

// One process's SemLock counts what that process has taken and not given back, and keeps the thread
// that took it last. Only its owner can give back a recursive one.
void add_recorded_owner(LensContext& context, ResourceId id, const SemLock& lock) {
  if (lock.count <= 0 || lock.maximum != 1 || lock.holder == 0) return;
  const auto thread = context.pthreads.find_block(Addr{lock.holder});
  if (!thread) return;
  Evidence evidence;
  evidence.claim = "this process's SemLock object has count " + std::to_string(lock.count) +
                   " and was last taken by " + context.lwp(*thread);
  evidence.basis = Basis::owner_word;
  evidence.thread = context.view.thread_id(*thread);
  evidence.process = context.view.process;
  evidence.resource = id;
  evidence.address = lock.at;
  evidence.source = "SemLockObject.count, .last_tid, CPython " + context.runtime().version;
  const EvidenceId known = context.ledger.add_evidence(std::move(evidence));
  const Confidence sure = lock.recursive ? Confidence::proved : Confidence::very_likely;
  context.ledger.add_hold(
      context.view.thread_id(*thread),
      {id, Mode::exclusive, lock.count, std::nullopt, sure, Basis::owner_word, {known}});
}

void describe(LensContext& context, ResourceId id, const SemWait& wait, const Found& found) {
  ResourceFact& fact = context.ledger.resource(id);
  const SemLock& lock = wait.part.lock;
  const PartUse use = use_of_part(wait.part.path);
  if (fact.kind == WaitKind::semaphore) {
    fact.label = semlock_label(wait, found) + " at " + hex(fact.at.front().address.value);
    fact.details = semlock_details(context.objects(), wait.object, wait.part);
    fact.words.push_back({"SemLock.count", offset_by(lock.at, 32),
                          static_cast<std::uint32_t>(lock.count),
                          "so often taken by this process"});
  }
  constexpr std::size_t most_aliases = 4;
  const std::vector<std::string> names = wait.names.all();
  for (std::size_t i = 1; i < std::min(names.size(), most_aliases + 1); ++i) {
    if (std::ranges::find(fact.aliases, names[i]) == fact.aliases.end())
      fact.aliases.push_back(names[i]);
  }
  fact.kind = WaitKind::semlock;
  fact.implementation = "multiprocessing.SemLock";
  if (lock.maximum == 1) {
    if (fact.state == LockState::unknown || fact.state == LockState::waiting)
      fact.state = LockState::locked;
  } else {
    fact.state = LockState::waiting;
    fact.owner_unknown_code = "no_owner";
    fact.owner_unknown_text =
        use == PartUse::signal ? "nobody owns it: some process has to signal it"
        : use == PartUse::room ? "nobody owns it: some process has to take an item"
                               : "nobody owns a counting semaphore: any process may release it";
  }
}

// Asleep on a semaphore in shared memory.
void wait_for_semlock(LensContext& context, std::size_t thread, const PyThread& state,
                      const Found& found, Addr word, NameFinder& names) {
  const ThreadId id = context.view.thread_id(thread);
  Wait wait = *context.ledger.thread(id).wait;
  const bool fits = wait.kind == WaitKind::semaphore || wait.kind == WaitKind::semlock;
  if (!fits || wait.on.size() != 1) return;
  const auto semlock = find_semlock_wait(context, state, found, word, names);
  if (!semlock) return;
  const ResourceId resource = wait.on.front().as<RefKind::resource>();
  describe(context, resource, *semlock, found);
  add_recorded_owner(context, resource, semlock->part.lock);
  wait.kind = WaitKind::semlock;
  wait.frame = context.python_frame(thread, found.index);
  Evidence evidence;
  evidence.claim = found.frame != nullptr && semlock->object
                       ? "its frame's self is this " + semlock->type +
                             ", of which this is the semaphore it sleeps on"
                       : "it sleeps on the semaphore of this " + semlock->type;
  evidence.basis = Basis::register_;
  evidence.thread = id;
  evidence.frame = wait.frame;
  evidence.resource = resource;
  evidence.address = semlock->object.value_or(semlock->part.lock.at);
  wait.evidence.push_back(context.ledger.add_evidence(std::move(evidence)));
  const PartUse use = use_of_part(semlock->part.path);
  context.ledger.thread(id).state =
      use == PartUse::signal ? coldcase::ThreadState::idle : coldcase::ThreadState::blocked;
  context.ledger.set_wait(id, std::move(wait));
}

// The program's name for a child: Process._name of the _bootstrap frame (process.py) it runs in.
void name_process(LensContext& context, const PyThread& state) {
  for (const auto& run : state.runs) {
    for (const PythonFrame& frame : run) {
      if (!in_file(frame, "process.py") || last_part(frame.code->name) != "_bootstrap") continue;
      const auto self = find_self(context.objects(), frame);
      const auto name = self ? context.objects().find_attribute(*self, "_name") : std::nullopt;
      const auto text = name ? context.objects().read_str(*name) : Read<std::string>("");
      if (text && !text->empty())
        context.ledger.facts.processes[context.view.process.index].label = clean_text(*text, 128);
      return;
    }
  }
}

}  // namespace

void add_multiprocessing_waits(LensContext& context) {
  NameFinder names(context);
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    for (const PyThread& state : interpreter.threads) {
      if (!state.core_thread || state.runs.empty()) continue;
      name_process(context, state);
      if (state.outer) continue;
      const auto& wait = context.ledger.thread(context.view.thread_id(*state.core_thread)).wait;
      if (!wait || wait->kind == WaitKind::gil) continue;
      // `lock.acquire()` calls the C type itself: then the innermost frame is the caller's own.
      const Found found = find_own_frame(context.objects(), state.runs);
      if (const auto& futex = context.native.futexes[*state.core_thread])
        wait_for_semlock(context, *state.core_thread, state, found, futex->address, names);
      else if (found.frame != nullptr && in_file(*found.frame, "queues.py") &&
               last_part(found.frame->code->name) == "get")
        wait_for_queue(context, *state.core_thread, found);
    }
  }
}

std::vector<std::size_t> feeders_of_queue(const PythonFacts& facts, const Pthreads& pthreads,
                                          Addr queue) {
  std::vector<std::size_t> threads;
  if (!facts.python || facts.python->runtime.layout == nullptr) return threads;
  const Objects& objects = facts.python->objects();
  if (!last_part(objects.type_name(queue)).ends_with("Queue")) return threads;
  const auto thread = objects.find_attribute(queue, "_thread");
  const auto ident = thread ? objects.find_attribute(*thread, "_ident") : std::nullopt;
  const auto value = ident ? objects.read_int(*ident) : Read<std::int64_t>(0);
  if (!value || *value == 0) return threads;
  if (const auto at = pthreads.find_block(Addr{static_cast<std::uint64_t>(*value)}))
    threads.push_back(*at);
  return threads;
}

}  // namespace coldcase::cpython
