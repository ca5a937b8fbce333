// Notes on the mapped files that are not here, are other builds, or cannot be told to be the right
// ones: what that costs, and how the file is come by.
#pragma once

#include "lens/ledger.hpp"
#include "lens/view.hpp"

namespace coldcase {

inline constexpr std::string_view filter_remedy =
    "before the next dump:  echo 0x3f > /proc/PID/coredump_filter  (children inherit it)";

void add_file_gaps(const View& view, Ledger& ledger);

}  // namespace coldcase
