// The notes of a core, filled into the Core they belong to. Internal to this stage.
#pragma once

#include "core/core.hpp"

namespace coldcase {

// `part` is the content of one PT_NOTE, as much as the file has; `cut` says that it has not all of
// it.
void parse_notes(Bytes part, bool cut, Core& core);

// After all notes: makes of the times as they stand there those of the threads, or unknown.
void settle_times(Core& core);

}  // namespace coldcase
