// Which tasks a report lists one by one: of hundred thousand that do the same in the same place one
// stands for the others.
#pragma once

#include "lens/cpython/task_waits.hpp"

namespace coldcase::cpython {

// A task with what it awaits and holds.
struct KnownTask {
  const AsyncTask* task = nullptr;
  std::optional<TaskWait> wait;  // none while it runs or is due
  std::vector<TaskHold> holds;
  TaskId id;                // in the report; of the one that stands for it
  bool listed = false;      // the id is its own
  std::uint64_t alike = 0;  // listed: so many stand behind it
};

struct KnownTasks {
  std::vector<KnownTask> tasks;
  std::map<Addr, std::size_t> by_address;
  std::map<Addr, std::uint64_t> waiters;  // by awaited object
  std::uint64_t not_listed = 0;           // beyond the limit, and nobody stands for them

  const KnownTask* find(Addr task) const;
};

KnownTasks know_tasks(const Objects& objects, const AsyncLayout& layout, const EventLoops& loops,
                      const std::set<Addr>& awaited_by_threads);

// Chooses the listed ones and gives them ids from `next` on.
void list_tasks(KnownTasks& known, TaskId next);

}  // namespace coldcase::cpython
