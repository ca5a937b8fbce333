// Files of the dead process from debuginfod servers: who is asked, and for how long. Nobody is
// asked unless the caller names a server; none is ever taken from a core.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace coldcase {

struct FetchProgress {
  std::size_t wanted = 0, answered = 0;  // files of this round
  std::uint64_t bytes = 0;               // of files that are on their way or here, in the whole run
  double seconds_left = 0;
  std::string servers;  // as asked, for display
  bool finished = false;
};

struct FetchOptions {
  std::string servers;  // as in DEBUGINFOD_URLS, separated by spaces; empty: nobody is asked
  double seconds = 60;  // for all files of a run together
  std::function<void(const FetchProgress&)> progress;  // about ten times a second
};

}  // namespace coldcase
