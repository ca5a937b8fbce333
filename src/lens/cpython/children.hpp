// Child processes that subprocess started, as far as the threads that wait for them tell.
#pragma once

#include "lens/cpython/lens_parts.hpp"

namespace coldcase::cpython {

// What a thread in Popen.communicate reads or writes are the child's own standard streams.
void add_child_pipes(LensContext& context);

}  // namespace coldcase::cpython
