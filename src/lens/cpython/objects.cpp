#include "lens/cpython/objects.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace coldcase::cpython {
namespace {

// PyTypeObject (Include/cpython/object.h), equal in 3.6 to 3.15 with a GIL.
constexpr std::int64_t type_tp_name = 24, type_basicsize = 32, type_tp_flags = 168,
                       type_dictoffset = 288;
constexpr std::int64_t var_size = 16, bytes_data = 32, str_length = 16, str_state = 32;
constexpr std::int64_t dict_keys = 32, dict_values = 40;
constexpr std::uint64_t most_items = 65'536, most_text = 65'536;

auto fault(Addr at) {
  return tl::make_unexpected(Fault{at, Absence::malformed});
}

void append_utf8(std::uint32_t point, std::string& text) {
  if ((point >= 0xd800 && point <= 0xdfff) || point > 0x10ffff) point = 0xfffd;  // no character
  const auto add = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (point < 0x80) return add(point);
  if (point < 0x800) {
    add(0xc0 | point >> 6);
  } else if (point < 0x10000) {
    add(0xe0 | point >> 12);
    add(0x80 | (point >> 6 & 0x3f));
  } else {
    add(0xf0 | (point >> 18 & 7));
    add(0x80 | (point >> 12 & 0x3f));
    add(0x80 | (point >> 6 & 0x3f));
  }
  add(0x80 | (point & 0x3f));
}

}  // namespace

const Objects::TypeInfo& Objects::type_of(Addr object) const {
  static const TypeInfo unknown;
  const auto type = read_type(object);
  if (!type || type->value == 0) return unknown;
  const auto [at, fresh] = types_.try_emplace(type->value);
  if (!fresh) return at->second;
  TypeInfo& info = at->second;
  const auto name = image_.read_pointer(offset_by(*type, type_tp_name));
  if (name) info.name = clean_text(image_.read_text(*name, 256).value_or(""), 256);
  const auto given = given_names_.find(type->value);
  if (info.name.empty() && given != given_names_.end()) info.name = given->second;
  info.flags = image_.read<std::uint64_t>(offset_by(*type, type_tp_flags)).value_or(0);
  info.basic_size = image_.read<std::int64_t>(offset_by(*type, type_basicsize)).value_or(0);
  info.dict_offset = image_.read<std::int64_t>(offset_by(*type, type_dictoffset)).value_or(0);
  return info;
}

void Objects::name_types(std::map<std::uint64_t, std::string> names) {
  given_names_ = std::move(names);
  types_.clear();
}

const std::string& Objects::type_name(Addr object) const {
  return type_of(object).name;
}
std::uint64_t Objects::type_flags(Addr object) const {
  return type_of(object).flags;
}
std::int64_t Objects::type_basic_size(Addr object) const {
  return type_of(object).basic_size;
}

// 3.14 on, _PyStackRef (Include/internal/pycore_stackref.h): both low bits 0, a reference that is
// owned; 1, one that is borrowed (1 alone: NULL); 3, a small integer; 2, an error mark (3.15).
std::optional<Addr> untag_slot(std::uint64_t bits, bool tagged) {
  if (tagged && (bits & 2) != 0) return std::nullopt;
  const std::uint64_t value = tagged ? bits & ~std::uint64_t{1} : bits;
  return value == 0 ? std::nullopt : std::optional(Addr{value});
}

std::optional<Addr> Objects::read_slot(Addr at) const {
  const auto bits = image_.read<std::uint64_t>(at);
  return bits ? untag_slot(*bits, layout_.tagged_slots()) : std::nullopt;
}

Read<std::string> Objects::read_str(Addr object) const {
  if (!has_flag(object, flag_unicode)) return fault(object);
  const auto length = image_.read<std::uint64_t>(offset_by(object, str_length));
  const auto state = image_.read<std::uint8_t>(offset_by(object, str_state));
  if (!length || !state || *length > most_text) return fault(object);
  const unsigned kind = *state >> 2 & 7;
  const bool compact = (*state >> 5 & 1) != 0;
  const bool ascii = (*state >> 6 & 1) != 0;
  if (kind != 1 && kind != 2 && kind != 4) return fault(object);
  Addr data = offset_by(object, ascii ? layout_.str_ascii_data : layout_.str_compact_data);
  if (!compact) {
    const auto at = image_.read_pointer(offset_by(object, layout_.str_compact_data));
    if (!at) return tl::make_unexpected(at.error());
    data = *at;
  }
  std::vector<std::byte> raw(*length * kind);
  if (const auto all = image_.read_into(data, raw); !all) return tl::make_unexpected(all.error());
  std::string text;
  for (std::uint64_t i = 0; i < *length; ++i) {
    std::uint32_t point = 0;
    std::memcpy(&point, raw.data() + i * kind, kind);
    append_utf8(point, text);
  }
  return text;
}

