#include "lens/cpython/loop_futures.hpp"

#include <algorithm>

#include "base/rings.hpp"
#include "base/text.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_due = 100'000;      // callbacks of one loop
constexpr std::size_t most_callbacks = 1'000;  // of one future
constexpr std::size_t frames_searched = 16;    // of a waiting thread, for loops

bool in_file(const PythonFrame& frame, std::string_view name) {
  return frame.code->file.ends_with(name) && ring_of_python(frame.code->file) == Ring::runtime;
}

class Producers {
 public:
  explicit Producers(const LoopFutures& of)
      : of_(of), objects_(of.context.objects()), futures_(objects_, of.layout) {}

  void add() {
    find_workers();
    find_due();
    auto& resources = of_.context.ledger.facts.resources;
    for (std::uint32_t r = 0; r < resources.size(); ++r) {
      if (resources[r].kind != WaitKind::future || resources[r].waiters.empty()) continue;
      for (std::size_t i = 0; i < resources[r].at.size(); ++i) {
        const Place place = resources[r].at[i];
        if (place.process == of_.context.view.process) explain({r}, place.address);
      }
    }
    for (const KnownTask& one : of_.known.tasks) {
      if (one.listed && one.wait && one.wait->shutdown) explain_shutdown(one);
    }
  }

 private:
  // concurrent/futures/thread.py, 3.8 to 3.13: _WorkItem.run calls the function of its future.
  void find_workers() {
    for (const Interpreter& interpreter : of_.context.runtime().interpreters) {
      for (const PyThread& thread : interpreter.threads) {
        for (const auto& run : thread.runs) {
          for (const PythonFrame& frame : run) add_worker(thread, frame);
        }
      }
    }
  }

  void add_worker(const PyThread& thread, const PythonFrame& frame) {
    if (!thread.core_thread) return;
    if (last_part(frame.code->name) == "run" && in_file(frame, "concurrent/futures/thread.py")) {
      const auto item = find_self(objects_, frame);
      const auto future = item ? objects_.find_attribute(*item, "future") : std::nullopt;
      if (future) workers_.emplace(*future, *thread.core_thread);
    }
    // asyncio/base_events.py, 3.9 to 3.13: the thread that joins the default executor's.
    if (last_part(frame.code->name) == "_do_shutdown" && in_file(frame, "asyncio/base_events.py")) {
      if (const auto future = find_local(objects_, frame, "future"))
        workers_.emplace(*future, *thread.core_thread);
    }
  }

  void find_due() {
    for (const EventLoop& loop : of_.loops.loops) add_due(loop);
  }

  // run_coroutine_threadsafe hands the loop a function whose closure has the future; until the loop
  // comes to it, nothing else leads from the one to the other.
  void add_due(const EventLoop& loop) {
    if (!searched_.insert(loop.at).second) return;
    for (const auto& words : read_due(objects_, loop, most_due)) {
      for (const Addr word : words) {
        if (code_name_of(objects_, word) != "callback") continue;
        const auto future = find_closure(objects_, of_.layout, word, "future");
        if (future) due_.emplace(*future, loop);
      }
    }
  }

  Evidence evidence(ResourceId resource, Addr at, std::string claim) const {
    Evidence made;
    made.claim = std::move(claim);
    made.basis = Basis::interpreter;
    made.process = of_.context.view.process;
    made.resource = resource;
    made.address = at;
    made.source = "asyncio and concurrent.futures, CPython " + of_.context.runtime().version;
    return made;
  }

  void feed(ResourceId id, Ref by, Evidence evidence) {
    Ledger& ledger = of_.context.ledger;
    ledger.resource(id).owner_unknown_code = "no_owner";
    ledger.resource(id).owner_unknown_text = "nobody owns it: it has to be produced";
    ledger.resource(id).feeders.push_back({by,
                                           std::nullopt,
                                           Confidence::proved,
                                           Basis::interpreter,
                                           {ledger.add_evidence(std::move(evidence))}});
    for (const Ref waiter : ledger.resource(id).waiters) {
      const ThreadId thread = waiter.as<RefKind::thread>();
      if (thread.known()) ledger.thread(thread).state = coldcase::ThreadState::blocked;
    }
  }

