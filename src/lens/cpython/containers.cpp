#include "lens/cpython/containers.hpp"

#include <algorithm>
#include <array>

#include "image/walk.hpp"
#include "lens/cpython/locks.hpp"

namespace coldcase::cpython {
namespace {

// PySetObject, PyListObject, dequeobject, PyWeakReference, PyCellObject, PyTypeObject, equal in 3.8
// to 3.13 (reference T9, T10).
constexpr std::int64_t set_mask = 32, set_table = 40, var_size = 16, list_items = 24,
                       deque_left_block = 24, deque_left_index = 40, block_items = 8,
                       block_right = 520, weak_object = 16, cell_content = 16, type_name_at = 24,
                       type_base = 256, type_dict = 264, float_value = 16, module_dict = 16;
constexpr std::uint64_t block_length = 64, most_slots = std::uint64_t{1} << 22;

struct SetEntry {
  std::uint64_t key;
  std::int64_t hash;
};

}  // namespace

bool each_in_set(const Objects& objects, Addr set, const std::function<bool(Addr)>& visit) {
  const MemoryImage& image = objects.image();
  const auto mask = image.read<std::uint64_t>(offset_by(set, set_mask));
  const auto table = image.read_pointer(offset_by(set, set_table));
  if (objects.type_name(set) != "set" || !mask || !table || *mask >= most_slots) return false;
  std::vector<SetEntry> entries(1024);
  for (std::uint64_t done = 0; done <= *mask;) {
    const std::uint64_t now = std::min<std::uint64_t>(*mask + 1 - done, entries.size());
    const auto part = std::as_writable_bytes(std::span(entries).first(now));
    if (!image.read_into(offset_by(*table, static_cast<std::int64_t>(done * sizeof(SetEntry))),
                         part))
      return false;
    for (std::uint64_t i = 0; i < now; ++i) {
      // A key that was taken out leaves the dummy, whose hash is -1.
      if (entries[i].key != 0 && entries[i].hash != -1 && !visit(Addr{entries[i].key})) return true;
    }
    done += now;
  }
  return true;
}

std::optional<std::uint64_t> length_of(const Objects& objects, Addr object) {
  const auto size = objects.image().read<std::uint64_t>(offset_by(object, var_size));
  const bool list = objects.has_flag(object, flag_list);
  if (!size || (!list && objects.type_name(object) != "collections.deque")) return std::nullopt;
  return *size;
}

std::vector<Addr> read_list(const Objects& objects, Addr list, std::size_t most) {
  std::vector<Addr> items;
  const auto size = length_of(objects, list);
  const auto at = objects.image().read_pointer(offset_by(list, list_items));
  if (!size || !at || !objects.has_flag(list, flag_list)) return items;
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(*size, most); ++i) {
    const auto item =
        objects.image().read_pointer(offset_by(*at, static_cast<std::int64_t>(i * 8)));
    if (!item) break;
    items.push_back(*item);
  }
  return items;
}

std::vector<Addr> read_deque(const Objects& objects, Addr deque, std::size_t most) {
  const MemoryImage& image = objects.image();
  std::vector<Addr> items;
  const auto size = length_of(objects, deque);
  const auto block = image.read_pointer(offset_by(deque, deque_left_block));
  const auto first = image.read<std::uint64_t>(offset_by(deque, deque_left_index));
  if (!size || !block || !first || *first >= block_length || objects.has_flag(deque, flag_list))
    return items;
  const std::uint64_t wanted = std::min<std::uint64_t>(*size, most);
  std::uint64_t index = *first;
  const auto next = [&](Addr at) { return image.read_pointer(offset_by(at, block_right)); };
  walk_list(*block, wanted / block_length + 2, next, [&](Addr at) {
    for (; index < block_length && items.size() < wanted; ++index) {
      const auto item =
          image.read_pointer(offset_by(at, block_items + static_cast<std::int64_t>(index * 8)));
      if (!item) return false;
      items.push_back(*item);
    }
    index = 0;
    return items.size() < wanted;
  });
  return items;
}

std::optional<double> read_float(const Objects& objects, Addr object) {
  if (objects.type_name(object) == "float") {
    const auto value = objects.image().read<double>(offset_by(object, float_value));
    return value ? std::optional(*value) : std::nullopt;
  }
  const auto whole = objects.read_int(object);
  return whole ? std::optional(static_cast<double>(*whole)) : std::nullopt;
}

