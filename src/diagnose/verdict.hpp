// After the findings: what each thread's part in them was, and the one sentence about it all.
// Internal to this stage.
#pragma once

#include <coldcase/analysis.hpp>

namespace coldcase {

// Threads' tags and the findings they are in.
void set_tags(Analysis& analysis);

// The verdict from the findings, or from what was and was not read when there are none.
void judge(Analysis& analysis);

void add_totals(Analysis& analysis);

}  // namespace coldcase
