// Makes an analysis what writing it as JSON and reading it back would make of it: strings harmless
// and bounded, ids that point nowhere gone. Text and Markdown start from this, so a report made
// from a JSON file equals the one made from the core.
#pragma once

#include <coldcase/analysis.hpp>

namespace coldcase::report {

Analysis cleaned(const Analysis& analysis);

}  // namespace coldcase::report
