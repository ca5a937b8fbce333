// Who holds a lock that does not say so: a reader-writer lock's readers, a semaphore, a guard of a
// static variable. Comes after all lenses, when every process of the incident has been looked at;
// reads the cores once more, and only where a thread waits for such a lock.
#pragma once

#include <memory>
#include <vector>

#include "lens/ledger.hpp"
#include "lens/seen.hpp"

namespace coldcase {

// For every resource that has waiters and no owner: asks a table of finders, best first, and writes
// what they found - as owners where it is good enough, as evidence in any case.
void find_holders(const std::vector<std::unique_ptr<Seen>>& processes, Ledger& ledger);

}  // namespace coldcase