  void explain(ResourceId id, Addr future) {
    if (!of_.context.ledger.resource(id).feeders.empty()) return;
    if (const auto worker = workers_.find(future); worker != workers_.end()) {
      name(id, "a call in a thread of an executor");
      return feed(id, of_.context.view.thread_id(worker->second),
                  evidence(id, future, "this thread runs the call whose result the future gets"));
    }
    if (explain_by_source(id, future)) return;
    if (!due_.contains(future)) find_loops_of_waiters(id);
    const auto due = due_.find(future);
    if (due == due_.end()) return;
    name(id, "the result of a coroutine that its loop has not begun");
    run_by(id, due->second,
           evidence(id, future,
                    "a callback that is due in the loop would start what fulfils this future: its "
                    "closure has the future"),
           of_.context.view);
  }

  // A future that is chained to a task of asyncio has a callback that knows the task.
  bool explain_by_source(ResourceId id, Addr future) {
    const auto list = objects_.find_attribute(future, "_done_callbacks");
    if (!list) return false;
    for (const Addr callback : read_list(objects_, *list, most_callbacks)) {
      if (code_name_of(objects_, callback) != "_call_check_cancel") continue;
      const auto source = find_closure(objects_, of_.layout, callback, "source");
      if (!source || !futures_.is_future(*source)) continue;
      const Addr at = futures_.loop_of(*source);
      const EventLoop* loop = of_.loops.find_loop(at);
      const KnownTask* task = of_.known.find(*source);
      Evidence claim = evidence(id, future, "the future's callback is chained to this task");
      if (task != nullptr && task->id.known()) {
        name(id, "the result of " + (task->task->name.starts_with("Task-")
                                         ? task->task->name
                                         : "task " + task->task->name));
        claim.task = task->id;
      }
      if (loop == nullptr) return true;
      if (task != nullptr && task->id.known() && loop->running != false) {
        of_.context.ledger.resource(id).part_of = loop_resource(of_.context, *loop);
        feed(id, task->id, std::move(claim));
      } else {
        run_by(id, *loop, std::move(claim), of_.context.view);
      }
      return true;
    }
    return false;
  }

  void run_by(ResourceId id, const EventLoop& loop, Evidence claim, const View& view) {
    Ledger& ledger = of_.context.ledger;
    const ResourceId loop_id = loop_resource(of_.context, loop);
    ledger.resource(id).part_of = loop_id;
    if (loop.core_thread) return feed(id, view.thread_id(*loop.core_thread), std::move(claim));
    if (loop.running != false) return;
    ResourceFact& fact = ledger.resource(id);
    fact.owner_unknown_code = loop.closed == true ? "loop_closed" : "loop_not_running";
    fact.owner_unknown_text = loop.closed == true
                                  ? "the event loop that would produce it is closed"
                                  : "no thread runs the event loop that would produce it";
    const EvidenceId known = ledger.add_evidence(std::move(claim));
    for (const Ref waiter : fact.waiters) {
      const ThreadId thread = waiter.as<RefKind::thread>();
      if (!thread.known()) continue;
      ledger.thread(thread).state = coldcase::ThreadState::blocked;
      ledger.thread(thread).wait->evidence.push_back(known);
    }
  }

  void name(ResourceId id, const std::string& label) {
    ResourceFact& fact = of_.context.ledger.resource(id);
    if (fact.label.empty() || fact.label.find("Future at 0x") != std::string::npos)
      fact.label = label;
  }

