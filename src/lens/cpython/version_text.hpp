// Which version of CPython a module is, by its name and by the text it keeps for sys.version.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lens/view.hpp"

namespace coldcase::cpython {

// The minor version a file name tells: libpython3.11.so.1.0, python3.11.
std::optional<int> minor_from_name(std::string_view name);

// The module's writable memory: .data and .bss, by its program headers, else by the core's
// segments.
std::vector<Range> writable_parts(const View& view, const Module& module);

// "3.11.2", of Py_GetVersion's buffer there; empty when there is none of this minor version.
std::string find_version_text(const View& view, const Module& module, int minor);

}  // namespace coldcase::cpython
