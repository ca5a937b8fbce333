#include "modules/dwarf_locals.hpp"

#include <dwarf.h>

#include "base/text.hpp"
#include "modules/dwarf_names.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_locals = 256;  // of one scope
constexpr std::uint8_t general_registers = 16;

// The class behind typedefs and qualifiers.
bool find_class(Dwarf_Die& variable, Dwarf_Die& type) {
  Dwarf_Attribute attribute;
  if (dwarf_attr_integrate(&variable, DW_AT_type, &attribute) == nullptr ||
      dwarf_formref_die(&attribute, &type) == nullptr) {
    return false;
  }
  for (int steps = 0; steps < 16; ++steps) {
    const int tag = dwarf_tag(&type);
    if (tag != DW_TAG_typedef && tag != DW_TAG_const_type && tag != DW_TAG_volatile_type)
      return tag == DW_TAG_class_type || tag == DW_TAG_structure_type;
    if (dwarf_attr_integrate(&type, DW_AT_type, &attribute) == nullptr) return false;
    Dwarf_Die inner;
    if (dwarf_formref_die(&attribute, &inner) == nullptr) return false;
    type = inner;
  }
  return false;
}

bool set_based(const Dwarf_Op& op, LocalVariable& variable) {
  const bool wide = op.atom == DW_OP_bregx;
  const auto reg = wide ? op.number : std::uint64_t{op.atom} - DW_OP_breg0;
  if (!wide && (op.atom < DW_OP_breg0 || op.atom > DW_OP_breg31)) return false;
  if (reg >= general_registers) return false;
  variable.place = LocalVariable::Place::based;
  variable.reg = static_cast<std::uint8_t>(reg);
  variable.offset += static_cast<std::int64_t>(wide ? op.number2 : op.number);
  return true;
}

// The function's DW_AT_frame_base: the CFA (GCC), or a register (clang without optimizing).
bool set_from_frame_base(Dwarf_Die& function, std::uint64_t value, LocalVariable& variable) {
  Dwarf_Attribute attribute;
  Dwarf_Op* ops = nullptr;
  std::size_t count = 0;
  if (dwarf_attr_integrate(&function, DW_AT_frame_base, &attribute) == nullptr ||
      dwarf_getlocation_addr(&attribute, value, &ops, &count, 1) != 1 || count != 1) {
    return false;
  }
  if (ops[0].atom == DW_OP_call_frame_cfa) {
    variable.place = LocalVariable::Place::frame;
    return true;
  }
  if (ops[0].atom >= DW_OP_reg0 && ops[0].atom < DW_OP_reg0 + general_registers) {
    variable.place = LocalVariable::Place::based;
    variable.reg = static_cast<std::uint8_t>(ops[0].atom - DW_OP_reg0);
    return true;
  }
  return set_based(ops[0], variable);
}

bool set_place(Dwarf_Die& die, Dwarf_Die& function, std::uint64_t value, LocalVariable& variable) {
  Dwarf_Attribute attribute;
  Dwarf_Op* ops = nullptr;
  std::size_t count = 0;
  if (dwarf_attr_integrate(&die, DW_AT_location, &attribute) == nullptr ||
      dwarf_getlocation_addr(&attribute, value, &ops, &count, 1) != 1 || count != 1) {
    return false;
  }
  if (ops[0].atom == DW_OP_fbreg) {
    variable.offset = static_cast<std::int64_t>(ops[0].number);
    return set_from_frame_base(function, value, variable);
  }
  if (ops[0].atom >= DW_OP_reg0 && ops[0].atom < DW_OP_reg0 + general_registers) {
    variable.place = LocalVariable::Place::register_;
    variable.reg = static_cast<std::uint8_t>(ops[0].atom - DW_OP_reg0);
    return true;
  }
  return set_based(ops[0], variable);
}

// ---- types of every kind

constexpr int deepest_type = 16;
constexpr std::size_t most_enumerators = 64;

