// The child process of a round of fetching. Internal to debuginfod.cpp.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "modules/debuginfod.hpp"

namespace coldcase::fetching {

inline constexpr std::size_t most_workers = 8;  // clients, each with its own connections

// Lies in memory that parent and child share.
struct Shared {
  std::atomic<std::uint32_t> next{0};     // the request that is taken next
  std::atomic<std::uint32_t> stopped{0};  // a server failed: nothing new is begun
  std::array<std::atomic<std::uint64_t>, most_workers>
      bytes{};  // of finished files and the current
};

// What the child writes for each request, with `path_size` bytes of path behind it; one write,
// below PIPE_BUF.
struct Record {
  static constexpr std::uint32_t no_library = UINT32_MAX;
  static constexpr std::int32_t too_slow = INT32_MIN;  // a result: more than comes in the time left
  std::uint32_t index = 0;
  std::int32_t result = 0;  // 0, or an error number, negative
  std::uint32_t asked = 0;  // a server was asked: it was not the cache that answered
  std::uint32_t path_size = 0;
};
inline constexpr std::size_t longest_path = 3072;

struct Task {
  std::string servers;  // DEBUGINFOD_URLS
  std::string cache;    // DEBUGINFOD_CACHE_PATH; empty: the user's
  const std::vector<FetchItem>* requests = nullptr;
  std::chrono::steady_clock::time_point end;
  std::chrono::seconds patience{0};  // without 100 KB from a server
  bool first_byte_only = false;      // asks whether a server answers at all
};

// Answers all requests, then ends the process.
[[noreturn]] void answer(const Task& task, Shared& shared, int out, pid_t parent);

}  // namespace coldcase::fetching
