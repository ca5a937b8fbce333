// The guardian's own side: what runs in the child process. Plain values go over the socket.
#pragma once

#include <cstdint>

namespace coldcase::capture {

enum class Ask : std::uint32_t { stop, dump, resume };

struct Request {
  Ask what = Ask::resume;
  std::int64_t pid = 0;
  std::uint64_t start = 0;
};

struct Reply {
  std::int32_t result = 0;  // StopResult or Dump::End
  std::int32_t detail = 0;  // gcore's exit status
};

struct GuardSetup {
  int socket = -1, said = -1, folder = -1;
  const char* gcore = nullptr;
  char* const* environment = nullptr;
};

// Serves until the socket ends, then lets everything go on.
[[noreturn]] void guard(const GuardSetup& setup);

}  // namespace coldcase::capture