std::optional<Dwarf_Die> type_of(Dwarf_Die& die) {
  Dwarf_Attribute attribute;
  Dwarf_Die type;
  if (dwarf_attr_integrate(&die, DW_AT_type, &attribute) == nullptr ||
      dwarf_formref_die(&attribute, &type) == nullptr)
    return std::nullopt;
  return type;
}

// Behind typedefs and qualifiers.
std::optional<Dwarf_Die> plain_type_of(Dwarf_Die& die) {
  auto type = type_of(die);
  for (int steps = 0; type && steps < deepest_type; ++steps) {
    const int tag = dwarf_tag(&*type);
    if (tag != DW_TAG_typedef && tag != DW_TAG_const_type && tag != DW_TAG_volatile_type &&
        tag != DW_TAG_restrict_type)
      return type;
    type = type_of(*type);
  }
  return std::nullopt;
}

bool is_reference(int tag) {
  return tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type;
}

// "char*", "Queue&", "int[]": of a typedef its own name.
std::string type_text(Dwarf_Die& die) {
  std::string behind;
  auto type = type_of(die);
  for (int steps = 0; type && steps < deepest_type; ++steps) {
    const int tag = dwarf_tag(&*type);
    const char* name = dwarf_diename(&*type);
    if (name != nullptr) return clean_text(name, 128) + behind;
    if (tag == DW_TAG_pointer_type) behind.insert(0, "*");
    if (tag == DW_TAG_array_type) behind.insert(0, "[]");
    if (is_reference(tag)) behind.insert(0, "&");
    type = type_of(*type);
  }
  return behind.empty() ? "" : "void" + behind;
}

std::uint64_t encoding_of(Dwarf_Die& type) {
  Dwarf_Attribute attribute;
  Dwarf_Word encoding = 0;
  if (dwarf_attr_integrate(&type, DW_AT_encoding, &attribute) != nullptr)
    dwarf_formudata(&attribute, &encoding);
  return encoding;
}

bool is_char(Dwarf_Die& type) {
  const std::uint64_t encoding = dwarf_tag(&type) == DW_TAG_base_type ? encoding_of(type) : 0;
  return encoding == DW_ATE_signed_char || encoding == DW_ATE_unsigned_char;
}

using Kind = LocalVariable::Kind;

Kind kind_of_base(Dwarf_Die& type) {
  switch (encoding_of(type)) {
    case DW_ATE_boolean:
      return Kind::boolean;
    case DW_ATE_signed:
    case DW_ATE_signed_char:
      return Kind::signed_;
    case DW_ATE_unsigned:
    case DW_ATE_unsigned_char:
    case DW_ATE_UTF:
      return Kind::unsigned_;
    case DW_ATE_float:
      return Kind::floating;
    default:
      return Kind::other;
  }
}

void add_enumerators(Dwarf_Die& type, LocalVariable& variable) {
  Dwarf_Die child;
  if (dwarf_child(&type, &child) != 0) return;
  do {
    Dwarf_Attribute attribute;
    Dwarf_Sword value = 0;
    const char* name = dwarf_diename(&child);
    if (name != nullptr && dwarf_attr(&child, DW_AT_const_value, &attribute) != nullptr &&
        dwarf_formsdata(&attribute, &value) == 0)
      variable.enumerators.emplace_back(value, clean_text(name, 128));
  } while (variable.enumerators.size() < most_enumerators && dwarf_siblingof(&child, &child) == 0);
}

void set_kind(Dwarf_Die& type, LocalVariable& variable) {
  const int tag = dwarf_tag(&type);
  if (tag == DW_TAG_base_type) variable.kind = kind_of_base(type);
  if (tag == DW_TAG_enumeration_type) {
    variable.kind = Kind::enumeration;
    add_enumerators(type, variable);
  }
  if (tag == DW_TAG_pointer_type || is_reference(tag)) {
    auto behind = plain_type_of(type);
    variable.kind = behind && is_char(*behind) ? Kind::text : Kind::pointer;
  }
  if (tag == DW_TAG_array_type) {
    auto behind = plain_type_of(type);
    if (behind && is_char(*behind)) variable.kind = Kind::letters;
  }
}

