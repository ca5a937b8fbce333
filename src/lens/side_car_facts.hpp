// What the side-car says and no lens has to interpret: names and CPU time of threads, and that it
// was read at all.
#pragma once

#include <string>

#include "lens/ledger.hpp"
#include "lens/view.hpp"

namespace coldcase {

// Processor time where the core has none, ages, who was stopped. Before the lenses, which tell of
// them.
void add_side_car_tasks(const View& view, Ledger& ledger);

// Processes that a signal has stopped, children that ended badly and that nobody has waited for.
void add_side_car_notes(const View& view, Ledger& ledger);

// After the lenses: a thread keeps the better name it has.
void add_side_car_names(const View& view, Ledger& ledger);

// The side-car among the report's inputs, or a note on why the one there is not used. After the
// cores of all processes: an input's index is its process's up to there.
void add_side_car_input(const View& view, const std::string& problem, Ledger& ledger);

}  // namespace coldcase
