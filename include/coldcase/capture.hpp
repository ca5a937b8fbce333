// Capture: running processes to cores, each with a side-car of what a core lacks. The processes are
// stopped for as long as the dumps take and go on whatever happens, also when this one is killed.
#pragma once

#include <atomic>
#include <coldcase/result.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coldcase {

struct CaptureOptions {
  std::vector<std::int64_t> pids;
  bool tree = false;   // their children too, all the way down
  std::string output;  // the folder to write; made (0700) when it is not there
  std::string gcore;   // the program; empty: looked for in PATH
};

// What became of one process. A failed one has a problem and no core.
struct CapturedProcess {
  std::int64_t pid = 0;
  std::string name;  // comm
  std::uint64_t thread_count = 0;
  std::string core, side_car;    // paths
  std::uint64_t core_bytes = 0;  // before compression
  std::uint64_t file_bytes = 0;
  std::string warning;  // the core is there and something in it is missing
  std::string problem;
  std::optional<Trouble> trouble;
};

struct CaptureResult {
  std::vector<CapturedProcess> processes;  // parents before children
  bool stopped = false;                    // asked to: what was finished is kept
};

struct CaptureProgress {
  std::string_view step;  // looking, stopping, dumping, packing
  std::int64_t pid = 0;
  std::uint64_t done_bytes = 0, total_bytes = 0;  // packing
};

// Throws Error when nothing can be captured: no such process, no permission, no gcore, output that
// exists. Starts a child process, so SIGCHLD must not be ignored.
CaptureResult run_capture(const CaptureOptions& options,
                          const std::function<void(const CaptureProgress&)>& progress,
                          const std::atomic<bool>& stop);

// The JSON schema of a side-car.
std::string_view side_car_schema();

}  // namespace coldcase
