// --debuginfod and --time-budget, and the line that shows how the fetching goes.
#pragma once

#include <coldcase/fetch.hpp>
#include <iosfwd>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace coldcase::cli {

struct FetchArguments {
  std::string servers = "env";  // env, off, or URLs
  double seconds = 60;
};

// --debuginfod and --time-budget; --debuginfod alone.
void add_fetch_options(CLI::App& command, FetchArguments& arguments);
void add_server_option(CLI::App& command, FetchArguments& arguments);

// "env" stands for DEBUGINFOD_URLS. Progress goes to `err`, and only on a terminal. Throws Error
// (usage) for what is no URL.
FetchOptions make_fetch_options(const FetchArguments& arguments, std::ostream& err);
// As an option of triage's workers.
void pass_on(const FetchArguments& arguments, std::vector<std::string>& options);

}  // namespace coldcase::cli
