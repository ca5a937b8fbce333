// Threads that spin for a pthread_spinlock_t: no system call tells of them, the registers do.
#pragma once

#include <vector>

#include "lens/ledger.hpp"
#include "lens/stacks.hpp"
#include "lens/view.hpp"

namespace coldcase {

void look_at_spinlocks(const View& view, const std::vector<StackMap>& stacks, Ledger& ledger);

}  // namespace coldcase
