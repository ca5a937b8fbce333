// The full name of a function from DWARF alone: with the namespaces and classes it stands in.
// Compilers give no linkage name to what they only ever inline. Internal to the stage.
#pragma once

#include <string>

#include "modules/handles.hpp"

namespace coldcase {

// `name` with the scopes of its declaration before it, e.g. "std::sort" for "sort". `function` may
// be an inlined instance. What is local to a function keeps that function's name, too.
std::string qualified_name(Dwarf_Die function, std::string name);

}  // namespace coldcase
