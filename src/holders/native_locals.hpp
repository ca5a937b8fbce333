// Arguments and variables of native frames, for who asks for them (--locals): they are private.
#pragma once

#include <memory>
#include <vector>

#include "lens/ledger.hpp"
#include "lens/seen.hpp"

namespace coldcase {

// Of the inner frames of every thread that were found by call frame information and have DWARF.
// Bounded: frames of a thread, variables of a process, length of a value.
void add_locals(const std::vector<std::unique_ptr<Seen>>& processes, Ledger& ledger);

}  // namespace coldcase