bool Objects::is_str(Addr object, std::string_view text) const {
  if (!has_flag(object, flag_unicode)) return false;
  const auto length = image_.read<std::uint64_t>(offset_by(object, str_length));
  const auto state = image_.read<std::uint8_t>(offset_by(object, str_state));
  if (!length || !state) return false;
  constexpr unsigned plain = 1u << 2 | 1u << 5 | 1u << 6;  // a byte each, compact, ASCII
  if ((*state & (7u << 2 | 3u << 5)) != plain) return read_str(object) == std::string(text);
  if (*length != text.size()) return false;
  const Bytes there = image_.view(offset_by(object, layout_.str_ascii_data), text.size());
  if (there.size() != text.size()) return read_str(object) == std::string(text);
  return std::memcmp(there.data(), text.data(), text.size()) == 0;
}

Read<std::int64_t> Objects::read_int(Addr object) const {
  if (!has_flag(object, flag_long)) return fault(object);
  std::int64_t digits = 0;
  bool negative = false;
  if (layout_.minor >=
      12) {  // lv_tag: bits 0-1 sign (0 positive, 1 zero, 2 negative), count from bit 3
    const auto tag = image_.read<std::uint64_t>(offset_by(object, 16));
    if (!tag) return tl::make_unexpected(tag.error());
    digits = static_cast<std::int64_t>(*tag >> 3);
    negative = (*tag & 3) == 2;
  } else {
    const auto size = image_.read<std::int64_t>(offset_by(object, var_size));
    if (!size) return tl::make_unexpected(size.error());
    negative = *size < 0;
    if (*size < -3 || *size > 3) return fault(object);
    digits = negative ? -*size : *size;
  }
  if (digits < 0 || digits > 3) return fault(object);
  std::uint64_t value = 0;
  for (std::int64_t i = digits; i-- > 0;) {
    const auto digit = image_.read<std::uint32_t>(offset_by(object, 24 + i * 4));
    if (!digit) return tl::make_unexpected(digit.error());
    if (i == 2 && *digit > 3) return fault(object);
    value = (value << 30) | (*digit & 0x3fffffff);
  }
  if (digits == 3 && value >> 62 != 0) return fault(object);
  return negative ? -static_cast<std::int64_t>(value) : static_cast<std::int64_t>(value);
}

Read<std::vector<Addr>> Objects::read_tuple(Addr object) const {
  if (!has_flag(object, flag_tuple)) return fault(object);
  const auto count = image_.read<std::uint64_t>(offset_by(object, var_size));
  if (!count || *count > most_items) return fault(object);
  std::vector<Addr> items;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto item = image_.read_pointer(
        offset_by(object, layout_.tuple_items + static_cast<std::int64_t>(i * 8)));
    if (!item) return tl::make_unexpected(item.error());
    items.push_back(*item);
  }
  return items;
}

Read<std::vector<std::byte>> Objects::read_bytes(Addr object) const {
  if (!has_flag(object, flag_bytes)) return fault(object);
  const auto size = image_.read<std::uint64_t>(offset_by(object, var_size));
  if (!size || *size > (1u << 22)) return fault(object);
  std::vector<std::byte> raw(*size);
  if (const auto all = image_.read_into(offset_by(object, bytes_data), raw); !all) {
    return tl::make_unexpected(all.error());
  }
  return raw;
}

