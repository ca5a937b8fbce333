// More of Python's objects in dead memory: sets, lists, deques, weak references, closures, classes.
// All counts are bounded; what makes no sense reads as empty.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lens/cpython/async_layout.hpp"
#include "lens/cpython/runtime.hpp"

namespace coldcase::cpython {

// Visits the members of a set until `visit` returns false; false when the set makes no sense.
bool each_in_set(const Objects& objects, Addr set, const std::function<bool(Addr)>& visit);
// At most `most` items.
std::vector<Addr> read_list(const Objects& objects, Addr list, std::size_t most);
std::vector<Addr> read_deque(const Objects& objects, Addr deque, std::size_t most);
std::optional<std::uint64_t> length_of(const Objects& objects, Addr list_or_deque);

std::optional<double> read_float(const Objects& objects, Addr object);
bool is_none(const Objects& objects, Addr object);

// What a weak reference refers to; null when that is gone.
Addr weak_target(const Objects& objects, Addr reference);
// What is in a cell; the object itself when it is no cell.
Addr out_of_cell(const Objects& objects, Addr object);

// The object or one of its base classes has this name (tp_name).
bool is_kind_of(const Objects& objects, Addr object, std::string_view type);
// The module that the object's class was written in: "asyncio.locks"; empty for built-in classes.
std::string module_of_class(const Objects& objects, Addr object);

// The name of a function's code, and its variable of the enclosing function.
std::string code_name_of(const Objects& objects, Addr function);
std::optional<Addr> find_closure(const Objects& objects, const AsyncLayout& layout, Addr function,
                                 std::string_view variable);

// A frame's local variable, out of its cell.
std::optional<Addr> find_local(const Objects& objects, const PythonFrame& frame,
                               std::string_view name);

// A module's global: sys.modules[module].name.
std::optional<Addr> find_global(const Objects& objects, Addr interpreter, std::string_view module,
                                std::string_view name);

}  // namespace coldcase::cpython
