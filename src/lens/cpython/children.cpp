// What the program calls a child process that a thread waits for: multiprocessing's name of it, or
// the base name of the program that subprocess started. Arguments are the user's and not told.
#include <algorithm>

#include "base/text.hpp"
#include "lens/cpython/cpython.hpp"
#include "lens/cpython/stdlib_waits.hpp"

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

}  // namespace

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

}  // namespace coldcase::cpython
