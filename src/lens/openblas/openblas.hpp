// The OpenBLAS lens: workers that have lost their order to end, which fork's handler waits for.
#pragma once

#include "lens/glibc/pthread.hpp"
#include "lens/ledger.hpp"
#include "lens/stacks.hpp"

namespace coldcase::openblas {

// After the native waits are there.
void look_at_openblas(const View& view, const Pthreads& pthreads,
                      const std::vector<StackMap>& stacks, Ledger& ledger);

}  // namespace coldcase::openblas
