// A process's place in an MPI job, from the environment it was started with. The environment is
// private: of it only rank, size and a digest of the job's name leave this file.
#pragma once

#include <coldcase/facts.hpp>
#include <optional>
#include <string>

#include "core/core.hpp"
#include "image/image.hpp"

namespace coldcase::mpi {

// What launchers give every rank of a job alike, digested: PMIx' namespace (Open MPI), Slurm's job
// and step. Empty when there is none: MPICH's hydra gives its ranks no name in common.
std::string find_job(const Core& core, const MemoryImage& image);

// Rank and size as the launcher said them (native-waits.md 7.1).
std::optional<MpiFact> find_rank(const Core& core, const MemoryImage& image);

}  // namespace coldcase::mpi
