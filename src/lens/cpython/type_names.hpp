// Names of static types when the interpreter's file is not here: tp_name points into .rodata, which
// a core does not hold. The interpreter's own dictionaries say which type is which.
#pragma once

#include <map>
#include <string>

#include "lens/cpython/objects.hpp"

namespace coldcase::cpython {

// By the type's address. `builtins` and `modules`: the interpreter's dicts.
std::map<std::uint64_t, std::string> learn_type_names(const Objects& objects, Addr builtins,
                                                      Addr modules);

}  // namespace coldcase::cpython
