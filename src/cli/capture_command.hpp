// `coldcase capture`: running processes to cores with side-cars.
#pragma once

#include <coldcase/capture.hpp>
#include <iosfwd>

#include "cli/commands.hpp"

namespace coldcase::cli {

struct CaptureArguments {
  CaptureOptions options;
  bool analyze = false;
  bool quiet = false;
};

int run_capture_command(const CaptureArguments& arguments, std::ostream& out, std::ostream& err);

}  // namespace coldcase::cli
