// Rows from reports, groups from rows.
#pragma once

#include <coldcase/triage.hpp>

#include "triage/incidents.hpp"
#include "triage/workers.hpp"

namespace coldcase::triage {

// What a report says, as a row. The report came from a worker: it was parsed, and is believed no
// further.
TriageRow row_of(const Analysis& analysis, const Incident& incident, const std::string& key);

// A worker that printed no report: why, in words, and a code for machines.
TriageRow failed_row(const Outcome& outcome, const Incident& incident, const std::string& key,
                     const WorkerLimits& limits);

// Makes the report the same on every machine: paths as found, no modification times.
void localize(Analysis& analysis, const Incident& incident);

std::vector<TriageGroup> group_rows(const std::vector<TriageRow>& rows);

}  // namespace coldcase::triage
