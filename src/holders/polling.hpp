// Threads that are not asleep: how long they have run, and whether they go round in a loop that
// polls memory. After the lenses and before the search for holders, which asks who would change a
// polled word.
#pragma once

#include <memory>
#include <vector>

#include "lens/ledger.hpp"
#include "lens/seen.hpp"

namespace coldcase {

void find_polling(const std::vector<std::unique_ptr<Seen>>& processes, Ledger& ledger);

}  // namespace coldcase
