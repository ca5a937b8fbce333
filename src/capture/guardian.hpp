// A child process that alone stops, dumps and continues the captured ones. When the connection to
// it ends - because we are done, were interrupted, threw, or were killed - it ends the running dump
// and lets every process go on that it stopped. It ignores the signals that would end us.
//
//   Guardian guardian(gcore, folder);
//   guardian.stop(target);                    // SIGSTOP, unless it is stopped already
//   const Dump dump = guardian.dump(pid, stop);     // core.PID in the folder
//   guardian.resume();                        // SIGCONT to those it stopped
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "capture/targets.hpp"

namespace coldcase::capture {

enum class StopResult : std::uint8_t { stopped, was_stopped, not_stopping, gone };

struct Dump {
  enum class End : std::uint8_t { exited, stalled, interrupted, lost };
  End end = End::lost;
  int code = 0;
  std::string said;  // the end of what gcore printed
};

inline constexpr int stall_seconds = 120;

class Guardian {
 public:
  // `gcore` is an absolute path, `folder` an open folder. Throws Error.
  Guardian(const std::string& gcore, int folder);
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;
  ~Guardian();  // as resume(), and the dump that runs is ended

  StopResult stop(const Target& target);
  Dump dump(std::int64_t pid, const std::atomic<bool>& stop);
  void resume();

 private:
  bool ask(std::uint32_t what, std::int64_t pid, std::uint64_t start);
  bool await(std::int32_t& result, std::int32_t& detail, const std::atomic<bool>* stop) const;
  std::string said() const;
  void finish();

  int socket_ = -1;
  int said_ = -1;  // an unnamed file that gcore prints into
  pid_t pid_ = -1;
  std::vector<Target> stopped_;  // for the case that the guardian itself is killed
};

}  // namespace coldcase::capture
