// asyncio's loops and tasks as facts: who waits for what, who holds the locks among them.
#include <algorithm>

#include "base/text.hpp"
#include "lens/cpython/bytecode.hpp"
#include "lens/cpython/lens_parts.hpp"
#include "lens/cpython/lookup.hpp"
#include "lens/cpython/loop_futures.hpp"
#include "lens/cpython/task_list.hpp"

namespace coldcase::cpython {
namespace {

class TaskWriter {
 public:
  TaskWriter(LensContext& context, const AsyncLayout& layout, const EventLoops& loops)
      : context_(context),
        lookup_(*context.facts.python),
        layout_(layout),
        loops_(loops),
        source_("asyncio, CPython ") {
    source_ += context.runtime().version;
  }

  void write() {
    known_ = know_tasks(context_.objects(), layout_, loops_, awaited_locks());
    Facts& facts = context_.ledger.facts;
    list_tasks(known_, {static_cast<std::uint32_t>(facts.tasks.size())});
    for (const EventLoop& loop : loops_.loops) loop_resource(context_, loop);
    const auto listed =
        std::ranges::count_if(known_.tasks, [](const KnownTask& one) { return one.listed; });
    facts.tasks.resize(facts.tasks.size() + static_cast<std::size_t>(listed));
    for (const KnownTask& one : known_.tasks) {
      if (one.listed) add_task(one);
    }
    for (const KnownTask& one : known_.tasks) {
      if (!one.listed) continue;
      add_holds(one);
      if (one.wait) add_wait(one);
    }
    add_loop_futures({context_, layout_, loops_, known_});
    if (const std::uint64_t left = loops_.unread + known_.not_listed; left > 0) {
      context_.ledger.add_note("tasks-limit", Severity::info,
                               counted(left, "more task") + " of asyncio are not told one by one");
    }
  }

 private:
  // Locks of threads that a task may hold over an await.
  std::set<Addr> awaited_locks() const {
    std::set<Addr> locks;
    for (const ResourceFact& resource : context_.ledger.facts.resources) {
      if (resource.waiters.empty()) continue;
      for (const Place& place : resource.at) {
        if (place.process == context_.view.process) locks.insert(place.address);
      }
    }
    return locks;
  }

  StackId stack_of(const AsyncTask& task) {
    Stack stack;
    for (const PythonFrame& frame : task.chain.frames) stack.frames.push_back(label(frame));
    stack.depth = stack.frames.size();
    stack.stop_code = task.chain.whole ? "outermost" : "unreadable";
    const auto [at, fresh] = stacks_.try_emplace({stack.frames, task.chain.whole});
    if (fresh) {
      at->second = {static_cast<std::uint32_t>(context_.ledger.facts.stacks.size())};
      context_.ledger.facts.stacks.push_back(std::move(stack));
    }
    return at->second;
  }

  std::uint32_t label(const PythonFrame& frame) {
    const auto [at, fresh] = labels_.try_emplace({frame.code->at.value, frame.line});
    if (fresh) {
      at->second = static_cast<std::uint32_t>(context_.ledger.facts.frames.size());
      context_.ledger.facts.frames.push_back(
          label_of(frame.code->name, frame.code->file, frame.line));
    }
    return at->second;
  }

  static TaskState state_of(const KnownTask& one) {
    if (one.task->current) return TaskState::running;
    if (one.task->due) return TaskState::ready;
    if (!one.wait) return TaskState::unknown;
    const bool lock =
        one.wait->kind == WaitKind::asyncio_lock || one.wait->kind == WaitKind::semaphore;
    return lock ? TaskState::blocked : TaskState::idle;
  }

