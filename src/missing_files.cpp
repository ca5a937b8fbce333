// The drivers behind triage's fetching: what one incident lacks, told by a worker without a
// network, and the round to the servers for all of them, in triage's own process.
#include <algorithm>
#include <coldcase/inspect.hpp>

#include "session.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_missing = 512;  // of one incident

void add_missing_of(const std::string& path, const AnalyzeOptions& options, Unpack unpack,
                    Debuginfod& cache, std::vector<FetchRequest>& missing) {
  for (Input& input : open_inputs(path, unpack)) {
    try {
      const auto session = open_files(std::move(input), options, &cache);
      const auto more =
          missing_files(session->core, session->saved, session->modules, most_missing);
      missing.insert(missing.end(), more.begin(), more.end());
    } catch (const Error&) {
      // Reading it for real will say what is wrong.
    }
  }
}

std::vector<FetchRequest> missing_once(const AnalyzeOptions& options, Unpack unpack) {
  FetchOptions fetch;
  fetch.cache_only = true;
  Debuginfod cache(fetch);
  std::vector<FetchRequest> missing;
  for (const std::string& path : options.cores) {
    try {
      add_missing_of(path, options, unpack, cache, missing);
    } catch (const Error&) {
      // As above.
    }
  }
  std::ranges::sort(missing);
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  missing.resize(std::min(missing.size(), most_missing));
  return missing;
}

}  // namespace

std::vector<FetchRequest> missing_files(const AnalyzeOptions& options) {
  return reading_frames([&](Unpack unpack) { return missing_once(options, unpack); });
}

struct FileServers::Inner {
  Debuginfod servers;
};

FileServers::FileServers(const FetchOptions& options) : inner_(new Inner{Debuginfod(options)}) {}
FileServers::~FileServers() = default;
FileServers::FileServers(FileServers&&) noexcept = default;
FileServers& FileServers::operator=(FileServers&&) noexcept = default;

std::vector<bool> FileServers::fetch(const std::vector<FetchRequest>& requests) {
  std::vector<bool> here;
  for (const FetchAnswer& answer : inner_->servers.fetch(requests))
    here.push_back(answer.outcome == FetchAnswer::Outcome::found || answer.has_sections());
  return here;
}

const std::vector<FetchNote>& FileServers::troubles() const {
  return inner_->servers.troubles();
}

}  // namespace coldcase
