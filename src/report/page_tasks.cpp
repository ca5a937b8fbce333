#include "report/page_tasks.hpp"

#include <algorithm>
#include <map>

#include "base/text.hpp"
#include "report/names.hpp"

namespace coldcase::report {
namespace {

std::uint64_t weight(const TaskFact& task) {
  return task.alike.value_or(0) + 1;
}

std::string state_of(const TaskFact& task) {
  if (task.tag == Tag::behind) return "held up behind it";
  if (task.tag == Tag::deadlocked) return "deadlocked";
  if (task.tag == Tag::root_blocker) return "blocks others";
  if (task.state == TaskState::unknown) return "state unknown";
  return std::string(word(task.state));
}

std::string where_of(const Analysis& analysis, const TaskFact& task) {
  if (!task.stack.known()) return {};
  const Stack& stack = analysis.facts.stacks[task.stack.index];
  if (stack.frames.empty()) return {};
  const std::uint32_t site = task.site.value_or(0);
  if (site >= stack.frames.size()) return {};
  const Frame& frame = analysis.facts.frames[stack.frames[site]];
  const std::string place = place_text(frame.file, frame.line);
  return frame.function + (place.empty() ? "" : " at " + place);
}

std::string what_of(const Analysis& analysis, const TaskFact& task) {
  std::vector<std::string> parts;
  if (task.wait && task.state != TaskState::running)
    parts.push_back("waits for " + wait_target(analysis, *task.wait));
  for (const Hold& hold : task.holds) {
    if (hold.resource.known() && parts.size() < 3)
      parts.push_back("has " + resource_name(analysis, hold.resource));
  }
  return join(parts, ", ");
}

std::string plain_name(const TaskFact& task) {
  return task.name.empty() ? "no name" : task.name;
}

constexpr std::size_t names_listed = 4;

void add_name(TaskGroup& group, std::size_t& named, const TaskFact& task) {
  if (++named > names_listed) return;
  group.names += (group.names.empty() ? "" : ", ") + plain_name(task);
}

}  // namespace

std::vector<TaskId> involved_tasks(const Analysis& analysis, const Finding* finding) {
  if (finding == nullptr || finding->kind == FindingKind::info) return {};
  std::vector<TaskId> tasks;
  for (const TaskId id : finding->tasks) {
    if (id.index < analysis.facts.tasks.size() && std::ranges::find(tasks, id) == tasks.end())
      tasks.push_back(id);
  }
  return tasks;
}

std::vector<TaskId> other_tasks(const Analysis& analysis, const Finding* finding) {
  std::vector<bool> involved(analysis.facts.tasks.size());
  for (const TaskId id : involved_tasks(analysis, finding)) involved[id.index] = true;
  std::vector<TaskId> others;
  for (std::uint32_t i = 0; i < involved.size(); ++i) {
    if (!involved[i]) others.push_back({i});
  }
  return others;
}

std::vector<TaskBlock> task_blocks(const Analysis& analysis, const std::vector<TaskId>& tasks) {
  std::vector<TaskBlock> blocks;
  FrameNames names(analysis, false);
  for (const TaskId id : tasks) {
    const TaskFact& task = at(analysis, id);
    std::vector<StackLine> lines =
        stack_lines(analysis, {task.stack, task.wait, task.holds}, names);
    const auto found = std::ranges::find_if(
        blocks, [&](const TaskBlock& block) { return same_lines(block.lines, lines); });
    if (found == blocks.end())
      blocks.push_back({{id}, std::move(lines)});
    else
      found->tasks.push_back(id);
  }
  return blocks;
}

std::string block_title(const Analysis& analysis, const TaskBlock& block) {
  constexpr std::size_t listed = 6;
  std::string title;
  for (std::size_t i = 0; i < block.tasks.size(); ++i) {
    if (i == listed && block.tasks.size() > listed + 1) {
      title += " and " + std::to_string(block.tasks.size() - listed) + " more";
      break;
    }
    title += (i > 0 ? ", " : "") + task_name(analysis, block.tasks[i]);
  }
  const ThreadId thread = at(analysis, block.tasks.front()).thread;
  if (thread.known()) title += ", in the loop of " + thread_name(analysis, thread);
  return title;
}

std::vector<TaskGroup> task_groups(const Analysis& analysis, const std::vector<TaskId>& tasks) {
  std::vector<TaskGroup> groups;
  std::vector<std::size_t> named;
  std::map<std::vector<std::string>, std::size_t> places;
  for (const TaskId id : tasks) {
    const TaskFact& task = at(analysis, id);
    TaskGroup group{0, state_of(task), {}, what_of(analysis, task), where_of(analysis, task)};
    const auto [place, fresh] =
        places.try_emplace({group.state, group.what, group.where}, groups.size());
    if (fresh) {
      groups.push_back(std::move(group));
      named.push_back(0);
    }
    groups[place->second].count += weight(task);
    add_name(groups[place->second], named[place->second], task);
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const std::uint64_t untold = groups[i].count - std::min(named[i], names_listed);
    if (untold > 0) groups[i].names += " and " + std::to_string(untold) + " more";
  }
  const auto behind = [](const TaskGroup& group) { return group.state == "held up behind it"; };
  std::ranges::stable_sort(groups, [&](const TaskGroup& a, const TaskGroup& b) {
    if (behind(a) != behind(b)) return behind(a);
    return a.count > b.count;
  });
  return groups;
}

std::uint64_t count_tasks(const Analysis& analysis, const std::vector<TaskId>& tasks) {
  std::uint64_t count = 0;
  for (const TaskId id : tasks) count += weight(at(analysis, id));
  return count;
}

std::string tasks_text(const Analysis& analysis, const std::vector<TaskId>& tasks) {
  if (tasks.empty()) return {};
  std::vector<std::pair<std::string, std::uint64_t>> states;
  for (const TaskId id : tasks) {
    const TaskFact& task = at(analysis, id);
    const std::string state = state_of(task);
    const auto found = std::ranges::find(states, state, [](const auto& one) { return one.first; });
    if (found == states.end())
      states.emplace_back(state, weight(task));
    else
      found->second += weight(task);
  }
  std::ranges::stable_sort(states,
                           [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text = counted(count_tasks(analysis, tasks), "task");
  if (states.size() == 1)
    return text + (count_tasks(analysis, tasks) == 1 ? ", " : ", all ") + states.front().first;
  std::vector<std::string> parts;
  parts.reserve(states.size());
  for (const auto& [state, count] : states) parts.push_back(std::to_string(count) + " " + state);
  return text + ": " + join(parts, ", ");
}

}  // namespace coldcase::report
