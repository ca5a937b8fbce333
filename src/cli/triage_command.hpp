// `coldcase triage`, and the worker it starts: this program again, in its hidden `worker` command.
#pragma once

#include <coldcase/triage.hpp>
#include <iosfwd>
#include <string>
#include <vector>

namespace coldcase::cli {

struct TriageArguments {
  TriageOptions options;
  std::vector<std::string> fail_on{"new", "regression"};
  std::uint64_t memory_mib = 512;
  bool exit_zero = false;
};

int run_triage_command(TriageArguments& arguments, std::ostream& out, std::ostream& err);

// coldcase worker identify|missing|analyze [options] -- FILE...: for triage alone.
int run_worker(const std::vector<std::string>& arguments, std::ostream& out);

}  // namespace coldcase::cli
