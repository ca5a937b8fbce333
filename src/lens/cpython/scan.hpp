// The interpreter's state by its shape alone, in the writable memory of a module whose file is not
// here: no symbol and no section says where it is.
#pragma once

#include "lens/cpython/layout.hpp"
#include "lens/view.hpp"

namespace coldcase::cpython {

// 3.13 on: where the runtime describes itself.
std::optional<Addr> scan_for_description(const View& view, const Module& module);

// Where, by this layout, an interpreter and its thread states point at each other and one of the
// states is that of a thread of the core.
std::optional<Addr> scan_for_runtime(const View& view, const Module& module, const Layout& layout);

}  // namespace coldcase::cpython
