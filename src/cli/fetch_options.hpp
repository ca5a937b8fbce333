// --debuginfod and --time-budget, and the line that shows how the fetching goes.
#pragma once

#include <coldcase/fetch.hpp>
#include <iosfwd>
#include <string>

namespace CLI {
class App;
}

namespace coldcase::cli {

struct FetchArguments {
  std::string servers;  // env, off, cache, or URLs; empty: the command's own
  double seconds = 60;
};

void add_server_option(CLI::App& command, FetchArguments& arguments,
                       const std::string& command_default);
// The same, and --time-budget.
void add_fetch_options(CLI::App& command, FetchArguments& arguments);

// Nothing given: env. "env" stands for DEBUGINFOD_URLS. Progress goes to `err`, and only on a
// terminal. Throws Error (usage) for what is no URL.
FetchOptions make_fetch_options(const FetchArguments& arguments, std::ostream& err);

}  // namespace coldcase::cli
