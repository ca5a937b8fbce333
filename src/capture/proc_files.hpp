// Reading /proc, bounded: files that may vanish, grow, or be forbidden.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "capture/proc_text.hpp"

namespace coldcase::capture {

inline constexpr std::size_t most_rows = std::size_t{1} << 18;

// "/proc/PID/" + rest.
std::string proc_path(std::int64_t pid, const std::string& rest);

// The whole text, up to 32 MiB; nothing when it cannot be read, and errno says why.
std::optional<std::string> read_proc(const std::string& path);
std::optional<std::string> read_link(const std::string& path);

// The numbers among a folder's entries, sorted. Nothing when it cannot be read.
std::optional<std::vector<std::int64_t>> list_numbers(const std::string& folder);

std::optional<Stat> stat_of(std::int64_t pid);

// Whether nothing of it runs any more. A main thread that has ended is a zombie too, as long as
// other threads live.
bool has_ended(std::int64_t pid, const Stat& stat);

// The children of all its threads, zombies too.
std::vector<std::int64_t> children_of(std::int64_t pid);

}  // namespace coldcase::capture
