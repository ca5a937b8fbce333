// The driver behind `coldcase show`: tables from an Analysis.
#include <coldcase/inspect.hpp>

#include <algorithm>
#include <set>

#include "base/digest.hpp"
#include "base/text.hpp"
#include "bytes/input.hpp"
#include "core/core.hpp"
#include "diagnose/diagnose.hpp"
#include "image/image.hpp"
#include "inspect_parts.hpp"
#include "lens/mpi/job.hpp"

namespace coldcase {

std::string name_of(const ThreadFact& thread) {
  return thread.name.empty() ? thread.entry : thread.name;
}

std::string lwp_of(const Facts& facts, Ref ref) {
  if (const auto thread = ref.as<RefKind::thread>();
      thread.known() && facts.threads[thread.index].tid) {
    return "LWP " + std::to_string(*facts.threads[thread.index].tid);
  }
  if (const auto resource = ref.as<RefKind::resource>(); resource.known())
    return facts.resources[resource.index].label;
  if (const auto process = ref.as<RefKind::process>(); process.known()) {
    const ProcessFact& fact = facts.processes[process.index];
    return fact.pid ? "process " + std::to_string(*fact.pid) : "a process";
  }
  if (const auto task = ref.as<RefKind::task>(); task.known()) {
    const std::string& name = facts.tasks[task.index].name;
    return name.starts_with("Task-") ? name : "task " + name;
  }
  return {};
}

std::string target_of(const Facts& facts, const ThreadFact& thread) {
  if (!thread.wait) return {};
  if (!thread.wait->on.empty()) return lwp_of(facts, thread.wait->on.front());
  std::string text(word(thread.wait->kind));
  if (!thread.wait->syscall_name.empty()) text += " (" + thread.wait->syscall_name + ")";
  return text;
}

std::string basis_of(const ResourceFact& resource) {
  std::vector<std::string> bases;
  for (const Owner& owner : resource.owners)
    bases.push_back(std::string(word(owner.confidence)) + " (" + std::string(word(owner.basis)) +
                    ")");
  if (resource.owners.empty() && resource.state == LockState::free) return {};
  return resource.owners.empty() ? resource.owner_unknown_text : join(bases, ", ");
}

bool is_of_no_account(const ResourceFact& resource) {
  const bool lock =
      resource.kind == WaitKind::python_lock || resource.kind == WaitKind::python_rlock;
  return lock && resource.state == LockState::free && resource.owners.empty() &&
         resource.waiters.empty();
}

std::string named(const Facts& facts, Ref ref) {
  const auto thread = ref.as<RefKind::thread>();
  const std::string name = thread.known() ? name_of(facts.threads[thread.index]) : "";
  const std::string number = lwp_of(facts, ref);
  return name.empty() ? number : name + " (" + number + ")";
}

std::string owners_of(const Facts& facts, const ResourceFact& resource) {
  std::vector<std::string> names;
  for (const Owner& owner : resource.owners) names.push_back(named(facts, owner.by));
  return join(names, ", ");
}

std::string waiters_of(const Facts& facts, const ResourceFact& resource) {
  const bool queue = resource.kind == WaitKind::queue;
  std::vector<std::string> names;
  for (const Ref waiter : resource.waiters) {
    std::string text = named(facts, waiter);
    const auto thread = waiter.as<RefKind::thread>();
    const auto mode = thread.known() && facts.threads[thread.index].wait
                          ? facts.threads[thread.index].wait->mode
                          : std::nullopt;
    if (mode == Mode::read) text += queue ? " to take" : " to read";
    if (mode == Mode::write) text += queue ? " to put" : " to write";
    names.push_back(std::move(text));
  }
  return join(names, ", ");
}

std::string state_of(const ResourceFact& resource) {
  return resource.details.empty() ? std::string(word(resource.state)) : resource.details;
}

namespace {

std::string text_of_frame(const Frame& frame) {
  if (frame.kind == FrameKind::repeat)
    return "the " + counted(frame.of.value_or(1), "frame") + " above, " +
           counted(frame.times.value_or(0), "more time");
  std::string text = frame.function.empty() ? "??" : frame.function;
  if (!frame.file.empty())
    text += " at " + frame.file + (frame.line ? ":" + std::to_string(*frame.line) : "");
  return text;
}

Table thread_table(const Facts& facts) {
  Table table{{"LWP", "name", "state", "waits for", "at"}, {}};
  for (const ThreadFact& thread : facts.threads) {
    std::string site;
    if (thread.site && thread.stack.known())
      site = text_of_frame(facts.frames[facts.stacks[thread.stack.index].frames[*thread.site]]);
    table.rows.push_back({thread.tid ? std::to_string(*thread.tid) : "", name_of(thread),
                          std::string(word(thread.state)), target_of(facts, thread), site});
  }
  return table;
}

Table stack_table(const Facts& facts) {
  Table table{{"LWP", "frame", "kind", "function", "module", "trust"}, {}};
  for (const ThreadFact& thread : facts.threads) {
    if (!thread.stack.known()) continue;
    std::size_t depth = 0;
    for (const std::uint32_t f : facts.stacks[thread.stack.index].frames) {
      const Frame& frame = facts.frames[f];
      table.rows.push_back({thread.tid ? std::to_string(*thread.tid) : "", std::to_string(depth++),
                            std::string(word(frame.kind)), text_of_frame(frame),
                            frame.module.known() ? facts.modules[frame.module.index].name : "",
                            std::string(word(frame.trust))});
    }
  }
  return table;
}

std::string name_with_address(const ResourceFact& resource) {
  const bool told = resource.at.empty() || resource.kind == WaitKind::gil ||
                    resource.label.find("0x") != std::string::npos;
  return told ? resource.label : resource.label + " at " + hex(resource.at.front().address.value);
}

// The semaphore under a Python lock or a future: told with what the thread waits for.
std::set<ResourceId> beneath_others(const Facts& facts) {
  std::set<ResourceId> beneath, awaited;
  for (const ThreadFact& thread : facts.threads) {
    if (!thread.wait) continue;
    if (thread.wait->at.known()) beneath.insert(thread.wait->at);
    for (const Ref on : thread.wait->on) awaited.insert(on.as<RefKind::resource>());
  }
  for (std::uint32_t r = 0; r < facts.resources.size(); ++r) {
    const ResourceFact& resource = facts.resources[r];
    const bool part = resource.part_of.known() && !awaited.contains({r});
    if (part) beneath.insert({r});
    if (!resource.owners.empty() || awaited.contains({r})) beneath.erase({r});
  }
  return beneath;
}

Table lock_table(const Facts& facts) {
  Table table{{"lock", "kind", "state", "held by", "how known", "waiters"}, {}};
  const std::set<ResourceId> beneath = beneath_others(facts);
  for (std::uint32_t r = 0; r < facts.resources.size(); ++r) {
    const ResourceFact& resource = facts.resources[r];
    if (beneath.contains({r}) || is_of_no_account(resource)) continue;
    table.rows.push_back({name_with_address(resource), std::string(word(resource.kind)),
                          state_of(resource), owners_of(facts, resource), basis_of(resource),
                          waiters_of(facts, resource)});
  }
  return table;
}

// The file that was used or refused; where none was found, where it was.
std::string file_of(const ModuleFact& module) {
  if (!module.refused.empty()) return module.refused;
  return module.file.empty() ? module.path : module.file;
}

// How it is known that the file is the one that was mapped.
std::string rung_of(const ModuleFact& module) {
  if (module.found == Found::missing) return {};
  if (module.found == Found::core) return "saved in the core";
  if (module.found == Found::mismatch) return "another build, not used";
  return module.identity.empty() ? "build-id" : "same layout";
}

Table module_table(const Facts& facts) {
  Table table{{"base", "module", "found", "identity", "symbols", "build-id", "file", "debug file",
               "source package", "to get what is missing"},
              {}};
  for (const ModuleFact& module : facts.modules) {
    std::string debug = module.debug_file;
    if (!module.supplement.empty()) debug += " with " + module.supplement;
    std::string package = module.package ? module.package->name : "";
    if (module.package && !module.package->version.empty())
      package += " " + module.package->version;
    table.rows.push_back({module.mapped.empty() ? "" : hex(module.mapped.front().address.value),
                          module.name, std::string(word(module.found)), rung_of(module),
                          std::string(word(module.symbols)), module.build_id, file_of(module),
                          debug, package, module.fetch});
  }
  return table;
}

std::string text_of_wait(const Facts& facts, const Wait& wait) {
  std::vector<std::string> on;
  for (const Ref ref : wait.on) on.push_back(lwp_of(facts, ref));
  std::string text = on.empty() ? std::string(word(wait.kind)) : join(on, ", ");
  if (wait.ends == Ends::timeout) text += " (ends by itself)";
  return text;
}

Table task_table(const Facts& facts) {
  Table table{{"task", "loop of", "state", "waits for", "has", "at", "more alike"}, {}};
  for (const TaskFact& task : facts.tasks) {
    std::vector<std::string> held;
    for (const Hold& hold : task.holds) held.push_back(facts.resources[hold.resource.index].label);
    std::string place;
    if (task.stack.known()) {
      const auto& frames = facts.stacks[task.stack.index].frames;
      const std::uint32_t at = task.site.value_or(0);
      if (at < frames.size()) place = text_of_frame(facts.frames[frames[at]]);
    }
    table.rows.push_back({task.name, lwp_of(facts, task.thread), std::string(word(task.state)),
                          task.wait ? text_of_wait(facts, *task.wait) : "", join(held, ", "), place,
                          task.alike ? std::to_string(*task.alike) : ""});
  }
  return table;
}

CoreIdentity identify_input(const Input& input) {
  const Core core = parse_core(input.content(), input.path);
  CoreIdentity identity;
  // A core cut short has the headers of the whole one: what is there of it is part of its identity.
  const std::string size = std::to_string(core.file.size());
  std::vector<Bytes> parts = core.identity;
  if (core.truncated()) parts.push_back(std::as_bytes(std::span(size.data(), size.size())));
  identity.content = sha256_hex(parts);
  if (core.process) identity.pid = std::max(core.process->pid, 0);
  if (core.process) identity.ppid = std::max(core.process->ppid, 0);
  identity.job = mpi::find_job(core, core_image(core));
  constexpr std::size_t most_threads = 4096;
  for (const CoreThread& thread : core.threads) {
    if (identity.threads.size() == most_threads) break;
    if (thread.tid > 0 && thread.tid != identity.pid) identity.threads.push_back(thread.tid);
  }
  return identity;
}

}  // namespace

Table make_table(const Analysis& analysis, TableKind kind) {
  switch (kind) {
    case TableKind::threads:
      return thread_table(analysis.facts);
    case TableKind::stacks:
      return stack_table(analysis.facts);
    case TableKind::locks:
      return lock_table(analysis.facts);
    case TableKind::modules:
      return module_table(analysis.facts);
    case TableKind::tasks:
      return task_table(analysis.facts);
  }
  return {};
}

ArgumentKind kind_of_argument(const std::string& path) {
  if (path == "-" || is_packed(path)) return ArgumentKind::core;
  try {
    const FileKind kind = reading_frames(
        [&](Unpack unpack) { return kind_of_file(open_input(path, unpack).content()); });
    switch (kind) {
      case FileKind::core:
        return ArgumentKind::core;
      case FileKind::program:
        return ArgumentKind::program;
      case FileKind::other:
        return ArgumentKind::other;
    }
  } catch (const Error&) {
    // Reading it for real will say what is wrong.
  }
  return ArgumentKind::other;
}

std::vector<CoreIdentity> identify(const std::string& path) {
  if (!may_hold_core(path))
    throw Error(Trouble::not_a_core, clean_text(path) + ": what is packed in it is no core");
  return reading_frames([&](Unpack unpack) {
    std::vector<CoreIdentity> identities;
    const std::vector<Input> inputs = open_inputs(path, unpack);
    for (const Input& input : inputs) {
      identities.push_back(identify_input(input));
      if (inputs.size() > 1) identities.back().member = input.path.substr(path.size() + 1);
    }
    return identities;
  });
}

std::vector<PatternInfo> known_patterns() {
  std::vector<PatternInfo> patterns;
  for (const Detector& detector : detectors()) {
    patterns.push_back({detector.pattern, word(detector.kind), detector.what, detector.proof});
  }
  return patterns;
}

}  // namespace coldcase
