// Tasks of event loops in a report: the await chains of those in a finding, what the others do in a
// line each, and in one sentence when none matters. From an analysis that cleaned() made.
#pragma once

#include <coldcase/analysis.hpp>
#include <string>
#include <vector>

#include "report/page.hpp"

namespace coldcase::report {

// Those of the finding; none without one, or when it is only worth knowing.
std::vector<TaskId> involved_tasks(const Analysis& analysis, const Finding* finding);
std::vector<TaskId> other_tasks(const Analysis& analysis, const Finding* finding);

struct TaskBlock {
  std::vector<TaskId> tasks;  // all with the very same lines
  std::vector<StackLine> lines;
};
std::vector<TaskBlock> task_blocks(const Analysis& analysis, const std::vector<TaskId>& tasks);
// "task fetch, in the loop of MainThread (LWP 885)"
std::string block_title(const Analysis& analysis, const TaskBlock& block);

struct TaskGroup {
  std::uint64_t count = 0;
  std::string state;  // "idle", "held up behind it"
  std::string names;  // "fetch, store"
  std::string what;   // "waits for asyncio.Lock gate"
  std::string where;  // "fetch at app.py:12"
};
// The largest first; who is held up before the others. At most group_limit, the rest is counted.
std::vector<TaskGroup> task_groups(const Analysis& analysis, const std::vector<TaskId>& tasks);

// With those that a listed one stands for.
std::uint64_t count_tasks(const Analysis& analysis, const std::vector<TaskId>& tasks);
// "143 tasks: 140 idle, 3 ready"; empty without tasks.
std::string tasks_text(const Analysis& analysis, const std::vector<TaskId>& tasks);

}  // namespace coldcase::report
