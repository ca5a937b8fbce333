#include "triage/incidents.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <coldcase/analyze.hpp>
#include <map>
#include <span>

#include "base/digest.hpp"
#include "base/text.hpp"
#include "triage/missing_lines.hpp"

namespace coldcase::triage {
namespace {

bool parse_number(std::string_view text, std::int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && number >= 0;
}

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The number of fields there are; those beyond the array are counted, not kept.
std::size_t split(std::string_view text, char at, std::span<std::string_view> fields) {
  std::size_t count = 0;
  while (true) {
    const auto end = text.find(at);
    if (count < fields.size()) fields[count] = text.substr(0, end);
    ++count;
    if (end == std::string_view::npos) return count;
    text.remove_prefix(end + 1);
  }
}

constexpr std::size_t most_members = 256, most_name = 4096;

std::string hex_of(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += {digits[byte >> 4], digits[byte & 15]};
  }
  return text;
}

bool parse_hex(std::string_view text, std::string& bytes) {
  if (text.size() % 2 != 0 || text.size() > 2 * most_name || !is_hex(text)) return false;
  for (; !text.empty(); text.remove_prefix(2)) {
    unsigned value = 0;
    std::from_chars(text.data(), text.data() + 2, value, 16);
    bytes += static_cast<char>(value);
  }
  return true;
}

// "12,13"; empty for none.
bool parse_numbers(std::string_view text, std::vector<std::int64_t>& numbers) {
  while (!text.empty()) {
    const auto comma = text.find(',');
    if (!parse_number(text.substr(0, comma), numbers.emplace_back())) return false;
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
    if (text.empty()) return false;
  }
  return true;
}

std::size_t root_of(std::vector<std::size_t>& parent, std::size_t at) {
  while (parent[at] != at) at = parent[at] = parent[parent[at]];
  return at;
}

using ByNumber = std::map<std::pair<std::string, std::int64_t>, std::size_t>;

// The core in whose folder and process a number is one: processes first, then their threads.
ByNumber index_numbers(const std::vector<const Identified*>& cores) {
  ByNumber found;
  for (std::size_t i = 0; i < cores.size(); ++i) {
    if (cores[i]->pid > 1) found.try_emplace({cores[i]->file.folder, cores[i]->pid}, i);
  }
  for (std::size_t i = 0; i < cores.size(); ++i) {
    for (const std::int64_t tid : cores[i]->threads)
      found.try_emplace({cores[i]->file.folder, tid}, i);
  }
  return found;
}

}  // namespace

std::string identity_line(const CoreIdentity& identity) {
  std::array<std::string, 3> last{identity.job, "", hex_of(identity.member)};
  for (const std::int64_t thread : identity.threads)
    last[1] += (last[1].empty() ? "" : ",") + std::to_string(thread);
  std::string line =
      identity.content + '\t' + std::to_string(identity.pid) + '\t' + std::to_string(identity.ppid);
  for (const std::string& field : last) line += '\t' + field;
  while (line.ends_with('\t')) line.pop_back();
  return line + '\n';
}

bool parse_identity(std::string_view line, Identified& into) {
  while (line.ends_with('\n')) line.remove_suffix(1);
  std::array<std::string_view, 6> fields;
  const std::size_t count = split(line, '\t', fields);
  if (count < 3 || count > fields.size()) return false;
  Identified found;
  if (fields[0].size() != 64 || !is_hex(fields[0])) return false;
  if (!parse_number(fields[1], found.pid) || !parse_number(fields[2], found.ppid)) return false;
  if (!fields[3].empty() && (fields[3].size() != 16 || !is_hex(fields[3]))) return false;
  if (count > 3 && fields[count - 1].empty()) return false;
  if (!parse_numbers(fields[4], found.threads)) return false;
  if (!parse_hex(fields[5], found.member)) return false;
  into.identity = std::string(fields[0]);
  into.pid = found.pid;
  into.ppid = found.ppid;
  into.job = std::string(fields[3]);
  into.threads = std::move(found.threads);
  into.member = std::move(found.member);
  into.is_core = true;
  return true;
}

std::vector<Identified> parse_identities(std::string_view text, const Candidate& file) {
  std::vector<Identified> found;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size() - 1);
    Identified one;
    one.file = file;
    if (found.size() == most_members || !parse_identity(text.substr(0, end + 1), one)) return {};
    if (!one.member.empty()) {
      one.file.path += ":" + one.member;
      one.file.shown += ":" + clean_text(one.member);
      one.file.folder = file.shown;
    }
    found.push_back(std::move(one));
    text.remove_prefix(end + 1);
  }
  return found;
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
  const ByNumber by_pid = index_numbers(cores);
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

std::vector<std::string> paths_of(const Incident& incident) {
  std::vector<std::string> paths;
  for (const Candidate& file : incident.files) paths.push_back(file.path);
  return paths;
}

std::string key_of(const Incident& incident, const std::vector<std::string>& reading) {
  std::string text = "triage 1 " + std::string(library_version());
  for (const std::string& word : reading) text += "\n" + word;
  text += "\n--";
  for (const std::string& identity : incident.identities) text += "\n" + identity;
  if (incident.missing_unknown) text += "\n--\nunknown";
  if (!incident.missing.empty()) text += "\n--\n" + missing_lines(incident.missing);
  return sha256_hex(text).substr(0, 32);
}

}  // namespace coldcase::triage
