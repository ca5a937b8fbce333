#include "lens/cpython/children.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "lens/cpython/object_waits.hpp"

namespace coldcase::cpython {
namespace {

// Popen.args: a list, whose first item is the program; or one text, which with shell=True is a
// command line and not looked into.
std::string program_of(const Objects& objects, Addr popen) {
  const auto args = objects.find_attribute(popen, "args");
  const auto parts = args ? read_items(objects, *args, 1) : std::vector<Addr>{};
  const std::string program =
      parts.empty() ? std::string() : objects.read_str(parts.front()).value_or("");
  if (program.find_first_of(" \t\n=") != std::string::npos) return {};
  return clean_text(base_name(program), 64);
}

std::string name_of_child(const Objects& objects, const StdlibCall& call, std::int64_t pid) {
  if (call.sort == Sort::popen && find_number(objects, call.object, "pid") == pid)
    return program_of(objects, call.object);
  if (call.sort != Sort::process) return {};
  const auto popen = objects.find_attribute(call.object, "_popen");
  if (!popen || find_number(objects, *popen, "pid") != pid) return {};
  return clean_text(find_text(objects, call.object, "_name"), 64);
}

// A descriptor's resource, by its number.
ResourceId find_descriptor(const LensContext& context, const Wait& wait, std::int32_t fd) {
  const std::string number = "file descriptor " + std::to_string(fd);
  for (const Ref on : wait.on) {
    const ResourceId id = on.as<RefKind::resource>();
    if (!id.known()) continue;
    const std::string& label = context.ledger.resource(id).label;
    if (label == number || label.ends_with("(" + number + ")")) return id;
  }
  return {};
}

void name_pipes(LensContext& context, std::size_t thread, const StdlibCall& call) {
  const Objects& objects = context.objects();
  const ThreadId id = context.view.thread_id(thread);
  const auto pid = find_number(objects, call.object, "pid");
  if (!pid || *pid <= 0) return;
  const std::string program = program_of(objects, call.object);
  const std::string child =
      (program.empty() ? "the child" : "the child " + program) + ", pid " + std::to_string(*pid);
  static constexpr std::array<std::string_view, 3> streams{"stdin", "stdout", "stderr"};
  for (const std::string_view name : streams) {
    const auto stream = objects.find_attribute(call.object, name);
    const auto file = stream ? find_file_io(objects, *stream) : std::nullopt;
    const auto fd = file ? objects.image().read<std::int32_t>(offset_by(*file, object_body))
                         : Read<std::int32_t>(-1);
    const auto& wait = context.ledger.thread(id).wait;
    const ResourceId pipe = fd && *fd >= 0 ? find_descriptor(context, *wait, *fd) : ResourceId{};
    if (!pipe.known()) continue;
    ResourceFact& fact = context.ledger.resource(pipe);
    fact.label = std::string(name) + " of " + child + " (" + fact.label + ")";
    fact.owner_unknown_code = "no_owner";
    fact.owner_unknown_text = name == "stdin" ? "nobody owns it: the child has to read"
                                              : "nobody owns it: the child has to write or to end";
  }
}

}  // namespace

// What the program calls a child process that a thread waits for: multiprocessing's name of it, or
// the base name of the program that subprocess started. Arguments are the user's and not told.
std::string find_child_name(const PythonFacts& facts, std::size_t core_thread, std::int64_t pid) {
  if (!facts.python || facts.python->runtime.layout == nullptr) return {};
  const Objects& objects = facts.python->objects();
  for (const Interpreter& interpreter : facts.python->runtime.interpreters) {
    for (const PyThread& state : interpreter.threads) {
      if (state.core_thread != core_thread) continue;
      for (const StdlibCall& call : find_calls(objects, state)) {
        std::string name = name_of_child(objects, call, pid);
        if (!name.empty()) return name;
      }
    }
  }
  return {};
}

void add_child_pipes(LensContext& context) {
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    for (const PyThread& state : interpreter.threads) {
      if (!state.core_thread || state.outer) continue;
      const auto& wait = context.ledger.thread(context.view.thread_id(*state.core_thread)).wait;
      if (!wait || (wait->kind != WaitKind::io && wait->kind != WaitKind::pipe)) continue;
      for (const StdlibCall& call : find_calls(context.objects(), state)) {
        if (call.use != Use::communicates) continue;
        name_pipes(context, *state.core_thread, call);
        break;
      }
    }
  }
}

}  // namespace coldcase::cpython
