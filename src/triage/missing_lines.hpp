// The files that a core lacks, as a worker tells them to triage.
#pragma once

#include <coldcase/fetch.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coldcase::triage {

inline constexpr std::size_t most_missing_bytes = std::size_t{128} << 10;

// What `coldcase worker missing` prints: KIND, a tab and the build-id on a line each, sorted;
// "end".
std::string missing_lines(const std::vector<FetchRequest>& files);

// Hostile until parsed; nothing when any of it makes no sense or its end is not there.
std::optional<std::vector<FetchRequest>> parse_missing(std::string_view text);

}  // namespace coldcase::triage