// dk_kind (3.11+): 0 general with 24-byte entries (hash, key, value), 1 unicode and 2 split with
// 16-byte entries (key, value). To 3.10 entries are 24 bytes after an index table whose width
// depends on dk_size.
std::optional<Objects::KeysShape> Objects::shape_of(Addr keys) const {
  const auto count = image_.read<std::uint64_t>(offset_by(keys, layout_.keys_nentries));
  if (!count || *count > (1u << 20)) return std::nullopt;
  KeysShape shape{static_cast<std::int64_t>(*count), 24, Addr{}};
  std::uint64_t index_bytes = 0;
  if (layout_.split_keys_table()) {
    const auto log = image_.read<std::uint8_t>(offset_by(keys, 9));
    const auto kind = image_.read<std::uint8_t>(offset_by(keys, 10));
    if (!log || !kind || *log > 32 || *kind > 2) return std::nullopt;
    index_bytes = std::uint64_t{1} << *log;
    if (*kind != 0) shape.entry_size = 16;
  } else {
    const auto size = image_.read<std::uint64_t>(offset_by(keys, 8));
    if (!size || *size > (1u << 24)) return std::nullopt;
    const std::uint64_t width = *size <= 0xff ? 1 : *size <= 0xffff ? 2 : 4;
    index_bytes = *size * width;
  }
  shape.first = offset_by(keys, layout_.keys_indices + static_cast<std::int64_t>(index_bytes));
  return shape;
}

bool Objects::each_entry(Addr keys, std::optional<Addr> values,
                         const std::function<bool(Addr, Addr)>& visit) const {
  const auto shape = shape_of(keys);
  if (!shape) return false;
  const std::int64_t key_at = shape->entry_size == 24 ? 8 : 0;
  for (std::int64_t i = 0; i < shape->count; ++i) {
    const Addr entry = offset_by(shape->first, i * shape->entry_size);
    const auto key = image_.read_pointer(offset_by(entry, key_at));
    const auto value = values
                           ? image_.read_pointer(offset_by(*values, layout_.values_first + i * 8))
                           : image_.read_pointer(offset_by(entry, key_at + 8));
    if (!key || !value) return false;
    if (key->value != 0 && value->value != 0 && !visit(*key, *value)) return true;
  }
  return true;
}

bool Objects::each_item(Addr dict, const std::function<bool(Addr, Addr)>& visit) const {
  if (!has_flag(dict, flag_dict)) return false;
  const auto keys = image_.read_pointer(offset_by(dict, dict_keys));
  const auto values = image_.read_pointer(offset_by(dict, dict_values));
  if (!keys || !values || keys->value == 0) return false;
  return each_entry(*keys, values->value == 0 ? std::nullopt : std::optional(*values), visit);
}

std::optional<Addr> Objects::find_item(Addr dict, std::string_view wanted) const {
  std::optional<Addr> found;
  each_item(dict, [&](Addr key, Addr value) {
    if (is_str(key, wanted)) found = value;
    return !found;
  });
  return found;
}

// Attributes of an object whose type manages its dict (3.11+): before the object lie, in 3.11, the
// values and the dict; in 3.12 one word, bit 0 set for values; from 3.13 the dict, the values
// inside the object.
bool Objects::each_managed(Addr object, Addr type, const TypeInfo& info,
                           const std::function<bool(Addr, Addr)>& visit) const {
  const auto keys = image_.read_pointer(offset_by(type, layout_.heaptype_cached_keys));
  const auto word = image_.read_pointer(offset_by(object, layout_.minor == 11 ? -32 : -24));
  if (!word || !keys) return false;
  if (layout_.minor == 11) {
    if (word->value != 0) return each_entry(*keys, *word, visit);
    const auto dict = image_.read_pointer(offset_by(object, -24));
    return dict && dict->value != 0 && each_item(*dict, visit);
  }
  if (layout_.minor == 12 && (word->value & 1) != 0)
    return each_entry(*keys, offset_by(*word, 1), visit);
  if (word->value != 0) return each_item(*word, visit);
  if (layout_.minor == 12 || (info.flags & flag_inline_values) == 0) return false;
  return each_entry(*keys, offset_by(object, info.basic_size), visit);
}

bool Objects::each_attribute(Addr object, const std::function<bool(Addr, Addr)>& visit) const {
  const TypeInfo& info = type_of(object);
  const auto type = read_type(object);
  if (!type) return false;
  if ((info.flags & flag_managed_dict) != 0) return each_managed(object, *type, info, visit);
  if (info.dict_offset <= 0) return false;
  const auto dict = image_.read_pointer(offset_by(object, info.dict_offset));
  return dict && dict->value != 0 && each_item(*dict, visit);
}

std::optional<Addr> Objects::find_attribute(Addr object, std::string_view name) const {
  std::optional<Addr> found;
  each_attribute(object, [&](Addr key, Addr value) {
    if (is_str(key, name)) found = value;
    return !found;
  });
  return found;
}

}  // namespace coldcase::cpython
