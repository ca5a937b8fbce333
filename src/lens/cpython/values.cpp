#include "lens/cpython/values.hpp"

#include <algorithm>

namespace coldcase::cpython {
namespace {

constexpr std::int64_t tuple_size = 16, set_used = 24;
constexpr std::uint64_t most_length = std::uint64_t{1} << 40;

}  // namespace

std::string_view last_part(std::string_view qualified) {
  const auto dot = qualified.rfind('.');
  return dot == std::string_view::npos ? qualified : qualified.substr(dot + 1);
}

std::optional<std::uint64_t> read_length(const Objects& objects, Addr container) {
  auto length = length_of(objects, container);
  const bool tuple = objects.has_flag(container, flag_tuple);
  if (!length && (tuple || objects.type_name(container) == "set")) {
    const auto count =
        objects.image().read<std::uint64_t>(offset_by(container, tuple ? tuple_size : set_used));
    if (count) length = *count;
  }
  return length && *length < most_length ? length : std::nullopt;
}

std::vector<Addr> read_items(const Objects& objects, Addr container, std::size_t limit) {
  if (objects.has_flag(container, flag_list)) return read_list(objects, container, limit);
  if (objects.has_flag(container, flag_tuple)) {
    auto items = objects.read_tuple(container).value_or(std::vector<Addr>{});
    if (items.size() > limit) items.resize(limit);
    return items;
  }
  if (objects.type_name(container) == "collections.deque")
    return read_deque(objects, container, limit);
  std::vector<Addr> items;
  if (limit == 0) return items;
  each_in_set(objects, container, [&](Addr item) {
    items.push_back(item);
    return items.size() < limit;
  });
  return items;
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

}  // namespace coldcase::cpython