// Nothing when it is no argument or variable, or is nowhere in particular.
std::optional<LocalVariable> any_variable_of(Dwarf_Die& die, Dwarf_Die& function,
                                             std::uint64_t value) {
  const int tag = dwarf_tag(&die);
  if (tag != DW_TAG_variable && tag != DW_TAG_formal_parameter) return std::nullopt;
  const char* name = dwarf_diename(&die);
  auto type = plain_type_of(die);
  LocalVariable variable;
  if (name == nullptr || !type || !set_place(die, function, value, variable)) return std::nullopt;
  variable.name = clean_text(name, 128);
  variable.type = type_text(die);
  set_kind(*type, variable);
  Dwarf_Word size = 0;
  if (dwarf_aggregate_size(&*type, &size) == 0) variable.size = size;
  return variable;
}

using Types = std::initializer_list<std::string_view>;

// Nothing when it is another kind of thing, of another type, or nowhere in particular.
std::optional<LocalVariable> variable_of(Dwarf_Die& die, Dwarf_Die& function, std::uint64_t value,
                                         Types types) {
  Dwarf_Die type;
  if (dwarf_tag(&die) != DW_TAG_variable || !find_class(die, type)) return std::nullopt;
  const char* type_name = dwarf_diename(&type);
  if (type_name == nullptr || !starts_with_any(type_name, types)) return std::nullopt;
  LocalVariable variable;
  if (!set_place(die, function, value, variable)) return std::nullopt;
  if (const char* name = dwarf_diename(&die)) variable.name = clean_text(name, 256);
  variable.type = clean_text(type_name, 256);
  const int size = dwarf_bytesize(&type);
  variable.size = size > 0 ? static_cast<std::uint64_t>(size) : 0;
  int line = 0;
  if (dwarf_decl_line(&die, &line) == 0 && line > 0)
    variable.declared.line = static_cast<std::uint32_t>(line);
  if (const char* path = dwarf_decl_file(&die)) variable.declared.file = clean_text(path);
  return variable;
}

template <class Take>
std::vector<LocalVariable> variables_in(std::vector<Dwarf_Die> scopes, const Take& take) {
  std::vector<LocalVariable> found;
  std::size_t inlined = 0;
  for (Dwarf_Die& scope : scopes) {
    if (dwarf_tag(&scope) == DW_TAG_inlined_subroutine) ++inlined;
    Dwarf_Die child;
    if (dwarf_child(&scope, &child) != 0) continue;
    std::size_t seen = 0;
    do {
      auto variable = take(child, scopes.front());
      if (!variable) continue;
      variable->inlined = inlined;
      found.push_back(std::move(*variable));
    } while (++seen < most_locals && dwarf_siblingof(&child, &child) == 0);
  }
  return found;
}

}  // namespace

std::vector<LocalVariable> find_locals(const Module& module, std::uint64_t value, Types types) {
  const ElfFile* file = dwarf_of(module);
  if (file == nullptr) return {};
  DwarfNames names(*file);
  return variables_in(names.scopes_at(value), [&](Dwarf_Die& die, Dwarf_Die& function) {
    return variable_of(die, function, value, types);
  });
}

VariableFinder::VariableFinder() = default;
VariableFinder::~VariableFinder() = default;

std::vector<LocalVariable> VariableFinder::find(const Module& module, std::uint64_t value) {
  const ElfFile* file = dwarf_of(module);
  if (file == nullptr) return {};
  auto& names = names_[file];
  if (!names) names = std::make_unique<DwarfNames>(*file);
  return variables_in(names->scopes_at(value), [&](Dwarf_Die& die, Dwarf_Die& function) {
    return any_variable_of(die, function, value);
  });
}

}  // namespace coldcase
