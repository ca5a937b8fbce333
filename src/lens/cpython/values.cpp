#include "lens/cpython/values.hpp"

#include <algorithm>

namespace coldcase::cpython {
namespace {

constexpr std::int64_t sequence_size = 16, list_items = 24;
// setobject: the entries (key, hash) of an open table, `mask` + 1 of them.
constexpr std::int64_t set_used = 24, set_mask = 32, set_table = 40;
// dequeobject (Modules/_collectionsmodule.c): blocks of 64 items, linked at both ends.
constexpr std::int64_t deque_left = 24, deque_left_index = 40, block_data = 8, block_right = 520;
constexpr std::uint64_t block_items = 64;
constexpr std::uint64_t most_table = 1u << 16;

bool is_set(const std::string& type) {
  return type == "set" || type == "frozenset";
}

std::vector<Addr> read_row(const MemoryImage& image, Addr first, std::uint64_t count) {
  std::vector<Addr> items;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto item = image.read_pointer(offset_by(first, static_cast<std::int64_t>(i * 8)));
    if (!item) break;
    items.push_back(*item);
  }
  return items;
}

std::vector<Addr> read_set(const MemoryImage& image, Addr set, std::size_t limit) {
  std::vector<Addr> items;
  const auto mask = image.read<std::uint64_t>(offset_by(set, set_mask));
  const auto table = image.read_pointer(offset_by(set, set_table));
  if (!mask || !table || *mask >= most_table) return items;
  for (std::uint64_t i = 0; i <= *mask && items.size() < limit; ++i) {
    struct Entry {
      std::uint64_t key;
      std::int64_t hash;
    };
    const auto entry = image.read<Entry>(offset_by(*table, static_cast<std::int64_t>(i * 16)));
    if (!entry) break;
    // A removed key leaves a dummy: hash -1 (an object's own hash is never that).
    if (entry->key != 0 && entry->hash != -1) items.push_back(Addr{entry->key});
  }
  return items;
}

std::vector<Addr> read_deque(const MemoryImage& image, Addr deque, std::uint64_t count) {
  std::vector<Addr> items;
  auto block = image.read_pointer(offset_by(deque, deque_left));
  const auto index = image.read<std::uint64_t>(offset_by(deque, deque_left_index));
  if (!block || !index || *index >= block_items) return items;
  for (std::uint64_t at = *index; items.size() < count; ++at) {
    if (at == block_items) {
      block = image.read_pointer(offset_by(*block, block_right));
      if (!block || block->value == 0) break;
      at = 0;
    }
    const auto item =
        image.read_pointer(offset_by(*block, block_data + static_cast<std::int64_t>(at * 8)));
    if (!item) break;
    items.push_back(*item);
  }
  return items;
}

}  // namespace

std::string_view last_part(std::string_view qualified) {
  const auto dot = qualified.rfind('.');
  return dot == std::string_view::npos ? qualified : qualified.substr(dot + 1);
}

std::optional<std::uint64_t> read_length(const Objects& objects, Addr container) {
  const std::string& type = objects.type_name(container);
  const bool sequence = objects.has_flag(container, flag_list) ||
                        objects.has_flag(container, flag_tuple) || type == "collections.deque";
  if (!sequence && !is_set(type)) return std::nullopt;
  const auto count = objects.image().read<std::uint64_t>(
      offset_by(container, sequence ? sequence_size : set_used));
  return count && *count < (std::uint64_t{1} << 40) ? std::optional(*count) : std::nullopt;
}

std::vector<Addr> read_items(const Objects& objects, Addr container, std::size_t limit) {
  const auto length = read_length(objects, container);
  if (!length) return {};
  const MemoryImage& image = objects.image();
  const std::uint64_t count = std::min<std::uint64_t>(*length, limit);
  if (objects.has_flag(container, flag_tuple)) {
    auto items = objects.read_tuple(container).value_or(std::vector<Addr>{});
    if (items.size() > limit) items.resize(limit);
    return items;
  }
  if (objects.has_flag(container, flag_list)) {
    const auto first = image.read_pointer(offset_by(container, list_items));
    return first ? read_row(image, *first, count) : std::vector<Addr>{};
  }
  if (is_set(objects.type_name(container))) return read_set(image, container, limit);
  return read_deque(image, container, count);
}

std::optional<double> read_float(const Objects& objects, Addr object) {
  if (objects.type_name(object) != "float") return std::nullopt;
  const auto value = objects.image().read<double>(offset_by(object, object_body));
  return value ? std::optional(*value) : std::nullopt;
}

bool is_none(const Objects& objects, Addr object) {
  return objects.type_name(object) == "NoneType";
}

std::optional<Addr> find_referent(const Objects& objects, Addr weakref) {
  // weakref.KeyedRef and other subclasses keep PyWeakReference's fields; None when it is gone.
  const auto object = objects.image().read_pointer(offset_by(weakref, object_body));
  if (!object || object->value == 0 || is_none(objects, *object)) return std::nullopt;
  return *object;
}

std::optional<std::int64_t> find_number(const Objects& objects, Addr object,
                                        std::string_view name) {
  const auto value = objects.find_attribute(object, name);
  const auto number = value ? objects.read_int(*value) : Read<std::int64_t>(tl::unexpect, Fault{});
  return number ? std::optional(*number) : std::nullopt;
}

std::string find_text(const Objects& objects, Addr object, std::string_view name) {
  const auto value = objects.find_attribute(object, name);
  return value ? objects.read_str(*value).value_or("") : std::string();
}

std::optional<Addr> find_local(const Objects& objects, const PythonFrame& frame,
                               std::string_view name) {
  const auto names = read_local_names(objects, frame.code->at);
  for (std::size_t i = 0; i < names.size() && i < most_values; ++i) {
    if (names[i] != name) continue;
    const auto value = objects.image().read_pointer(
        offset_by(frame.at, objects.layout().frame_locals + static_cast<std::int64_t>(i * 8)));
    if (!value || value->value == 0) continue;  // an argument in a cell: under the cell's name
    if (objects.type_name(*value) != "cell") return *value;
    const auto inside = objects.image().read_pointer(offset_by(*value, object_body));
    if (inside && inside->value != 0) return *inside;
  }
  return std::nullopt;
}

std::optional<Addr> find_globals(const Objects& objects, const PythonFrame& frame) {
  const auto globals =
      objects.image().read_pointer(offset_by(frame.at, objects.layout().frame_globals));
  if (!globals || !objects.has_flag(*globals, flag_dict)) return std::nullopt;
  return *globals;
}

std::string module_of(const Objects& objects, const PythonFrame& frame) {
  const auto globals = find_globals(objects, frame);
  const auto name = globals ? objects.find_item(*globals, "__name__") : std::nullopt;
  return name ? objects.read_str(*name).value_or("") : std::string();
}

std::optional<Addr> find_module(const Objects& objects, const Interpreter& interpreter,
                                std::string_view name) {
  const auto modules =
      objects.image().read_pointer(offset_by(interpreter.at, objects.layout().interp_modules));
  const auto module = modules ? objects.find_item(*modules, name) : std::nullopt;
  if (!module) return std::nullopt;
  const auto globals = objects.image().read_pointer(offset_by(*module, object_body));  // md_dict
  return globals && objects.has_flag(*globals, flag_dict) ? std::optional(*globals) : std::nullopt;
}

}  // namespace coldcase::cpython
