// Small reads of the standard library's Python objects: attributes as numbers and texts, items of
// any container, a frame's module.
#pragma once

#include "lens/cpython/containers.hpp"

namespace coldcase::cpython {

// PyObject_HEAD of a build with a GIL, 3.6 to 3.15; self of a bound method or builtin function.
inline constexpr std::int64_t object_body = 16, bound_self = 24;

inline constexpr std::size_t most_values = 4096;

// Of a list, tuple, set or collections.deque, in its own order, at most `limit`.
std::vector<Addr> read_items(const Objects& objects, Addr container,
                             std::size_t limit = most_values);
// How many it says it has.
std::optional<std::uint64_t> read_length(const Objects& objects, Addr container);

// Attributes of an instance, as what they are.
std::optional<std::int64_t> find_number(const Objects& objects, Addr object, std::string_view name);
std::string find_text(const Objects& objects, Addr object, std::string_view name);

// The dict of a frame's globals, and from it the module's name: "threading".
std::optional<Addr> find_globals(const Objects& objects, const PythonFrame& frame);
std::string module_of(const Objects& objects, const PythonFrame& frame);

// "Queue.get" gives "get".
std::string_view last_part(std::string_view qualified);

}  // namespace coldcase::cpython
