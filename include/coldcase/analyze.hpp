// The library's entry: cores in, Analysis out. Nothing is printed; what was missing is in the
// notes.
#pragma once

#include <coldcase/analysis.hpp>
#include <coldcase/fetch.hpp>
#include <string>
#include <vector>

namespace coldcase {

struct AnalyzeOptions {
  std::vector<std::string> cores;        // paths; "-" is standard input
  std::vector<std::string> executables;  // "F" or "NAME=F": instead of what the core names
  std::vector<std::string> sysroots;  // folders searched for mapped files before this machine's own
  std::vector<std::string>
      debug_dirs;          // folders with .build-id/; /usr/lib/debug is always searched
  FetchOptions fetch;      // debuginfod servers; by default nobody is asked
  bool locals = false;     // tell arguments and variables of native frames: private by default
  bool endpoints = false;  // tell the addresses of sockets' other ends: private by default
};

// Throws Error when there is nothing to analyze at all.
Analysis analyze(const AnalyzeOptions& options);

// "0.1.0", and the commit it was built from ("" when unknown).
std::string_view library_version();
std::string_view library_commit();

}  // namespace coldcase
