#include "triage/missing.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "triage/missing_lines.hpp"
#include "triage/workers.hpp"

namespace coldcase::triage {
namespace {

// A program and its debug file, then the supplement that this names.
constexpr int most_rounds = 3;

// Asks the workers of these incidents.
void look(std::vector<Incident>& incidents, const std::vector<std::size_t>& which,
          const TriageOptions& options, const std::atomic<bool>& stop) {
  std::vector<std::vector<std::string>> commands;
  commands.reserve(which.size());
  for (const std::size_t i : which)
    commands.push_back(worker_command(options, "missing", paths_of(incidents[i])));
  const WorkerLimits limits{options.seconds, options.memory_bytes, most_missing_bytes};
  const auto done = [&](std::size_t c, const Outcome& outcome) {
    const bool fine = outcome.end == Outcome::End::exited && outcome.code == 0;
    auto told = fine ? parse_missing(outcome.output) : std::nullopt;
    Incident& incident = incidents[which[c]];
    incident.missing_unknown = !told;
    incident.missing = std::move(told).value_or(std::vector<FetchRequest>{});
  };
  run_workers(
      commands, options.jobs, limits, done, [](std::size_t) {}, stop);
}

// The whole file is wanted still; it may be small enough for this run.
FetchRequest whole(FetchRequest file) {
  if (file.kind == FetchKind::sections) file.kind = FetchKind::debuginfo;
  return file;
}

bool lacks_any(const Incident& incident, const std::set<FetchRequest>& came) {
  return std::ranges::any_of(incident.missing,
                             [&](const FetchRequest& one) { return came.contains(whole(one)); });
}

}  // namespace

std::vector<FetchRequest> most_wanted(const std::vector<Incident>& incidents) {
  std::map<FetchRequest, std::size_t> counts;
  for (const Incident& incident : incidents) {
    for (const FetchRequest& file : incident.missing) ++counts[whole(file)];
  }
  std::vector<FetchRequest> files;
  files.reserve(counts.size());
  for (const auto& [file, count] : counts) files.push_back(file);
  std::ranges::stable_sort(files, [&](const FetchRequest& a, const FetchRequest& b) {
    return counts.at(a) > counts.at(b);
  });
  return files;
}

std::vector<FetchNote> fetch_missing(std::vector<Incident>& incidents, const TriageOptions& options,
                                     const std::atomic<bool>& stop) {
  if (options.fetch.servers.empty() && !options.fetch.cache_only) return {};
  FetchOptions fetch = options.fetch;
  fetch.stop = &stop;
  FileServers servers(fetch);
  std::vector<std::size_t> open(incidents.size());
  for (std::size_t i = 0; i < open.size(); ++i) open[i] = i;
  std::set<FetchRequest> asked;
  for (int round = 0; !stop; ++round) {
    look(incidents, open, options, stop);
    if (fetch.cache_only || round == most_rounds) break;
    std::vector<FetchRequest> wanted = most_wanted(incidents);
    std::erase_if(wanted, [&](const FetchRequest& one) { return !asked.insert(one).second; });
    if (wanted.empty() || stop) break;
    const std::vector<bool> here = servers.fetch(wanted);
    std::set<FetchRequest> came;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (here[i]) came.insert(wanted[i]);
    }
    open.clear();
    for (std::size_t i = 0; i < incidents.size(); ++i) {
      if (lacks_any(incidents[i], came)) open.push_back(i);
    }
    if (open.empty()) break;
  }
  return servers.troubles();
}

}  // namespace coldcase::triage
