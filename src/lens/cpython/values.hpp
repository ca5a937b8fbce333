// Python's containers and plain values in dead memory, as the objects of the standard library hold
// them. Types are checked first, counts are bounded; what does not fit reads as nothing.
#pragma once

#include "lens/cpython/code.hpp"
#include "lens/cpython/runtime.hpp"

namespace coldcase::cpython {

// PyObject_HEAD of a build with a GIL, 3.6 to 3.15; self of a bound method or builtin function.
inline constexpr std::int64_t object_body = 16, bound_self = 24;

inline constexpr std::size_t most_values = 4096;

// Of a list, tuple, set, frozenset or collections.deque, in its own order, at most `limit`.
std::vector<Addr> read_items(const Objects& objects, Addr container,
                             std::size_t limit = most_values);
// How many it says it has.
std::optional<std::uint64_t> read_length(const Objects& objects, Addr container);

std::optional<double> read_float(const Objects& objects, Addr object);
bool is_none(const Objects& objects, Addr object);

// What a weak reference refers to; nothing when that is gone.
std::optional<Addr> find_referent(const Objects& objects, Addr weakref);

// Attributes of an instance, as what they are.
std::optional<std::int64_t> find_number(const Objects& objects, Addr object, std::string_view name);
std::string find_text(const Objects& objects, Addr object, std::string_view name);

// A local variable or a closure's, by its name.
std::optional<Addr> find_local(const Objects& objects, const PythonFrame& frame,
                               std::string_view name);

// The dict of a module's globals, and from it the module's name: "threading".
std::optional<Addr> find_globals(const Objects& objects, const PythonFrame& frame);
std::string module_of(const Objects& objects, const PythonFrame& frame);
// The globals of an imported module.
std::optional<Addr> find_module(const Objects& objects, const Interpreter& interpreter,
                                std::string_view name);

// "Queue.get" gives "get".
std::string_view last_part(std::string_view qualified);

}  // namespace coldcase::cpython
