#include "lens/side_car_facts.hpp"

#include <algorithm>
#include <map>

#include "base/text.hpp"
#include "lens/basics.hpp"
#include "modules/symbols.hpp"

namespace coldcase {

namespace {

// The side-car's rows for the threads of the core, in its order; null where it has none.
std::vector<const TaskInfo*> tasks_of(const View& view) {
  // A kernel core written inside a container has the inner ids.
  const bool inner = view.core.process && view.core.process->pid != view.side_car->pid;
  std::map<std::int32_t, const TaskInfo*> tasks;
  for (const TaskInfo& task : view.side_car->tasks)
    tasks.emplace(inner && task.inner_tid != 0 ? task.inner_tid : task.tid, &task);
  std::vector<const TaskInfo*> found;
  for (const CoreThread& thread : view.core.threads) {
    const auto task = tasks.find(thread.tid);
    found.push_back(task == tasks.end() ? nullptr : task->second);
  }
  return found;
}

}  // namespace

void add_side_car_tasks(const View& view, Ledger& ledger) {
  if (view.side_car == nullptr) return;
  const std::vector<const TaskInfo*> tasks = tasks_of(view);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i] == nullptr) continue;
    ThreadFact& thread = ledger.thread(view.thread_id(i));
    thread.age_ms = tasks[i]->age_ms;
    if (tasks[i]->state == "T") thread.stopped = true;
    if (thread.cpu_ms || !tasks[i]->cpu_ms) continue;
    thread.cpu_ms = tasks[i]->cpu_ms;
    thread.cpu_from = CpuFrom::side_car;
    if (tasks[i]->cpu_system_ms <= tasks[i]->cpu_ms) thread.cpu_system_ms = tasks[i]->cpu_system_ms;
  }
}

void add_side_car_notes(const View& view, Ledger& ledger) {
  if (view.side_car == nullptr) return;
  const std::string pid = std::to_string(view.side_car->pid);
  const std::vector<const TaskInfo*> tasks = tasks_of(view);
  if (std::ranges::any_of(tasks, [](const TaskInfo* task) { return task && task->state == "T"; })) {
    ledger.add_note("process-stopped", Severity::warning,
                    "a signal has stopped process " + pid +
                        " (SIGSTOP, Ctrl-Z, reading the terminal in the background): nothing in "
                        "it moves before it gets SIGCONT",
                    {view.process}, "let it go on.", "kill -CONT " + pid);
  }
  constexpr std::size_t most = 4;
  std::size_t told = 0;
  for (const std::int64_t child : view.side_car->zombies) {
    const auto status = view.side_car->statuses.find(child);
    if (status == view.side_car->statuses.end() || status->second == 0) continue;
    const std::int64_t signal = status->second & 0x7f;
    if (++told > most) break;
    ledger.add_note(
        "child-ended", signal != 0 ? Severity::warning : Severity::info,
        "child " + std::to_string(child) + " of process " + pid +
            (signal != 0 ? " was ended by " + signal_name(signal)
                         : " ended with status " + std::to_string((status->second >> 8) & 0xff)) +
            ", and nobody has waited for it: what it owed the others comes no more",
        {view.process});
  }
}

// A thread is born with its creator's comm: only another name than the process's says something.
void add_side_car_names(const View& view, Ledger& ledger) {
  if (view.side_car == nullptr) return;
  const std::vector<const TaskInfo*> tasks = tasks_of(view);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    ThreadFact& thread = ledger.thread(view.thread_id(i));
    if (tasks[i] == nullptr || !thread.name.empty() || tasks[i]->name.empty() ||
        tasks[i]->name == view.side_car->name)
      continue;
    thread.name = clean_text(tasks[i]->name);
    thread.name_from = NameFrom::comm;
  }
}

void add_side_car_input(const View& view, const std::string& problem, Ledger& ledger) {
  if (!problem.empty()) {
    ledger.add_note("side-car-refused", Severity::warning,
                    "the side-car beside the core is not used: " + problem,
                    {InputId{view.process.index}});
  }
  if (view.side_car == nullptr) return;
  InputFact fact;
  fact.kind = InputKind::sidecar;
  fact.path = clean_text(shorten_home(view.side_car->path));
  fact.process = view.process;
  if (!view.side_car->taken_at.empty()) {
    fact.taken_at = view.side_car->taken_at;
    fact.taken_source = "side-car";
  }
  const InputId id{static_cast<std::uint32_t>(ledger.facts.inputs.size())};
  ledger.facts.inputs.push_back(std::move(fact));
  for (const std::string& gap : view.side_car->incomplete) {
    ledger.add_note("side-car-incomplete", Severity::info, "the side-car lacks: " + clean_text(gap),
                    {id});
  }
}

}  // namespace coldcase
