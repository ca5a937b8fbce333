// multiprocessing's queues and locks: what a thread inside them waits for. Source: Lib/
// multiprocessing/{queues,synchronize,connection}.py, 3.8 to 3.13, and
// _multiprocessing/semaphore.c.
#include <algorithm>

#include "base/rings.hpp"
#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"

namespace coldcase::cpython {
namespace {

bool in_file(const PythonFrame& frame, std::string_view name) {
  return frame.code->file.ends_with(std::string("multiprocessing/") + std::string(name));
}

constexpr std::size_t innermost = 8;

struct Found {
  const PythonFrame* frame = nullptr;
  std::size_t index = 0;
  const PythonFrame* caller = nullptr;  // the frame outside it
};

// The outermost of multiprocessing's own frames at the inner end of the thread.
// A `with lock:` calls __enter__ through C: the frames of one call may lie in several runs.
Found find_own_frame(const std::vector<std::vector<PythonFrame>>& runs) {
  std::vector<const PythonFrame*> frames;
  for (const auto& run : runs) {
    for (const PythonFrame& frame : run) {
      if (frames.size() <= innermost) frames.push_back(&frame);
    }
  }
  Found found;
  for (std::size_t k = 0; k < std::min(frames.size(), innermost); ++k) {
    const bool own = in_file(*frames[k], "queues.py") || in_file(*frames[k], "synchronize.py") ||
                     in_file(*frames[k], "connection.py");
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

// Asleep on a semaphore in shared memory.
void wait_for_semlock(LensContext& context, std::size_t thread, const Found& found) {
  const ThreadId id = context.view.thread_id(thread);
  Wait wait = *context.ledger.thread(id).wait;
  if (wait.kind != WaitKind::semaphore || wait.on.size() != 1) return;
  const ResourceId resource = wait.on.front().as<RefKind::resource>();
  ResourceFact& fact = context.ledger.resource(resource);
  const std::string_view function = last_part(found.frame->code->name);
  std::string label;
  if (in_file(*found.frame, "queues.py")) {
    const auto self = find_self(context.objects(), *found.frame);
    const std::string name = self ? name_outside(context, found, *self) : std::string();
    const std::string whose =
        name.empty() ? "a multiprocessing.Queue" : "multiprocessing.Queue " + name;
    label = (function == "_feed" ? "the write lock of "
             : function == "get" ? "the read lock of "
                                 : "the size limit of ") +
            whose;
  } else {
    const auto self = find_self(context.objects(), *found.frame);
    const std::string type =
        self ? std::string(last_part(context.objects().type_name(*self))) : std::string("Lock");
    const std::string name = self ? name_outside(context, found, *self) : std::string();
    label = "multiprocessing." + clean_text(type, 64) + (name.empty() ? "" : " " + name);
  }
  const bool plain = fact.kind == WaitKind::semaphore;
  fact.kind = WaitKind::semlock;
  fact.implementation = "multiprocessing.SemLock";
  if (plain) fact.label = label + " at " + hex(fact.at.front().address.value);
  wait.kind = WaitKind::semlock;
  wait.frame = context.python_frame(thread, found.index);
  context.ledger.thread(id).state = coldcase::ThreadState::blocked;
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
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    for (const PyThread& state : interpreter.threads) {
      if (!state.core_thread || state.runs.empty()) continue;
      name_process(context, state);
      if (state.outer) continue;
      const auto& wait = context.ledger.thread(context.view.thread_id(*state.core_thread)).wait;
      if (!wait || wait->kind == WaitKind::gil) continue;
      // A `with lock:` calls the C type's __enter__: then the innermost frame is the caller's own.
      const Found found = find_own_frame(state.runs);
      if (found.frame == nullptr) continue;
      if (context.native.futexes[*state.core_thread])
        wait_for_semlock(context, *state.core_thread, found);
      else if (in_file(*found.frame, "queues.py") && last_part(found.frame->code->name) == "get")
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
