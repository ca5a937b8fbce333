// Values found by name, as the interpreter would find them: locals and cells of a frame, globals,
// attributes of instances, slots, classes and modules. Nothing of it runs: a property or
// __getattr__ has no value here.
#pragma once

#include "lens/cpython/bytecode.hpp"
#include "lens/cpython/runtime.hpp"

namespace coldcase::cpython {

// A function object's parts.
struct Function {
  Addr at;
  const Code* code = nullptr;
  Addr globals;
  Addr closure;  // tuple of cells, or null
};

// A code object with its bytecode read; once for each.
struct CodeText {
  const Code* code = nullptr;
  Routine routine;
  std::vector<std::string> names;  // co_names
  std::vector<std::string> local_names;
  const std::string& name(std::uint32_t index) const;
  const std::string& local_name(std::uint32_t index) const;
};

// Where names of a code object have values: a frame, or a function that is called with `self`.
struct Scope {
  const CodeText* text = nullptr;
  std::optional<PythonFrame> frame;
  Addr self;  // without a frame: the first argument
  Addr globals;
  Addr closure;
};

class Lookup {
 public:
  explicit Lookup(Python& python) : python_(python) {}
  const Objects& objects() const { return python_.objects(); }
  Python& python() { return python_; }

  const CodeText& text_of(const Code& code);
  Scope scope_of(const PythonFrame& frame);
  Scope scope_of(const Function& function, Addr self);

  // The value in a slot of a frame: a local or, where a cell stands there, what is in that.
  std::optional<Addr> local(const Scope& scope, std::uint32_t index);
  // What a receiver stands for now. For super() it is self.
  std::optional<Addr> value(const Scope& scope, const Receiver& receiver);

  std::optional<Addr> global(Addr globals, std::string_view name);
  // Instance, slot, class, module, in this order.
  std::optional<Addr> attribute(Addr object, std::string_view name);
  // Of the object's class and its bases; beyond the one whose attribute has this code.
  std::optional<Addr> class_attribute(Addr object, std::string_view name, Addr beyond = {});
  // Plain functions, and methods bound to something.
  std::optional<Function> function(Addr callable);
  // Whether that is the name of the object's class or of one of its bases.
  bool has_base(Addr object, std::string_view name);

 private:
  const std::vector<Addr>& bases_of(Addr type);
  std::optional<Addr> slot(Addr object, std::string_view name);
  std::optional<Addr> search_bases(Addr type, std::string_view name, Addr beyond);
  std::optional<Addr> type_attribute(Addr type, std::string_view name);
  bool find_base(Addr type, std::string_view name);

  Python& python_;
  std::map<std::uint64_t, std::unique_ptr<CodeText>> texts_;
  std::map<std::uint64_t, std::vector<Addr>> bases_;
  std::map<std::pair<std::uint64_t, std::string>, std::optional<Addr>> globals_, class_attributes_;
  std::map<std::pair<std::uint64_t, std::string>, bool> has_bases_;
};

// "self.lock", "held", "a lock" when it has no name.
std::string text_of(const CodeText& text, const Receiver& receiver);

}  // namespace coldcase::cpython
