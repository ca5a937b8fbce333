// The CUDA lens: the driver found, the function each thread is in named, the driver's own threads
// told, and locks that the driver takes called what they are.
#pragma once

#include "lens/ledger.hpp"
#include "lens/stacks.hpp"
#include "lens/view.hpp"

namespace coldcase::cuda {

// After glibc's waits and CPython's facts are in the ledger.
void look_at_cuda(const View& view, const std::vector<StackMap>& stacks, Ledger& ledger);

}  // namespace coldcase::cuda
