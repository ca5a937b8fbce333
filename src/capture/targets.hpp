// Which processes are captured: those named, with --tree their descendants, and whether we may.
#pragma once

#include <coldcase/result.hpp>
#include <cstdint>
#include <optional>
#include <vector>

namespace coldcase::capture {

struct Target {
  std::int64_t pid = 0;
  std::uint64_t start = 0;  // Stat::start: told apart from a later process of the same number
  bool named = false;       // on the command line; the others were found in the tree
};

inline constexpr std::size_t most_targets = 4096;

// Parents before children, each once; read anew until two readings agree. Never this process.
// Throws Error when a named one is no process that can be captured.
std::vector<Target> find_targets(const std::vector<std::int64_t>& pids, bool tree);

// These and their descendants, as they are now: one that has ended is none's parent any more.
std::vector<Target> with_descendants(const std::vector<Target>& targets);

// Why it may not be captured, with the command that would allow it; nothing when it may.
std::optional<Error> find_obstacle(std::int64_t pid);

}  // namespace coldcase::capture
