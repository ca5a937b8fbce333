// Triage: many cores, each incident analyzed in its own limited worker process, one table of
// distinct problems. The library never starts itself: the caller says how a worker is started.
#pragma once

#include <atomic>
#include <coldcase/analysis.hpp>
#include <coldcase/fetch.hpp>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

namespace coldcase {

inline constexpr std::string_view triage_schema_version = "1.0-draft";

struct TriageOptions {
  std::vector<std::string> paths;  // folders (walked), globs, files
  std::string output;              // the folder to write
  std::vector<std::string>
      worker;  // program and first arguments; identify, missing or analyze, and FILE... follow
  std::vector<std::string>
      reading;  // options that say how cores are read (--sysroot ...): part of every result's key
  // Servers that are asked once for what the cores of all incidents lack, by this process: workers
  // have no network, they find it in debuginfod's cache.
  FetchOptions fetch;
  unsigned jobs = 1;                                      // workers at once
  double seconds = 60;                                    // of wall time for one incident
  std::uint64_t memory_bytes = std::uint64_t{512} << 20;  // RLIMIT_DATA of a worker
  bool force = false;  // write into a folder made with other options
};

enum class RowKind : std::uint8_t { problem, none, inconclusive, unreadable };
inline constexpr std::string_view row_words[] = {"problem", "none", "inconclusive", "unreadable"};
constexpr WordList words_of(RowKind) {
  return row_words;
}

// One incident: a core, or the cores of related processes.
struct TriageRow {
  std::string key;  // of its inputs' identities, the tool's version and the options
  std::vector<std::string>
      inputs;  // as found under the paths given; copies of one core are one row
  std::vector<std::string> duplicates;  // further files with the same content
  RowKind kind = RowKind::unreadable;
  std::string pattern, headline, signature_text, signature, by_module;
  std::optional<Confidence> confidence;
  std::string where;  // the finding's location, "bank.py:12"
  std::uint64_t thread_count = 0;
  double complete = 0;                     // present of declared bytes, 0 to 1
  std::string problem_code, problem_text;  // unreadable: what happened to it
  std::string report;  // path of its JSON report inside the folder; empty when unreadable
};

// Rows with one signature. `rows` are indices into the result's rows.
struct TriageGroup {
  std::string id;  // the signature they share, or the row's key when it has none
  std::vector<std::size_t> rows;
  std::size_t representative = 0;  // the row whose core is the most complete
};

struct TriageResult {
  std::vector<TriageRow> rows;      // by first input
  std::vector<TriageGroup> groups;  // the largest first, then by id
  std::vector<FetchNote> notes;     // troubles with servers
  std::size_t files_seen = 0;       // candidates that turned out to be no cores are not rows
  bool stopped = false;             // Ctrl-C: the folder is consistent, running again finishes
};

struct TriageProgress {
  std::size_t found = 0, done = 0, running = 0;
  double seconds_left = 0;  // 0: not known yet
};

// Throws Error: no such path, a folder of other options, output not writable. A bad core is a row.
TriageResult run_triage(const TriageOptions& options,
                        const std::function<void(const TriageProgress&)>& progress,
                        const std::atomic<bool>& stop);

void render_triage_json(const TriageResult& result, const TriageOptions& options,
                        std::ostream& out);
void render_triage_text(const TriageResult& result, std::ostream& out);
void render_triage_markdown(const TriageResult& result, std::ostream& out);
std::string_view triage_schema();

}  // namespace coldcase
