// `coldcase show` and `coldcase inspect`: for people who want to look themselves.
#pragma once

#include <coldcase/inspect.hpp>
#include <iosfwd>
#include <string>

namespace coldcase::cli {

// Both give the exit code, and throw Error (usage) for what they do not know.
int run_show_command(const AnalyzeOptions& options, const std::string& what, bool json,
                     std::ostream& out);
int run_inspect_command(const AnalyzeOptions& options, const std::string& number, bool json,
                        std::ostream& out);

}  // namespace coldcase::cli
