// Files of the dead processes that are not on this machine: told by workers that have no network,
// asked for once for all incidents, by triage itself.
#pragma once

#include <atomic>
#include <coldcase/triage.hpp>
#include <optional>

#include "triage/incidents.hpp"

namespace coldcase::triage {

// What to ask for, what most incidents lack first: a core that names many files delays the others'
// as little as can be.
std::vector<FetchRequest> most_wanted(const std::vector<Incident>& incidents);

// Fills `missing` of the incidents with what still lacks in the end. Nothing is done unless the
// options name servers or debuginfod's cache. Gives what went wrong with the servers.
std::vector<FetchNote> fetch_missing(std::vector<Incident>& incidents, const TriageOptions& options,
                                     const std::atomic<bool>& stop);

}  // namespace coldcase::triage
