// Where native code called the evaluation function, of CPython 3.10 to 3.12: its chain of _PyCFrame
// (Include/cpython/pystate.h), one on the C stack for each call.
#pragma once

#include <vector>

#include "image/image.hpp"
#include "lens/cpython/layout.hpp"

namespace coldcase::cpython {

// One address for each call that runs a frame, innermost first. A call pushes its CFrame before it
// is filled: such a one is left out, and the calls outside it are looked for on the stack above it.
std::vector<Addr> read_cframes(const MemoryImage& image, const Layout& layout, Addr thread_state);

// 3.11 and 3.12: the frame that the call with this CFrame runs; null when it cannot be read.
Addr frame_of(const MemoryImage& image, const Layout& layout, Addr cframe);

}  // namespace coldcase::cpython
