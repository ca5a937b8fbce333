// --debuginfod and --time-budget, and the line that shows how the fetching goes. Not for triage:
// its workers have no network.
#pragma once

#include <coldcase/fetch.hpp>
#include <iosfwd>
#include <string>

namespace CLI {
class App;
}

namespace coldcase::cli {

struct FetchArguments {
  std::string servers = "env";  // env, off, or URLs
  double seconds = 60;
};

void add_fetch_options(CLI::App& command, FetchArguments& arguments);

// "env" stands for DEBUGINFOD_URLS. Progress goes to `err`, and only on a terminal. Throws Error
// (usage) for what is no URL.
FetchOptions make_fetch_options(const FetchArguments& arguments, std::ostream& err);

}  // namespace coldcase::cli
