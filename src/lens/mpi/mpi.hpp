// The MPI lens: each process's place in its job, the MPI call each thread is in, and the
// communicators that ranks wait on, one resource for all ranks. A thread that runs round in the
// library's progress loop waits.
#pragma once

#include <memory>
#include <vector>

#include "lens/ledger.hpp"
#include "lens/seen.hpp"

namespace coldcase::mpi {

// The process's runtime and its place in the job.
void add_place(const View& view, Ledger& ledger);

// Calls, waits and communicators, once all processes were looked at: who a rank waits for is
// another process.
void look_at_mpi(const std::vector<std::unique_ptr<Seen>>& processes, Ledger& ledger);

}  // namespace coldcase::mpi
