#include "diagnose/inside.hpp"

#include <algorithm>
#include <array>

#include "waits/graph.hpp"

namespace coldcase {
namespace {

bool is_lock_kind(WaitKind kind) {
  static constexpr std::array kinds{
      WaitKind::mutex,       WaitKind::rwlock,       WaitKind::once,        WaitKind::static_guard,
      WaitKind::python_lock, WaitKind::python_rlock, WaitKind::thread_exit, WaitKind::stdio_lock,
      WaitKind::loader_lock, WaitKind::malloc_arena, WaitKind::import_lock};
  return std::ranges::find(kinds, kind) != kinds.end();
}

bool is_python(const ProcessFact& process) {
  return std::ranges::any_of(process.runtimes,
                             [](const RuntimeFact& runtime) { return runtime.kind == "cpython"; });
}

}  // namespace

bool is_signal_kind(WaitKind kind) {
  static constexpr std::array kinds{
      WaitKind::condition, WaitKind::semaphore, WaitKind::python_condition,
      WaitKind::queue,     WaitKind::future,    WaitKind::barrier,
      WaitKind::futex};
  return std::ranges::find(kinds, kind) != kinds.end();
}

bool ends_from_inside(const Facts& facts, const ThreadFact& thread) {
  if (!thread.wait || thread.wait->ends == Ends::timeout || thread.wait->on.empty()) return false;
  if (!is_signal_kind(thread.wait->kind) && !is_lock_kind(thread.wait->kind)) return false;
  return std::ranges::all_of(thread.wait->on, [&](Ref on) {
    const ResourceId id = on.as<RefKind::resource>();
    if (!id.known()) return on.as<RefKind::thread>().known();
    const ResourceFact& resource = facts.resources[id.index];
    const bool unread_workers = is_queued(facts, resource) && resource.feeders.empty();
    return !unread_workers && !may_be_shared(facts, resource);
  });
}

std::vector<std::string> waking_handlers(const ProcessFact& process) {
  static constexpr std::array ends{std::string_view("SIGINT"), std::string_view("SIGTERM"),
                                   std::string_view("SIGQUIT")};
  std::vector<std::string> names = process.python_handlers.value_or(std::vector<std::string>{});
  std::erase_if(
      names, [](const std::string& name) { return std::ranges::find(ends, name) != ends.end(); });
  return names;
}

// Handlers that end a program in order set an event for that, or notify; they seldom make items for
// a queue, or come to a barrier.
static ByHandler may_end_by_python(const Facts& facts, const ProcessFact& process,
                                   const Wait& wait) {
  if (!process.python_handlers || process.python_handlers->empty() || !is_signal_kind(wait.kind) ||
      wait.kind == WaitKind::barrier)
    return ByHandler::no;
  if (!waking_handlers(process).empty()) return ByHandler::yes;
  const ResourceId on = wait.on.empty() ? ResourceId{} : wait.on.front().as<RefKind::resource>();
  if (!on.known()) return ByHandler::no;
  static constexpr std::array types{std::string_view("threading.Event"),
                                    std::string_view("threading.Condition"),
                                    std::string_view("queue.SimpleQueue")};
  const std::string& type = facts.resources[on.index].implementation;
  return std::ranges::find(types, type) != types.end() ? ByHandler::yes : ByHandler::no;
}

ByHandler may_end_by_handler(const Facts& facts, const ThreadFact& thread) {
  const ProcessFact& process = facts.processes[thread.process.index];
  if (!thread.wait) return ByHandler::no;
  if (is_python(process)) return may_end_by_python(facts, process, *thread.wait);
  if (!process.handles_signals.value_or(false)) return ByHandler::no;
  if (thread.wait->kind == WaitKind::semaphore || thread.wait->kind == WaitKind::futex)
    return ByHandler::yes;
  return thread.wait->kind == WaitKind::condition ? ByHandler::forbidden : ByHandler::no;
}

bool runs_python(const Facts& facts, ThreadId thread) {
  return is_python(facts.processes[facts.threads[thread.index].process.index]);
}

bool all_wait_inside(const Facts& facts) {
  return !facts.threads.empty() &&
         std::ranges::all_of(facts.threads, [&](const ThreadFact& thread) {
           return thread.state != ThreadState::running && thread.state != ThreadState::spinning &&
                  ends_from_inside(facts, thread) && thread.wait->kind != WaitKind::futex;
         });
}

}  // namespace coldcase
