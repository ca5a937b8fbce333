#include "lens/cpython/task_list.hpp"

#include <algorithm>
#include <tuple>

namespace coldcase::cpython {
namespace {

constexpr std::uint64_t most_alike = 20;  // of one group, told one by one
constexpr std::size_t most_listed = 2'000;

// What makes two tasks do the same in the same place. An object that one task alone waits for (each
// connection has an event of its own) does not tell them apart.
struct Likeness {
  Addr loop;
  std::uint8_t state = 0;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> frames;  // code object, line
  WaitKind kind = WaitKind::unknown;
  Addr object;
  std::optional<Ends> ends;
  std::vector<Addr> holds;    // that somebody waits for
  std::vector<Addr> targets;  // tasks that many wait for
  friend auto operator<=>(const Likeness&, const Likeness&) = default;
};

class Lister {
 public:
  Lister(KnownTasks& known, TaskId next) : known_(known), next_(next) {}

  void run() {
    for (KnownTask& task : known_.tasks) {
      for (const Addr target : targets(task)) ++awaited_[target];
    }
    // Who holds what others want, and whom others wait for by name, comes before the limit.
    for (KnownTask& task : known_.tasks) {
      if (matters(task)) place(task);
    }
    for (KnownTask& task : known_.tasks) {
      if (!task.id.known()) place(task);
    }
  }

 private:
  static std::vector<Addr> targets(const KnownTask& task) {
    return task.wait ? task.wait->tasks : std::vector<Addr>{};
  }

  bool wanted(Addr object) const {
    const auto at = known_.waiters.find(object);
    return at != known_.waiters.end() && at->second > 0;
  }

  bool matters(const KnownTask& task) const {
    if (task.task->current) return true;
    return std::ranges::any_of(task.holds,
                               [&](const TaskHold& hold) { return wanted(hold.object); });
  }

  Likeness likeness_of(const KnownTask& task) const {
    Likeness key;
    key.loop = task.task->loop;
    key.state = static_cast<std::uint8_t>((task.task->due ? 1 : 0) + (task.task->current ? 2 : 0));
    for (const PythonFrame& frame : task.task->chain.frames)
      key.frames.emplace_back(frame.code->at.value, frame.line);
    for (const TaskHold& hold : task.holds) {
      if (wanted(hold.object)) key.holds.push_back(hold.object);
    }
    if (!task.wait) return key;
    key.kind = task.wait->kind;
    key.ends = task.wait->ends;
    const auto shared = known_.waiters.find(task.wait->object);
    if (shared != known_.waiters.end() && shared->second > 1) key.object = task.wait->object;
    for (const Addr target : task.wait->tasks) {
      if (key.targets.size() < 4 && awaited_.at(target) > 1) key.targets.push_back(target);
    }
    return key;
  }

  void place(KnownTask& task) {
    auto& [count, last] = groups_[likeness_of(task)];
    if (count < most_alike && listed_ < most_listed) {
      ++count;
      ++listed_;
      task.id = next_;
      task.listed = true;
      ++next_.index;
      last = &task;
      return;
    }
    if (last == nullptr) {
      ++known_.not_listed;
      return;
    }
    task.id = last->id;
    ++last->alike;
  }

  KnownTasks& known_;
  TaskId next_;
  std::size_t listed_ = 0;
  std::map<Addr, std::uint64_t> awaited_;
  std::map<Likeness, std::pair<std::uint64_t, KnownTask*>> groups_;
};

}  // namespace

const KnownTask* KnownTasks::find(Addr task) const {
  const auto at = by_address.find(task);
  return at == by_address.end() ? nullptr : &tasks[at->second];
}

KnownTasks know_tasks(const Objects& objects, const AsyncLayout& layout, const EventLoops& loops,
                      const std::set<Addr>& awaited_by_threads) {
  KnownTasks known;
  const Futures futures(objects, layout);
  for (const Addr object : awaited_by_threads) ++known.waiters[object];
  for (const AsyncTask& task : loops.tasks) {
    KnownTask one;
    one.task = &task;
    if (!task.current && !task.due) {
      one.wait = find_task_wait(objects, layout, futures, task);
      if (one.wait->object.value != 0) ++known.waiters[one.wait->object];
    }
    if (!task.chain.running) one.holds = find_task_holds(objects, task);
    known.by_address.emplace(task.at, known.tasks.size());
    known.tasks.push_back(std::move(one));
  }
  return known;
}

void list_tasks(KnownTasks& known, TaskId next) {
  Lister(known, next).run();
}

}  // namespace coldcase::cpython