  void add_task(const KnownTask& one) {
    TaskFact& fact = context_.ledger.task(one.id);
    fact.process = context_.view.process;
    const EventLoop* loop = loops_.find_loop(one.task->loop);
    if (loop != nullptr) {
      fact.loop = loop_resource(context_, *loop);
      if (loop->core_thread) fact.thread = context_.view.thread_id(*loop->core_thread);
    }
    fact.name = one.task->name;
    fact.state = state_of(one);
    fact.stack = stack_of(*one.task);
    const auto& frames = context_.ledger.facts.stacks[fact.stack.index].frames;
    for (std::uint32_t f = 0; f < frames.size() && !fact.site; ++f) {
      if (context_.ledger.facts.frames[frames[f]].in_app.value_or(false)) fact.site = f;
    }
    if (one.alike > 0) fact.alike = one.alike;
  }

  Evidence evidence_of(const KnownTask& one, std::size_t frame, std::string claim) const {
    Evidence evidence;
    evidence.claim = std::move(claim);
    evidence.basis = Basis::interpreter;
    evidence.process = context_.view.process;
    evidence.task = one.id;
    evidence.frame = static_cast<std::uint32_t>(frame);
    evidence.source = source_;
    return evidence;
  }

  // The name by which a frame reaches an object, or its address.
  std::string name_of(const KnownTask& one, std::size_t frame, const std::string& type,
                      Addr object) const {
    const auto& frames = one.task->chain.frames;
    if (frame < frames.size()) {
      const std::string name = name_in_frame(context_.objects(), frames[frame], object);
      if (!name.empty()) return type + " " + name;
    }
    return type + " at " + hex(object.value);
  }

  ResourceId primitive(const KnownTask& one, const TaskWait& wait) {
    const ResourceId id =
        context_.ledger.resource_at(context_.view.process, wait.object, wait.kind, wait.type);
    ResourceFact& fact = context_.ledger.resource(id);
    const bool nameless = fact.label.empty() || fact.label.find(" at 0x") != std::string::npos;
    if (nameless && !wait.all) fact.label = name_of(one, wait.user_frame, wait.type, wait.object);
    if (!fact.owner_unknown_code.empty() || !fact.owners.empty()) return id;
    const bool lock = wait.kind == WaitKind::asyncio_lock;
    fact.state = lock ? LockState::locked : LockState::waiting;
    fact.owner_unknown_code = lock ? "owner_not_recorded" : "no_owner";
    fact.owner_unknown_text =
        lock ? "an asyncio.Lock does not record who took it, and no task is inside an async with "
               "block of it"
             : "nobody owns it: some task has to signal it";
    const auto waiting = known_.waiters.find(wait.object);
    if (waiting != known_.waiters.end()) fact.state_waiters = waiting->second;
    return id;
  }

  void add_wait(const KnownTask& one) {
    const TaskWait& from = *one.wait;
    Wait wait;
    wait.kind = from.kind;
    wait.mode = from.mode;
    wait.ends = from.ends;
    wait.timeout_ms = from.timeout_ms;
    wait.confidence = Confidence::proved;
    const auto& frames = one.task->chain.frames;
    if (from.frame < frames.size()) wait.frame = static_cast<std::uint32_t>(from.frame);
    std::string claim = "the future it awaits is its task object's";
    if (from.frame < frames.size()) claim = describe(frames[from.frame]) + " awaits it";
    if (!from.through.empty()) claim = from.through + "'s own list of unfinished tasks";
    Evidence evidence = evidence_of(one, from.frame, std::move(claim));
    if (from.object.value != 0) {
      const ResourceId id = primitive(one, from);
      wait.on = {id};
      evidence.resource = id;
      evidence.address = from.object;
    } else if (from.called.value != 0) {
      const ResourceId id = context_.ledger.resource_at(
          context_.view.process, from.called, WaitKind::future, "concurrent.futures.Future");
      wait.on = {id};
      evidence.resource = id;
      evidence.address = from.called;
    }
    std::set<TaskId> named;
    for (const Addr target : from.tasks) {
      const KnownTask* task = known_.find(target);
      if (task != nullptr && task->id.known() && named.insert(task->id).second)
        wait.on.push_back(task->id);
    }
    if (from.all && wait.on.size() > 1) wait.all = true;
    std::ranges::sort(wait.on);
    wait.evidence.push_back(context_.ledger.add_evidence(std::move(evidence)));
    context_.ledger.set_wait(one.id, std::move(wait));
  }

