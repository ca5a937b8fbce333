#include "triage/incidents.hpp"

#include <algorithm>
#include <charconv>
#include <coldcase/analyze.hpp>
#include <map>

#include "base/digest.hpp"

namespace coldcase::triage {
namespace {

bool parse_number(std::string_view text, std::int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && number >= 0;
}

std::size_t root_of(std::vector<std::size_t>& parent, std::size_t at) {
  while (parent[at] != at) at = parent[at] = parent[parent[at]];
  return at;
}

}  // namespace

bool parse_identity(std::string_view line, Identified& into) {
  while (line.ends_with('\n')) line.remove_suffix(1);
  const auto first = line.find('\t');
  const auto second = first == std::string_view::npos ? first : line.find('\t', first + 1);
  if (second == std::string_view::npos) return false;
  const std::string_view identity = line.substr(0, first);
  std::string_view last = line.substr(second + 1);
  if (const auto third = last.find('\t'); third != std::string_view::npos) {
    const std::string_view job = last.substr(third + 1);
    if (job.size() != 16 || job.find_first_not_of("0123456789abcdef") != std::string_view::npos)
      return false;
    into.job = std::string(job);
    last = last.substr(0, third);
  }
  const bool hex = identity.size() == 64 &&
                   identity.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (!hex || !parse_number(line.substr(first + 1, second - first - 1), into.pid) ||
      !parse_number(last, into.ppid)) {
    return false;
  }
  into.identity = std::string(identity);
  into.is_core = true;
  return true;
}

std::vector<Incident> group_incidents(const std::vector<Identified>& identified) {
  std::vector<const Identified*> cores;
  std::map<std::string, std::vector<std::string>> copies;  // identity -> further files, in order
  std::map<std::string, std::size_t> by_identity;
  for (const Identified& one : identified) {
    if (!one.is_core) continue;
    const auto [at, fresh] = by_identity.try_emplace(one.identity, cores.size());
    if (fresh)
      cores.push_back(&one);
    else
      copies[one.identity].push_back(one.file.shown);
  }
  std::vector<std::size_t> parent(cores.size());
  for (std::size_t i = 0; i < parent.size(); ++i) parent[i] = i;
  std::map<std::pair<std::string, std::int64_t>, std::size_t> by_pid;
  for (std::size_t i = 0; i < cores.size(); ++i) {
    if (cores[i]->pid > 1) by_pid.try_emplace({cores[i]->file.folder, cores[i]->pid}, i);
  }
  for (std::size_t i = 0; i < cores.size(); ++i) {
    const auto at = by_pid.find({cores[i]->file.folder, cores[i]->ppid});
    if (at != by_pid.end() && at->second != i)
      parent[root_of(parent, i)] = root_of(parent, at->second);
  }
  std::map<std::pair<std::string, std::string>, std::size_t> by_job;
  for (std::size_t i = 0; i < cores.size(); ++i) {
    if (cores[i]->job.empty()) continue;
    const auto [at, fresh] = by_job.try_emplace({cores[i]->file.folder, cores[i]->job}, i);
    if (!fresh) parent[root_of(parent, i)] = root_of(parent, at->second);
  }
  std::map<std::size_t, std::size_t> place;
  std::vector<Incident> incidents;
  for (std::size_t i = 0; i < cores.size(); ++i) {
    const auto [at, fresh] = place.try_emplace(root_of(parent, i), incidents.size());
    if (fresh) incidents.emplace_back();
    Incident& incident = incidents[at->second];
    incident.files.push_back(cores[i]->file);
    incident.identities.push_back(cores[i]->identity);
    const auto more = copies.find(cores[i]->identity);
    if (more != copies.end())
      incident.duplicates.insert(incident.duplicates.end(), more->second.begin(),
                                 more->second.end());
  }
  for (Incident& incident : incidents) std::ranges::sort(incident.identities);
  return incidents;
}

std::string key_of(const Incident& incident, const std::vector<std::string>& reading) {
  std::string text = "triage 1 " + std::string(library_version());
  for (const std::string& word : reading) text += "\n" + word;
  text += "\n--";
  for (const std::string& identity : incident.identities) text += "\n" + identity;
  return sha256_hex(text).substr(0, 32);
}

}  // namespace coldcase::triage
