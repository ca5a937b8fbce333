// `coldcase show python`: what the Analysis says of CPython, from several sides.
#include <algorithm>
#include <array>
#include <coldcase/inspect.hpp>

#include "base/text.hpp"
#include "inspect_parts.hpp"

namespace coldcase {
namespace {

std::string yes(std::optional<bool> value) {
  return !value ? "" : *value ? "yes" : "no";
}

std::string tid_of(const ThreadFact& thread) {
  return thread.tid ? std::to_string(*thread.tid) : "";
}

// As target_of, and a thread or process by its name.
std::string wait_of(const Facts& facts, const ThreadFact& thread) {
  const bool single = thread.wait && thread.wait->on.size() == 1;
  const bool join = single && thread.wait->on.front().kind == RefKind::thread;
  std::string text =
      join ? "the end of " + named(facts, thread.wait->on.front()) : target_of(facts, thread);
  const std::size_t more = thread.wait && !thread.wait->on.empty() ? thread.wait->on.size() - 1 : 0;
  if (more > 0) text += thread.wait->all.value_or(false) ? " and " : " or ";
  if (more > 0) text += counted(more, "other");
  const bool timed = thread.wait && thread.wait->ends == Ends::timeout;
  return timed && thread.wait->kind != WaitKind::sleep ? text + " (ends by itself)" : text;
}

std::vector<std::string> interpreter_row(const Facts& facts, const std::string& pid,
                                         const std::string& version, const InterpreterFact& one) {
  std::vector<std::string> row{
      pid, version, "", "", yes(one.finalizing), one.gc ? yes(one.gc->running) : ""};
  if (one.gil.known()) {
    const ResourceFact& gil = facts.resources[one.gil.index];
    row[2] = word(gil.state);
    row[3] = owners_of(facts, gil);
  }
  return row;
}

Table interpreter_table(const Facts& facts) {
  Table table{{"process", "version", "GIL", "held by", "ending", "collecting"}, {}};
  for (const ProcessFact& process : facts.processes) {
    const std::string pid = process.pid ? std::to_string(*process.pid) : "";
    for (const RuntimeFact& runtime : process.runtimes) {
      if (runtime.kind != "cpython") continue;
      if (runtime.interpreters.empty())
        table.rows.push_back({pid, runtime.version, "", "", "", ""});
      for (const InterpreterFact& one : runtime.interpreters)
        table.rows.push_back(interpreter_row(facts, pid, runtime.version, one));
    }
  }
  return table;
}

// The frames of a stack that are Python's, innermost first.
std::vector<const Frame*> python_frames(const Facts& facts, const ThreadFact& thread) {
  std::vector<const Frame*> frames;
  if (!thread.stack.known()) return frames;
  for (const std::uint32_t f : facts.stacks[thread.stack.index].frames) {
    if (facts.frames[f].kind == FrameKind::python) frames.push_back(&facts.frames[f]);
  }
  return frames;
}

std::string place_of(const Frame& frame) {
  return frame.line ? frame.file + ":" + std::to_string(*frame.line) : frame.file;
}

// The innermost Python function of the user's own, or of any.
std::string python_site(const Facts& facts, const ThreadFact& thread) {
  const auto frames = python_frames(facts, thread);
  const auto own = std::ranges::find_if(
      frames, [](const Frame* frame) { return frame->in_app.value_or(false); });
  const Frame* frame = own != frames.end() ? *own : frames.empty() ? nullptr : frames.front();
  return frame == nullptr ? "" : frame->function + " at " + place_of(*frame);
}

Table thread_table(const Facts& facts) {
  Table table{{"LWP", "name", "ident", "daemon", "GIL", "state", "waits for", "holds", "in"}, {}};
  for (const ThreadFact& thread : facts.threads) {
    for (const PythonThread& python : thread.python) {
      std::vector<std::string> holds;
      for (const Hold& hold : thread.holds)
        holds.push_back(facts.resources[hold.resource.index].label);
      table.rows.push_back({tid_of(thread), python.name.empty() ? name_of(thread) : python.name,
                            python.ident, yes(python.daemon),
                            python.gil_state ? std::string(word(*python.gil_state)) : "",
                            std::string(word(thread.state)), wait_of(facts, thread),
                            join(holds, ", "), python_site(facts, thread)});
    }
  }
  return table;
}

Table stack_table(const Facts& facts) {
  Table table{{"LWP", "name", "frame", "function", "at"}, {}};
  for (const ThreadFact& thread : facts.threads) {
    std::size_t depth = 0;
    for (const Frame* frame : python_frames(facts, thread))
      table.rows.push_back({tid_of(thread), name_of(thread), std::to_string(depth++),
                            frame->function, place_of(*frame)});
  }
  return table;
}

bool is_pythons(const ResourceFact& resource) {
  static constexpr std::array kinds{
      WaitKind::gil,        WaitKind::python_lock,      WaitKind::python_rlock, WaitKind::queue,
      WaitKind::future,     WaitKind::python_condition, WaitKind::import_lock,  WaitKind::semlock,
      WaitKind::event_loop, WaitKind::asyncio_lock};
  // Semaphores and barriers are the C library's as well.
  return std::ranges::find(kinds, resource.kind) != kinds.end() ||
         resource.implementation.starts_with("threading.") ||
         resource.implementation.ends_with("SQLite database");
}

// In which function the holder took it, or is.
std::string taken_in(const Facts& facts, ResourceId id) {
  for (const ThreadFact& thread : facts.threads) {
    if (!thread.stack.known()) continue;
    const auto& frames = facts.stacks[thread.stack.index].frames;
    for (const Hold& hold : thread.holds) {
      if (hold.resource != id || !hold.frame || *hold.frame >= frames.size()) continue;
      const Frame& frame = facts.frames[frames[*hold.frame]];
      return frame.function + " at " + place_of(frame);
    }
  }
  return {};
}

Table lock_table(const Facts& facts) {
  Table table{{"lock", "kind", "address", "state", "held by", "in", "how known", "waiters"}, {}};
  for (std::uint32_t r = 0; r < facts.resources.size(); ++r) {
    const ResourceFact& lock = facts.resources[r];
    if (!is_pythons(lock) || is_of_no_account(lock)) continue;
    const std::string address = lock.at.empty() ? "" : hex(lock.at.front().address.value);
    table.rows.push_back({lock.label, std::string(word(lock.kind)), address, state_of(lock),
                          owners_of(facts, lock), taken_in(facts, {r}), basis_of(lock),
                          waiters_of(facts, lock)});
  }
  return table;
}

struct Side {
  std::string_view name;
  Table (*make)(const Facts&);
};

constexpr std::array sides{Side{"interpreters", interpreter_table}, Side{"threads", thread_table},
                           Side{"stacks", stack_table}, Side{"locks", lock_table}};

}  // namespace

std::vector<Section> make_python_sections(const Analysis& analysis) {
  const bool seen = std::ranges::any_of(analysis.facts.processes, [](const ProcessFact& process) {
    return std::ranges::find(process.runtimes, "cpython", &RuntimeFact::kind) !=
           process.runtimes.end();
  });
  std::vector<Section> sections;
  for (const Side& side : sides) {
    if (seen) sections.push_back({std::string(side.name), side.make(analysis.facts)});
  }
  return sections;
}

}  // namespace coldcase
