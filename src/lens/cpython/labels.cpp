#include "lens/cpython/labels.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::uint64_t flag_type = 1u << 31, flag_heap = 1u << 9;
constexpr std::int64_t type_name_field = 24, type_flags_field = 168, type_dict = 264,
                       type_base = 256;
constexpr std::size_t most_name = 128, most_locals = 256, most_elements = 256,
                      most_globals = 10'000, most_modules = 20'000;
constexpr int most_bases = 8;

std::string read_name(const Objects& objects, Addr key) {
  return clean_text(objects.read_str(key).value_or("?"), most_name);
}

void add(std::vector<std::string>& to, std::string name) {
  if (std::ranges::find(to, name) == to.end()) to.push_back(std::move(name));
}

// A class's own dict; null for a static type of 3.12 on, whose dict the interpreter keeps.
std::optional<Addr> dict_of_class(const Objects& objects, Addr type) {
  const auto dict = objects.image().read_pointer(offset_by(type, type_dict));
  return dict && dict->value != 0 && objects.has_flag(*dict, flag_dict) ? std::optional(*dict)
                                                                        : std::nullopt;
}

std::string class_name(const Objects& objects, Addr object) {
  if (!objects.has_flag(object, flag_type))
    return clean_text(last_part(objects.type_name(object)), most_name);
  const auto name = objects.image().read_pointer(offset_by(object, type_name_field));
  return name ? clean_text(last_part(objects.image().read_text(*name, 256).value_or("")), most_name)
              : std::string();
}

// Names of variables that say nothing of what they hold.
bool is_self(std::string_view name) {
  return name == "self" || name == "cls";
}

// Of these the program's own name for the whole tells more: orders.mutex, not Queue.mutex.
bool is_part(Sort owner) {
  return owner != Sort::none && owner != Sort::thread && owner != Sort::process &&
         owner != Sort::handler;
}

// The library's own variables are its own affair; its objects' attributes are not.
bool is_library(const PythonFrame& frame, const std::string& module) {
  return module == "threading" || module == "queue" || module == "logging" ||
         module.starts_with("concurrent.futures") || module.starts_with("multiprocessing.") ||
         frame.code->file.starts_with("<frozen ");
}

}  // namespace

std::vector<std::string> Names::all() const {
  std::vector<std::string> names;
  for (const auto* more : {&typed, &globals, &paths, &locals})
    for (const std::string& name : *more) add(names, name);
  return names;
}

NameSearch::NameSearch(const Objects& objects, std::vector<Addr> wanted)
    : objects_(objects), wanted_(std::move(wanted)) {
  std::ranges::sort(wanted_);
}

bool NameSearch::wants(Addr value) const {
  return std::ranges::binary_search(wanted_, value);
}

// Attributes of an object, then those of its class and its bases as far as the program wrote them.
void NameSearch::each_named(Addr object, const std::function<bool(Addr, Addr)>& visit) {
  const bool is_class = objects_.has_flag(object, flag_type);
  if (!is_class) objects_.each_attribute(object, visit);
  auto type = is_class ? Read<Addr>(object) : objects_.read_type(object);
  for (int i = 0; i < most_bases && type && type->value != 0; ++i) {
    const auto flags =
        objects_.image().read<std::uint64_t>(offset_by(*type, type_flags_field)).value_or(0);
    if (!objects_.has_flag(*type, flag_type) || (flags & flag_heap) == 0) break;
    if (const auto dict = dict_of_class(objects_, *type)) objects_.each_item(*dict, visit);
    type = objects_.image().read_pointer(offset_by(*type, type_base));
  }
}

// "Account.lock"; what the standard library owns is called by its purpose.
std::string NameSearch::owned_name(Addr owner, Addr key) const {
  const std::string type = class_name(objects_, owner), attribute = read_name(objects_, key);
  if (attribute == "lock" && sort_of(objects_, owner) == Sort::handler)
    return "of " + handler_text(objects_, owner);
  if (attribute == "lock" && type == "cached_property")  // functools, to 3.11
    return "of functools.cached_property " +
           clean_text(find_text(objects_, owner, "attrname"), most_name);
  return type + "." + attribute;
}

void NameSearch::add_attributes(const std::string& name, Addr value) {
  const bool module = objects_.type_name(value) == "module";
  each_named(value, [&](Addr key, Addr inside) {
    if (!wants(inside)) return step();
    Names& names = of(inside);
    if (module) {
      add(names.globals, name + "." + read_name(objects_, key));
    } else {
      add(is_part(sort_of(objects_, value)) ? names.locals : names.typed, owned_name(value, key));
      if (!is_self(name)) add(names.paths, name + "." + read_name(objects_, key));
    }
    return step();
  });
}

