#include "report/names.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "waits/graph.hpp"

namespace coldcase::report {

const ThreadFact& at(const Analysis& analysis, ThreadId id) {
  return analysis.facts.threads[id.index];
}

const ResourceFact& at(const Analysis& analysis, ResourceId id) {
  return analysis.facts.resources[id.index];
}

const TaskFact& at(const Analysis& analysis, TaskId id) {
  return analysis.facts.tasks[id.index];
}

namespace {

std::string named(const Analysis& analysis, ThreadId id, const char* before_tid) {
  if (!id.known()) return "an unknown thread";
  const ThreadFact& thread = at(analysis, id);
  std::string name = thread.name.empty() ? thread.entry : thread.name;
  if (name.empty()) name = "thread";
  if (thread.tid) name += std::string(" (") + before_tid + std::to_string(*thread.tid) + ")";
  // Only where tids alone could mislead: several processes in one report.
  if (has_several_processes(analysis.facts) && thread.process.known()) {
    const auto& place = analysis.facts.processes[thread.process.index].mpi;
    name += " of " + (place ? "rank " + std::to_string(place->rank)
                            : process_name(analysis, thread.process));
  }
  return name;
}

}  // namespace

std::string thread_name(const Analysis& analysis, ThreadId id) {
  return named(analysis, id, "LWP ");
}

std::string short_name(const Analysis& analysis, ThreadId id) {
  return named(analysis, id, "");
}

std::string task_name(const Analysis& analysis, TaskId id) {
  if (!id.known()) return "an unknown task";
  const TaskFact& task = at(analysis, id);
  std::string name = task.name.empty() ? "a task" : task.name;
  if (!name.starts_with("Task-") && !task.name.empty()) name.insert(0, "task ");
  if (task.alike) name += " and " + std::to_string(*task.alike) + " alike";
  if (analysis.facts.processes.size() > 1 && task.process.known())
    name += " of " + process_name(analysis, task.process);
  return name;
}

std::string process_name(const Analysis& analysis, ProcessId id) {
  if (!id.known()) return "an unknown process";
  const ProcessFact& process = analysis.facts.processes[id.index];
  std::string name = process.label.empty() ? "process" : process.label;
  if (process.mpi) name = "rank " + std::to_string(process.mpi->rank) + ", process";
  if (process.pid) name += " " + std::to_string(*process.pid);
  if (process.fate == Fate::exited) name += " (ended)";
  if (process.fate == Fate::killed && !process.captured) name += " (killed)";
  return name;
}

std::string resource_name(const Analysis& analysis, ResourceId id) {
  const ResourceFact& resource = at(analysis, id);
  std::string name = resource.label.empty() ? "a " + kind_text(resource.kind) : resource.label;
  // A communicator is at another address in each of its ranks.
  const bool plain = resource.kind == WaitKind::gil || resource.kind == WaitKind::collective ||
                     resource.kind == WaitKind::future || resource.at.empty();
  if (!plain && name.find("0x") == std::string::npos)
    name += " at " + hex(resource.at.front().address.value);
  return name;
}

std::string ref_name(const Analysis& analysis, Ref ref) {
  switch (ref.kind) {
    case RefKind::thread:
      return short_name(analysis, ref.as<RefKind::thread>());
    case RefKind::resource:
      return resource_name(analysis, ref.as<RefKind::resource>());
    case RefKind::process:
      return process_name(analysis, ref.as<RefKind::process>());
    case RefKind::task:
      return task_name(analysis, ref.as<RefKind::task>());
    case RefKind::module:
      return analysis.facts.modules[ref.index].name;
    case RefKind::input:
      return std::string(base_name(analysis.facts.inputs[ref.index].path));
    case RefKind::none:
    case RefKind::runtime:
    case RefKind::interpreter:
    case RefKind::finding:
    case RefKind::stack:
    case RefKind::evidence:
      break;
  }
  return "unknown";
}

std::string mode_text(const std::optional<Mode>& mode) {
  if (mode == Mode::read || mode == Mode::shared) return ", for reading";
  if (mode == Mode::write) return ", for writing";
  return {};
}

std::string wait_mode_text(const Wait& wait) {
  if (wait.kind != WaitKind::queue || !wait.mode) return mode_text(wait.mode);
  return wait.mode == Mode::write ? ", to put" : ", to get";
}

std::string kind_text(WaitKind kind) {
  if (kind == WaitKind::gil) return "GIL";
  if (kind == WaitKind::io) return "I/O";
  if (kind == WaitKind::unknown) return "something unknown";
  if (kind == WaitKind::gpu_work) return "GPU work";
  std::string text(word(kind));
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string confidence_text(Confidence confidence) {
  std::string text(word(confidence));
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string basis_text(Basis basis) {
  switch (basis) {
    case Basis::register_:
      return "the thread's registers";
    case Basis::owner_word:
      return "the lock's own owner field";
    case Basis::memory:
      return "the process's memory";
    case Basis::interpreter:
      return "the interpreter's own record";
    case Basis::value_stack:
      return "the Python frame's values";
    case Basis::landing_pad:
      return "a caller's exception cleanup";
    case Basis::cleanup_buffer:
      return "a record on the thread's stack";
    case Basis::debug_info:
      return "debug information";
    case Basis::call_site:
      return "the call in the machine code";
    case Basis::name_string:
      return "a name in memory";
    case Basis::exclusion:
      return "all others were read and do not have it";
    case Basis::side_car:
      return "the file beside the core";
    case Basis::stack_scan:
      return "words found on the stack";
    case Basis::inference:
      return "inferred";
  }
  return {};
}

std::string verdict_text(VerdictKind kind) {
  switch (kind) {
    case VerdictKind::deadlock:
      return "DEADLOCK";
    case VerdictKind::hang:
      return "HANG";
    case VerdictKind::crash:
      return "CRASH";
    case VerdictKind::none:
      return "NO DEADLOCK FOUND";
    case VerdictKind::inconclusive:
      return "INCONCLUSIVE";
  }
  return {};
}

std::string finding_text(FindingKind kind) {
  switch (kind) {
    case FindingKind::deadlock:
      return "DEADLOCK";
    case FindingKind::hang:
      return "HANG";
    case FindingKind::crash:
      return "CRASH";
    case FindingKind::info:
      return "WORTH KNOWING";
  }
  return {};
}

namespace {

// "/rustc/<commit>/library/std/src/thread/mod.rs": its folder is on nobody's machine.
std::string_view without_rustc(std::string_view file) {
  constexpr std::string_view folder = "/rustc/";
  const auto end = file.find('/', folder.size());
  const bool whole = file.starts_with(folder) && end != std::string_view::npos;
  return whole ? file.substr(end + 1) : file;
}

}  // namespace

std::string place_text(const std::string& file, const std::optional<std::uint32_t>& line) {
  std::string text(without_rustc(file));
  if (!text.empty() && line) text += ":" + std::to_string(*line);
  return text;
}

std::string wait_target(const Analysis& analysis, const Wait& wait) {
  if (wait.on.empty()) {
    if (wait.kind == WaitKind::sleep) return "a sleep to end";
    if (wait.kind == WaitKind::thread_exit) return "a thread to end";
    if (wait.kind == WaitKind::process_exit) return "a process to end";
    if (wait.kind == WaitKind::task) return "a task to end";
    if (wait.kind == WaitKind::io || wait.kind == WaitKind::unknown ||
        wait.kind == WaitKind::gpu_work)
      return kind_text(wait.kind);
    return (wait.kind == WaitKind::gil ? "the " : "a ") + kind_text(wait.kind);
  }
  std::string text = ref_name(analysis, wait.on.front());
  const RefKind kind = wait.on.front().kind;
  if (wait.kind == WaitKind::io && kind == RefKind::process) return "a message with " + text;
  if (kind == RefKind::thread || kind == RefKind::process || kind == RefKind::task)
    text += " to end";
  if (wait.on.size() > 1)
    text += (wait.all == true ? " and " : " or ") + counted(wait.on.size() - 1, "other");
  text += wait_mode_text(wait);
  const ResourceId resource = wait.on.front().as<RefKind::resource>();
  const std::string details = resource.known() ? at(analysis, resource).details : std::string();
  return details.empty() ? text : text + " (" + details + ")";
}

std::string time_text(const std::string& time) {
  const bool shaped = time.size() >= 20 && time[10] == 'T' && time[13] == ':' && time.back() == 'Z';
  if (!shaped) return time;
  return time.substr(0, 10) + " " + time.substr(11, 5) + " UTC";
}

}  // namespace coldcase::report