  // Where the with block of this handler was entered.
  std::optional<std::uint32_t> line_of_with(const PythonFrame& frame, std::int64_t handler) {
    const Routine& routine = lookup_.text_of(*frame.code).routine;
    const auto entry = find_with_entry(routine, handler);
    if (!entry) return std::nullopt;
    const std::uint32_t line =
        line_at(context_.objects().layout(), *frame.code, routine.instructions[*entry].offset);
    return line > 0 ? std::optional(line) : std::nullopt;
  }

  void add_holds(const KnownTask& one) {
    for (const TaskHold& from : one.holds) {
      const PythonFrame& frame = one.task->chain.frames[from.frame];
      ResourceId id;
      if (from.type.empty()) {
        const auto lock = read_lock(context_.objects(), from.object);
        if (!lock) continue;
        id = lock_resource(context_, *lock);
      } else {
        const WaitKind kind =
            from.type == "asyncio.Lock" ? WaitKind::asyncio_lock : WaitKind::semaphore;
        id = context_.ledger.resource_at(context_.view.process, from.object, kind, from.type);
      }
      ResourceFact& fact = context_.ledger.resource(id);
      if (fact.label.empty() || fact.label.find(" at 0x") != std::string::npos) {
        const std::string type = from.type.empty() ? "threading.Lock" : from.type;
        fact.label = name_of(one, from.frame, type, from.object);
      }
      if (fact.state == LockState::unknown) fact.state = LockState::locked;
      Evidence evidence =
          evidence_of(one, from.frame,
                      describe(frame) +
                          " is inside a with block of it: its exit is on the suspended frame's "
                          "value stack, under an active handler");
      evidence.basis = Basis::value_stack;
      evidence.resource = id;
      evidence.address = from.object;
      Hold hold;
      hold.resource = id;
      hold.frame = static_cast<std::uint32_t>(from.frame);
      hold.line = line_of_with(frame, from.handler);
      hold.confidence = from.releases ? Confidence::likely : Confidence::very_likely;
      hold.basis = Basis::value_stack;
      hold.evidence = {context_.ledger.add_evidence(std::move(evidence))};
      context_.ledger.add_hold(one.id, std::move(hold));
    }
  }

  LensContext& context_;
  Lookup lookup_;
  const AsyncLayout& layout_;
  const EventLoops& loops_;
  std::string source_;
  KnownTasks known_;
  std::map<std::pair<std::uint64_t, std::uint32_t>, std::uint32_t> labels_;
  std::map<std::pair<std::vector<std::uint32_t>, bool>, StackId> stacks_;
};

}  // namespace

void add_tasks(LensContext& context) {
  const Layout& version = *context.runtime().layout;
  const std::optional<AsyncLayout> layout = find_async_layout(context.view, version);
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    if (!layout) {
      if (find_global(context.objects(), interpreter.at, "asyncio.tasks", "Task"))
        context.ledger.add_note("asyncio-unread", Severity::warning,
                                "asyncio is in this process; its tasks are read from CPython 3.8 "
                                "on: which of them hold or wait for what is not told");
      continue;
    }
    const EventLoops loops =
        read_event_loops(*context.facts.python, *layout, interpreter, context.pthreads);
    if (loops.unknown_layout) {
      context.ledger.add_note("asyncio-unread", Severity::warning,
                              "asyncio's tasks have another form than CPython " +
                                  context.runtime().version + "'s: they are not read");
    }
    TaskWriter(context, *layout, loops).write();
  }
}

}  // namespace coldcase::cpython
