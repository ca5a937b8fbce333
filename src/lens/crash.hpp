// How the process died, when it did: signal, address, abort message, the C++ exception nobody
// caught.
#pragma once

#include "lens/ledger.hpp"
#include "lens/view.hpp"

namespace coldcase {

// Adds a CrashFact when the core was written for a signal of the process's own doing.
void look_at_crash(const View& view, std::int32_t signal_thread, Ledger& ledger);

}  // namespace coldcase