bool is_none(const Objects& objects, Addr object) {
  return object.value == 0 || objects.type_name(object) == "NoneType";
}

Addr weak_target(const Objects& objects, Addr reference) {
  if (!is_kind_of(objects, reference, "weakref") &&
      !is_kind_of(objects, reference, "weakref.ReferenceType"))
    return {};
  const auto target = objects.image().read_pointer(offset_by(reference, weak_object));
  return target && !is_none(objects, *target) ? *target : Addr{};
}

Addr out_of_cell(const Objects& objects, Addr object) {
  if (objects.type_name(object) != "cell") return object;
  return objects.image().read_pointer(offset_by(object, cell_content)).value_or(Addr{});
}

bool is_kind_of(const Objects& objects, Addr object, std::string_view wanted) {
  if (objects.type_name(object) == wanted) return true;
  const MemoryImage& image = objects.image();
  const auto type = objects.read_type(object);
  bool found = false;
  const auto base = [&](Addr at) { return image.read_pointer(offset_by(at, type_base)); };
  constexpr std::size_t most_bases = 32;
  walk_list(type.value_or(Addr{}), most_bases, base, [&](Addr at) {
    const auto name = image.read_pointer(offset_by(at, type_name_at));
    found = name && image.read_text(*name, 128).value_or("") == wanted;
    return !found;
  });
  return found;
}

std::string module_of_class(const Objects& objects, Addr object) {
  const auto type = objects.read_type(object);
  if (!type) return {};
  const auto dict = objects.image().read_pointer(offset_by(*type, type_dict));
  const auto module =
      dict && dict->value != 0 ? objects.find_item(*dict, "__module__") : std::nullopt;
  return module ? objects.read_str(*module).value_or("") : std::string{};
}

std::string code_name_of(const Objects& objects, Addr function) {
  if (objects.type_name(function) != "function") return {};
  const Layout& layout = objects.layout();
  const auto code = objects.image().read_pointer(offset_by(function, layout.function_code));
  if (!code) return {};
  const auto name = objects.image().read_pointer(offset_by(*code, layout.code_name));
  return name ? objects.read_str(*name).value_or("") : std::string{};
}

std::optional<Addr> find_closure(const Objects& objects, const AsyncLayout& layout, Addr function,
                                 std::string_view variable) {
  if (objects.type_name(function) != "function") return std::nullopt;
  const MemoryImage& image = objects.image();
  const auto code = image.read_pointer(offset_by(function, objects.layout().function_code));
  const auto closure = image.read_pointer(offset_by(function, layout.function_closure));
  if (!code || !closure || closure->value == 0) return std::nullopt;
  const auto cells = objects.read_tuple(*closure);
  const std::vector<std::string> names = read_local_names(objects, *code);
  if (!cells || cells->size() > names.size()) return std::nullopt;
  // A code object's free variables are the last of its names.
  const std::size_t first = names.size() - cells->size();
  for (std::size_t i = 0; i < cells->size(); ++i) {
    if (names[first + i] == variable) return out_of_cell(objects, (*cells)[i]);
  }
  return std::nullopt;
}

std::optional<Addr> find_local(const Objects& objects, const PythonFrame& frame,
                               std::string_view name) {
  const std::vector<std::string> names = read_local_names(objects, frame.code->at);
  // To 3.10 an argument that is also a cell stands twice, its first slot empty.
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] != name) continue;
    const auto value = objects.read_slot(
        offset_by(frame.at, objects.layout().frame_locals + static_cast<std::int64_t>(i * 8)));
    if (value) return out_of_cell(objects, *value);
  }
  return std::nullopt;
}

std::optional<Addr> find_global(const Objects& objects, Addr interpreter, std::string_view module,
                                std::string_view name) {
  const MemoryImage& image = objects.image();
  const auto modules = image.read_pointer(offset_by(interpreter, objects.layout().interp_modules));
  const auto found = modules ? objects.find_item(*modules, module) : std::nullopt;
  const auto globals =
      found ? image.read_pointer(offset_by(*found, module_dict)) : Read<Addr>(Addr{});
  return globals && globals->value != 0 ? objects.find_item(*globals, name) : std::nullopt;
}

}  // namespace coldcase::cpython
