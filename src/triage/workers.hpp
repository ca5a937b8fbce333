// Child processes with limits: time, memory, output. What one does never costs more than itself,
// and what it prints is hostile input.
#pragma once

#include <atomic>
#include <coldcase/triage.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace coldcase::triage {

struct WorkerLimits {
  double seconds = 60;
  std::uint64_t memory_bytes = 0;  // RLIMIT_DATA; RLIMIT_AS would forbid mapping large cores
  std::size_t output_bytes = std::size_t{64} << 20;
};

struct Outcome {
  enum class End : std::uint8_t { exited, signaled, timed_out, flooded, not_started, stopped };
  End end = End::not_started;
  int code = 0;        // exit status, or the signal
  std::string output;  // standard output, whole
  std::string errors;  // the beginning of standard error
  double seconds = 0;
};

// WORKER VERB [reading options] -- FILE...
std::vector<std::string> worker_command(const TriageOptions& options, std::string_view verb,
                                        const std::vector<std::string>& files);

// Runs every command, at most `jobs` at once, in order. `done` is called as each ends, from this
// thread; `tick` about five times a second with how many run. With `stop` set the running ones are
// ended.
void run_workers(const std::vector<std::vector<std::string>>& commands, unsigned jobs,
                 const WorkerLimits& limits, const std::function<void(std::size_t, Outcome)>& done,
                 const std::function<void(std::size_t)>& tick, const std::atomic<bool>& stop);

}  // namespace coldcase::triage
