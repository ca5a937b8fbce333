// Libraries that serve their callers by threads of their own, in a forked child that has none.
#pragma once

#include "lens/glibc/pthread.hpp"
#include "lens/ledger.hpp"
#include "lens/stacks.hpp"

namespace coldcase {

// After the native waits are there.
void look_at_lost_helpers(const View& view, const Pthreads& pthreads,
                          const std::vector<StackMap>& stacks, Ledger& ledger);

}  // namespace coldcase
