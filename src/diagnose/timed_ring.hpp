// Threads that wait for each other's locks in a ring that a timeout opens. No deadlock; but who
// tries again at once, as most do, may go round for ever. Internal to this stage.
#pragma once

#include <coldcase/analysis.hpp>

namespace coldcase {

// A note on the first such ring, as one core cannot tell how often it opens. True when there is
// one.
bool note_timed_ring(Analysis& analysis);

}  // namespace coldcase
