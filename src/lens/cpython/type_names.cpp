#include "lens/cpython/type_names.hpp"

#include <array>

#include "base/text.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::int64_t module_dict = 16;
constexpr std::uint64_t flag_type = std::uint64_t{1} << 31;  // Py_TPFLAGS_TYPE_SUBCLASS

struct Known {
  std::string_view module, key, name;
};
// What `types` and `_thread` call otherwise than the types call themselves.
constexpr std::array known = std::to_array<Known>({
    {"types", "FunctionType", "function"},
    {"types", "MethodType", "method"},
    {"types", "BuiltinFunctionType", "builtin_function_or_method"},
    {"types", "MethodDescriptorType", "method_descriptor"},
    {"types", "CodeType", "code"},
    {"types", "CellType", "cell"},
    {"types", "FrameType", "frame"},
    {"types", "GeneratorType", "generator"},
    {"types", "CoroutineType", "coroutine"},
    {"types", "AsyncGeneratorType", "async_generator"},
    {"types", "ModuleType", "module"},
    {"_thread", "LockType", "_thread.lock"},
    {"_thread", "lock", "_thread.lock"},
    {"_thread", "RLock", "_thread.RLock"},
    {"_collections", "deque", "collections.deque"},
    {"_functools", "partial", "functools.partial"},
});

class Learner {
 public:
  explicit Learner(const Objects& objects) : objects_(objects) {}

  void learn_builtins(Addr builtins) {
    objects_.each_item(builtins, [&](Addr key, Addr value) {
      const std::string name = objects_.read_str(key).value_or("");
      if (objects_.has_flag(value, flag_type)) {
        add(value, name);
        add(objects_.read_type(value).value_or(Addr{}), "type");
      }
      if (name == "len")
        add(objects_.read_type(value).value_or(Addr{}), "builtin_function_or_method");
      return true;
    });
  }

  void learn_module(std::string_view module, Addr object) {
    add(objects_.read_type(object).value_or(Addr{}), "module");
    const auto dict = objects_.image().read_pointer(offset_by(object, module_dict));
    if (!dict) return;
    objects_.each_item(*dict, [&](Addr key, Addr value) {
      learn_entry(module, objects_.read_str(key).value_or(""), value);
      return true;
    });
  }

  std::map<std::uint64_t, std::string> names;

 private:
  void add(Addr type, std::string_view name) {
    if (type.value != 0 && !name.empty())
      names.try_emplace(type.value, clean_text(std::string(name), 256));
  }

  void learn_entry(std::string_view module, const std::string& key, Addr value) {
    // Written in Python and always there.
    if (module == "_frozen_importlib" && key == "_call_with_frames_removed")
      add(objects_.read_type(value).value_or(Addr{}), "function");
    if (!objects_.has_flag(value, flag_type)) return;
    for (const Known& one : known) {
      if (one.module == module && one.key == key) return add(value, one.name);
    }
    // A module in C calls its types by its own name.
    if (module.starts_with("_")) add(value, std::string(module) + "." + key);
  }

  const Objects& objects_;
};

}  // namespace

std::map<std::uint64_t, std::string> learn_type_names(const Objects& objects, Addr builtins,
                                                      Addr modules) {
  Learner learner(objects);
  learner.learn_builtins(builtins);
  // Those with names of their own first: others only refer to their types.
  for (const bool listed : {true, false}) {
    objects.each_item(modules, [&](Addr key, Addr module) {
      const std::string name = objects.read_str(key).value_or("");
      const bool own = name == "types" || name == "_thread" || name == "_frozen_importlib";
      if (own == listed && (own || name.starts_with("_"))) learner.learn_module(name, module);
      return true;
    });
  }
  return std::move(learner.names);
}

}  // namespace coldcase::cpython