// "locks[2]"; a dict's keys are the program's data and not told.
void NameSearch::add_elements(const std::string& name, Addr container) {
  std::size_t at = 0;
  if (objects_.has_flag(container, flag_dict)) {
    objects_.each_item(container, [&](Addr, Addr value) {
      if (wants(value)) add(of(value).paths, name + "[...]");
      return step() && ++at < most_elements;
    });
    return;
  }
  for (const Addr item : read_items(objects_, container, most_elements)) {
    if (wants(item)) add(of(item).paths, name + "[" + std::to_string(at) + "]");
    ++at;
    if (!step()) return;
  }
}

// One step further: "Server.pool.lock".
void NameSearch::add_deep(Addr self) {
  const std::string type = class_name(objects_, self);
  objects_.each_attribute(self, [&](Addr key, Addr value) {
    objects_.each_attribute(value, [&](Addr inner, Addr inside) {
      if (wants(inside))
        add(of(inside).typed,
            type + "." + read_name(objects_, key) + "." + read_name(objects_, inner));
      return step();
    });
    return step();
  });
}

void NameSearch::add_variable(const std::string& name, Addr value, bool deep) {
  if (wants(value) && !is_self(name)) add(of(value).locals, name);
  add_attributes(name, value);
  add_elements(name, value);
  if (deep && is_self(name)) add_deep(value);
}

void NameSearch::look_at_locals(const PythonFrame& frame, bool deep) {
  const auto names = read_local_names(objects_, frame.code->at);
  for (std::size_t i = 0; i < std::min(names.size(), most_locals) && step(); ++i) {
    const auto slot = objects_.read_slot(
        offset_by(frame.at, objects_.layout().frame_locals + static_cast<std::int64_t>(i * 8)));
    const Addr value = slot ? out_of_cell(objects_, *slot) : Addr{};
    if (value.value != 0) add_variable(clean_text(names[i], most_name), value, deep);
  }
}

// What the frame's own code mentions by name.
void NameSearch::look_at_globals(const PythonFrame& frame) {
  const auto globals = find_globals(objects_, frame);
  if (!globals) return;
  const std::string module = clean_text(module_of(objects_, frame), most_name);
  const auto mentioned = read_names(objects_, frame.code->at);
  std::size_t looked = 0;
  objects_.each_item(*globals, [&](Addr key, Addr value) {
    const bool is_wanted = wants(value);
    if (!is_wanted && mentioned.empty()) return ++looked < most_globals;
    const auto name = objects_.read_str(key);
    if (name && is_wanted) add(of(value).globals, module + "." + clean_text(*name, most_name));
    if (name && !is_wanted && std::ranges::find(mentioned, *name) != mentioned.end()) {
      const bool other_module = objects_.type_name(value) == "module";
      const std::string plain = clean_text(*name, most_name);
      add_attributes(other_module ? plain : module + "." + plain, value);
      if (!other_module) add_elements(module + "." + plain, value);
    }
    return step() && ++looked < most_globals;
  });
}

void NameSearch::look_at(const PythonFrame& frame, bool deep) {
  const std::string module = module_of(objects_, frame);
  if (!is_library(frame, module)) {
    look_at_locals(frame, deep);
  } else if (const auto self = find_self(objects_, frame)) {
    add_attributes("self", *self);
  }
  look_at_globals(frame);
}

void NameSearch::look_at_module(const std::string& module, Addr globals) {
  objects_.each_item(globals, [&](Addr key, Addr value) {
    if (wants(value)) add(of(value).globals, module + "." + read_name(objects_, key));
    const std::uint64_t flags = objects_.type_flags(value);
    const bool is_class = (flags & flag_type) != 0;
    if (!is_class && (flags & flag_heap) == 0) return step();
    const auto look = [&](Addr attribute, Addr inside) {
      if (wants(inside))
        add(of(inside).globals,
            module + "." + read_name(objects_, key) + "." + read_name(objects_, attribute));
      return step();
    };
    if (!is_class) {
      objects_.each_attribute(value, look);
    } else if (const auto dict = dict_of_class(objects_, value)) {
      objects_.each_item(*dict, look);
    }
    return step();
  });
}

void NameSearch::look_at_modules(const Interpreter& interpreter) {
  const auto modules =
      objects_.image().read_pointer(offset_by(interpreter.at, objects_.layout().interp_modules));
  if (!modules) return;
  std::size_t count = 0;
  objects_.each_item(*modules, [&](Addr key, Addr module) {
    const auto globals = objects_.image().read_pointer(offset_by(module, object_body));  // md_dict
    if (objects_.type_name(module) == "module" && globals && globals->value != 0)
      look_at_module(read_name(objects_, key), *globals);
    return step() && ++count < most_modules;
  });
}

std::string name_in_frame(const Objects& objects, const PythonFrame& frame, Addr object) {
  NameSearch search(objects, {object});
  search.look_at(frame, true);
  const auto names = search.of(object).all();
  return names.empty() ? std::string() : names.front();
}

}  // namespace coldcase::cpython
