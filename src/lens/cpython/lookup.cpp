#include "lens/cpython/lookup.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "lens/cpython/opcodes.hpp"

namespace coldcase::cpython {
namespace {

// PyTypeObject, PyCellObject, PyMethodObject, PyModuleObject, PyMemberDescrObject and PyMemberDef
// of 3.6 to 3.15 with a GIL.
constexpr std::int64_t type_dict = 264, type_mro = 344, cell_value = 16, method_function = 16,
                       module_dict = 16, descriptor_member = 40, member_type = 8,
                       member_offset = 16;
constexpr std::int32_t object_members[] = {6, 16};  // T_OBJECT, T_OBJECT_EX: what __slots__ are
constexpr std::uint64_t flag_type = 1u << 31;
constexpr std::size_t most_bases = 64;

const std::string& text_at(const std::vector<std::string>& names, std::uint32_t index) {
  static const std::string none;
  return index < names.size() ? names[index] : none;
}

// A tracer's opcodes are replaced by the compiler's.
void restore_traced(const Objects& objects, const Code& code, std::vector<std::byte>& bytes) {
  std::array<std::uint8_t, 256> caches{};
  for (const OpcodeRow& row : opcode_rows(objects.layout().minor)) caches[row.number] = row.caches;
  for (std::size_t at = 0; at + 1 < bytes.size();) {
    const auto compiled = original_opcode(objects, code, static_cast<std::int64_t>(at));
    if (compiled) bytes[at] = static_cast<std::byte>(*compiled);
    at += 2 + std::size_t{caches[std::to_integer<std::uint8_t>(bytes[at])]} * 2;
  }
}

// co_code to 3.10; from 3.11 on the instructions stand at the end of the code object, ob_size of
// them.
std::vector<std::byte> read_instructions(const Objects& objects, const Code& code) {
  const MemoryImage& image = objects.image();
  if (objects.layout().code_adaptive < 0)
    return objects.read_bytes(offset_by(code.instructions, -32)).value_or(std::vector<std::byte>{});
  const auto units = image.read<std::uint64_t>(offset_by(code.at, 16));
  if (!units || *units > (1u << 19)) return {};
  std::vector<std::byte> bytes(*units * 2);
  if (!image.read_into(code.instructions, bytes)) return {};
  if (code.monitoring.value != 0) restore_traced(objects, code, bytes);
  return bytes;
}

}  // namespace

const std::string& CodeText::name(std::uint32_t index) const {
  return text_at(names, index);
}
const std::string& CodeText::local_name(std::uint32_t index) const {
  return text_at(local_names, index);
}

const CodeText& Lookup::text_of(const Code& code) {
  auto& known = texts_[code.at.value];
  if (!known) {
    known = std::make_unique<CodeText>();
    known->code = &code;
    known->names = read_names(objects(), code.at);
    known->local_names = read_local_names(objects(), code.at);
    const auto bytes = read_instructions(objects(), code);
    known->routine = parse_routine(bytes, code.exception_table, objects().layout().minor);
  }
  return *known;
}

Scope Lookup::scope_of(const PythonFrame& frame) {
  Scope scope;
  scope.text = &text_of(*frame.code);
  scope.frame = frame;
  scope.globals = objects()
                      .image()
                      .read_pointer(offset_by(frame.at, objects().layout().frame_globals))
                      .value_or(Addr{});
  return scope;
}

Scope Lookup::scope_of(const Function& function, Addr self) {
  Scope scope;
  scope.text = &text_of(*function.code);
  scope.self = self;
  scope.globals = function.globals;
  scope.closure = function.closure;
  return scope;
}

std::optional<Addr> Lookup::local(const Scope& scope, std::uint32_t index) {
  const MemoryImage& image = objects().image();
  Addr value;
  if (scope.frame) {
    if (index >= scope.text->local_names.size()) return std::nullopt;
    value = objects()
                .read_slot(offset_by(scope.frame->at,
                                     objects().layout().frame_locals + std::int64_t{index} * 8))
                .value_or(Addr{});
  } else if (index == 0) {
    value = scope.self;
  } else if (scope.closure.value != 0) {
    // The cells of a function's free variables are its last names.
    const auto cells = objects().read_tuple(scope.closure);
    const std::size_t names = scope.text->local_names.size();
    if (!cells || cells->size() > names || index + cells->size() < names) return std::nullopt;
    value = (*cells)[index + cells->size() - names];
  }
  if (value.value == 0) return std::nullopt;
  if (objects().type_name(value) != "cell") return value;
  value = image.read_pointer(offset_by(value, cell_value)).value_or(Addr{});
  return value.value != 0 ? std::optional(value) : std::nullopt;
}

std::optional<Addr> Lookup::value(const Scope& scope, const Receiver& receiver) {
  std::optional<Addr> found;
  switch (receiver.root) {
    case Op::call:
      if (scope.text->name(receiver.index) == "super") found = local(scope, 0);
      break;
    case Op::load_super_attr:
      found = local(scope, 0);
      break;
    case Op::load_fast:
      found = local(scope, receiver.index);
      break;
    case Op::load_deref: {
      // To 3.10 cells are counted for themselves, behind the locals.
      const bool apart = objects().layout().code_nlocalsplus < 0;
      const auto locals = static_cast<std::uint32_t>(std::max(scope.text->code->locals, 0));
      found = local(scope, receiver.index + (apart ? locals : 0));
      break;
    }
    case Op::load_global:
    case Op::load_name:
      found = global(scope.globals, scope.text->name(receiver.index));
      break;
    default:
      break;
  }
  for (const std::uint32_t name : receiver.attributes) {
    if (!found) break;
    found = attribute(*found, scope.text->name(name));
  }
  return found;
}

std::optional<Addr> Lookup::global(Addr globals, std::string_view name) {
  const auto [at, fresh] = globals_.try_emplace({globals.value, std::string(name)});
  if (fresh) at->second = objects().find_item(globals, name);
  return at->second;
}

std::optional<Addr> Lookup::attribute(Addr object, std::string_view name) {
  if (objects().type_name(object) == "module") {
    const auto dict = objects().image().read_pointer(offset_by(object, module_dict));
    return dict ? global(*dict, name) : std::nullopt;
  }
  if (const auto own = objects().find_attribute(object, name)) return own;
  if (const auto inside = slot(object, name)) return inside;
  if (objects().has_flag(object, flag_type)) return type_attribute(object, name);
  return class_attribute(object, name);
}

std::optional<Addr> Lookup::slot(Addr object, std::string_view name) {
  const auto descriptor = class_attribute(object, name);
  if (!descriptor || objects().type_name(*descriptor) != "member_descriptor") return std::nullopt;
  const MemoryImage& image = objects().image();
  const auto member = image.read_pointer(offset_by(*descriptor, descriptor_member));
  if (!member) return std::nullopt;
  const auto type = image.read<std::int32_t>(offset_by(*member, member_type));
  const auto offset = image.read<std::int64_t>(offset_by(*member, member_offset));
  if (!type || !offset || std::ranges::find(object_members, *type) == std::end(object_members) ||
      *offset < 16 || *offset > objects().type_basic_size(object))
    return std::nullopt;
  const auto value = image.read_pointer(offset_by(object, *offset));
  return value && value->value != 0 ? std::optional(*value) : std::nullopt;
}

const std::vector<Addr>& Lookup::bases_of(Addr type) {
  const auto [at, fresh] = bases_.try_emplace(type.value);
  if (!fresh) return at->second;
  const auto mro = objects().image().read_pointer(offset_by(type, type_mro));
  if (mro) at->second = objects().read_tuple(*mro).value_or(std::vector<Addr>{});
  if (at->second.size() > most_bases) at->second.resize(most_bases);
  return at->second;
}

std::optional<Addr> Lookup::search_bases(Addr type, std::string_view name, Addr beyond) {
  bool skipping = beyond.value != 0;
  for (const Addr base : bases_of(type)) {
    const auto dict = objects().image().read_pointer(offset_by(base, type_dict));
    const auto value = dict && dict->value != 0 ? objects().find_item(*dict, name) : std::nullopt;
    if (!value) continue;
    if (!skipping) return value;
    const auto own = function(*value);
    skipping = !own || own->code->at != beyond;
  }
  return std::nullopt;
}

std::optional<Addr> Lookup::type_attribute(Addr type, std::string_view name) {
  const auto [at, fresh] = class_attributes_.try_emplace({type.value, std::string(name)});
  if (fresh) at->second = search_bases(type, name, {});
  return at->second;
}

std::optional<Addr> Lookup::class_attribute(Addr object, std::string_view name, Addr beyond) {
  const auto type = objects().read_type(object);
  if (!type || type->value == 0) return std::nullopt;
  return beyond.value != 0 ? search_bases(*type, name, beyond) : type_attribute(*type, name);
}

std::optional<Function> Lookup::function(Addr callable) {
  const MemoryImage& image = objects().image();
  if (objects().type_name(callable) == "method") {
    const auto inside = image.read_pointer(offset_by(callable, method_function));
    if (!inside) return std::nullopt;
    callable = *inside;
  }
  if (objects().type_name(callable) != "function") return std::nullopt;
  // PyFunctionObject: code, globals, ..., closure to 3.9; globals, ..., code, ..., closure since.
  const bool code_first = objects().layout().function_code == 16;
  const auto code = image.read_pointer(offset_by(callable, objects().layout().function_code));
  const auto globals = image.read_pointer(offset_by(callable, code_first ? 24 : 16));
  const auto closure = image.read_pointer(offset_by(callable, code_first ? 48 : 72));
  Function found;
  found.at = callable;
  found.code = code ? python_.codes().find(*code) : nullptr;
  if (found.code == nullptr || !globals) return std::nullopt;
  found.globals = *globals;
  found.closure = closure.value_or(Addr{});
  return found;
}

bool Lookup::has_base(Addr object, std::string_view name) {
  if (objects().type_name(object) == name) return true;
  const auto type = objects().read_type(object);
  if (!type || type->value == 0) return false;
  const auto [at, fresh] = has_bases_.try_emplace({type->value, std::string(name)});
  if (fresh) at->second = find_base(*type, name);
  return at->second;
}

bool Lookup::find_base(Addr type, std::string_view name) {
  return std::ranges::any_of(bases_of(type), [&](Addr base) {
    // tp_name, as the type of one of its instances would have it.
    const auto text = objects().image().read_pointer(offset_by(base, 24));
    return text && objects().image().read_text(*text, 256).value_or("") == name;
  });
}

std::string text_of(const CodeText& text, const Receiver& receiver) {
  std::string found;
  switch (receiver.root) {
    case Op::load_super_attr:
    case Op::call:
      found = "super()";
      break;
    case Op::load_fast:
      found = text.local_name(receiver.index);
      break;
    case Op::load_deref: {
      const bool apart = text.routine.minor < 11;
      const auto locals = static_cast<std::uint32_t>(std::max(text.code->locals, 0));
      found = text.local_name(receiver.index + (apart ? locals : 0));
      break;
    }
    case Op::load_global:
    case Op::load_name:
      found = text.name(receiver.index);
      break;
    default:
      break;
  }
  if (found.empty()) return "a lock";
  for (const std::uint32_t name : receiver.attributes) found += "." + text.name(name);
  return clean_text(found, 128);
}

}  // namespace coldcase::cpython
