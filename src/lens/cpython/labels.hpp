// How the program itself calls an object: `Account.lock`, `bank.lock`, `savings.lock`, a local
// name. Looked for in the frames of the threads that use it; only what these do not tell is looked
// for in all frames and among the globals of all modules, once for all such objects.
#pragma once

#include <map>

#include "lens/cpython/stdlib_waits.hpp"

namespace coldcase::cpython {

// Names of one object, by what they rest on.
struct Names {
  std::vector<std::string> typed;    // Account.lock: an attribute of a known type
  std::vector<std::string> globals;  // bank.lock: of a module
  std::vector<std::string> paths;    // savings.lock: through a variable
  std::vector<std::string> locals;   // lock

  // A reader who does not have the frame before him finds the object by these.
  bool telling() const { return !typed.empty() || !globals.empty(); }
  bool empty() const { return !telling() && paths.empty() && locals.empty(); }
  // The most telling first.
  std::vector<std::string> all() const;
};

// Looks for several objects at once. Every step is counted: a search ends at its limit.
class NameSearch {
 public:
  NameSearch(const Objects& objects, std::vector<Addr> wanted);

  // What a frame's variables lead to. `deep`: attributes of self's attributes as well.
  void look_at(const PythonFrame& frame, bool deep);
  // The globals of every module, what classes and instances among them have as attributes.
  void look_at_modules(const Interpreter& interpreter);

  Names& of(Addr object) { return found_[object.value]; }

 private:
  bool wants(Addr value) const;
  void look_at_locals(const PythonFrame& frame, bool deep);
  void look_at_globals(const PythonFrame& frame);
  void look_at_module(const std::string& module, Addr globals);
  void add_variable(const std::string& name, Addr value, bool deep);
  void add_attributes(const std::string& name, Addr value);
  void add_elements(const std::string& name, Addr container);
  void add_deep(Addr self);
  void each_named(Addr object, const std::function<bool(Addr, Addr)>& visit);
  std::string owned_name(Addr owner, Addr key) const;
  bool step() { return ++steps_ < most_steps; }

  static constexpr std::size_t most_steps = 400'000;
  const Objects& objects_;
  std::vector<Addr> wanted_;  // sorted
  std::map<std::uint64_t, Names> found_;
  std::size_t steps_ = 0;
};

// The most telling name in this frame; empty when the frame does not reach the object.
std::string name_in_frame(const Objects& objects, const PythonFrame& frame, Addr object);

}  // namespace coldcase::cpython