  // A loop that no thread runs and that has no task is known only to who asked it.
  void find_loops_of_waiters(ResourceId id) {
    for (const Ref waiter : of_.context.ledger.resource(id).waiters) {
      const ThreadId waiting = waiter.as<RefKind::thread>();
      if (!waiting.known()) continue;
      for (const Interpreter& interpreter : of_.context.runtime().interpreters) {
        for (const PyThread& thread : interpreter.threads) {
          if (thread.core_thread && of_.context.view.thread_id(*thread.core_thread) == waiting)
            search(thread);
        }
      }
    }
  }

  void search(const PyThread& thread) {
    std::size_t looked = 0;
    for (const auto& run : thread.runs) {
      for (const PythonFrame& frame : run) {
        if (++looked > frames_searched) return;
        for (const Addr slot : read_slots(objects_, frame)) add_loop(out_of_cell(objects_, slot));
        if (const auto self = find_self(objects_, frame)) {
          objects_.each_attribute(*self, [&](Addr, Addr value) {
            add_loop(value);
            return true;
          });
        }
      }
    }
  }

  void add_loop(Addr at) {
    if (at.value == 0 || searched_.contains(at) || !objects_.type_name(at).ends_with("Loop"))
      return;
    EventLoop loop;
    loop.at = at;
    loop.type = loop_type(objects_, at);
    fill_loop(objects_, of_.context.pthreads, loop);
    if (loop.ready.value != 0) add_due(loop);
  }

  void explain_shutdown(const KnownTask& one) {
    Ledger& ledger = of_.context.ledger;
    const Addr future = one.task->waiter;
    const ResourceId id =
        ledger.resource_at(of_.context.view.process, future, WaitKind::future, "asyncio.Future");
    ledger.resource(id).label = "the end of the default executor's threads";
    ledger.resource(id).state = LockState::waiting;
    ledger.resource(id).part_of = ledger.task(one.id).loop;
    Wait wait = *ledger.task(one.id).wait;
    wait.on = {id};
    ledger.set_wait(one.id, std::move(wait));
    const auto worker = workers_.find(future);
    if (worker == workers_.end()) return;
    feed(id, of_.context.view.thread_id(worker->second),
         evidence(id, future, "this thread waits for the executor's threads and then fulfils it"));
  }

  const LoopFutures& of_;
  const Objects& objects_;
  Futures futures_;
  std::map<Addr, std::size_t> workers_;  // by future: the core's thread that works for it
  std::map<Addr, EventLoop> due_;        // by future: the loop that has not begun its coroutine
  std::set<Addr> searched_;
};

}  // namespace

ResourceId loop_resource(LensContext& context, const EventLoop& loop) {
  const ResourceId id =
      context.ledger.resource_at(context.view.process, loop.at, WaitKind::event_loop,
                                 loop.native() ? loop.type : "asyncio." + loop.type);
  ResourceFact& fact = context.ledger.resource(id);
  if (!fact.label.empty()) return id;
  const std::string whose = loop.native() ? "uvloop's event loop" : "the event loop";
  fact.label = whose + " at " + hex(loop.at.value);
  if (loop.core_thread) {
    const ThreadFact& thread = context.ledger.thread(context.view.thread_id(*loop.core_thread));
    fact.label =
        whose + " of " + (thread.name.empty() ? context.lwp(*loop.core_thread) : thread.name);
  }
  if (loop.ready_count)
    fact.words.push_back({"ready", Addr{}, *loop.ready_count, "callbacks due to run"});
  if (loop.timer_count) fact.words.push_back({"scheduled", Addr{}, *loop.timer_count, "timers"});
  if (loop.file_count)
    fact.words.push_back({"registered", Addr{}, *loop.file_count, "files it watches"});
  if (loop.closed) fact.words.push_back({"closed", Addr{}, *loop.closed ? 1u : 0u, ""});
  if (loop.running == false) {
    fact.owner_unknown_code = loop.closed == true ? "loop_closed" : "loop_not_running";
    fact.owner_unknown_text = loop.closed == true ? "the loop is closed" : "no thread runs it";
  }
  return id;
}

void add_loop_futures(const LoopFutures& of) {
  Producers(of).add();
}

}  // namespace coldcase::cpython
