// The batch: find, identify, group, analyze in workers, write. Reads like a table of contents from
// the end.
#include <coldcase/report.hpp>
#include <coldcase/result.hpp>
#include <coldcase/triage.hpp>

#include <algorithm>
#include <chrono>
#include <sstream>

#include "base/text.hpp"
#include "triage/folder.hpp"
#include "triage/missing.hpp"
#include "triage/rows.hpp"

namespace coldcase {
namespace {

using namespace triage;
using Clock = std::chrono::steady_clock;
using Progress = std::function<void(const TriageProgress&)>;

// Of the output of `identify`: a core's thread numbers, and an archive's cores, are many.
constexpr std::size_t identity_bytes = std::size_t{1} << 20;

std::vector<Identified> identify(const std::vector<Candidate>& files, const TriageOptions& options,
                                 const std::atomic<bool>& stop) {
  std::vector<std::vector<Identified>> by_file(files.size());
  std::vector<std::vector<std::string>> commands;
  commands.reserve(files.size());
  for (const Candidate& file : files)
    commands.push_back(worker_command(options, "identify", {file.path}));
  const WorkerLimits limits{options.seconds, options.memory_bytes, identity_bytes};
  const auto done = [&](std::size_t i, const Outcome& outcome) {
    const bool fine = outcome.end == Outcome::End::exited && outcome.code == 0;
    if (fine) by_file[i] = parse_identities(outcome.output, files[i]);
    if (!by_file[i].empty()) return;
    Identified& one = by_file[i].emplace_back();
    one.file = files[i];
    one.outcome = outcome;
    // A worker that did not say "this is no core" (65) was stopped by the input: the input is a
    // row.
    if (outcome.end != Outcome::End::exited || outcome.code != 65) one.file.expected = true;
  };
  run_workers(
      commands, options.jobs, limits, done, [](std::size_t) {}, stop);
  std::vector<Identified> identified;
  for (std::vector<Identified>& some : by_file)
    std::ranges::move(some, std::back_inserter(identified));
  return identified;
}

std::string json_of(const Analysis& analysis) {
  std::ostringstream text;
  render_json(analysis, text);
  return text.str();
}

class Batch {
 public:
  Batch(const TriageOptions& options, const Folder& folder, const std::vector<Incident>& incidents)
      : options_(options), folder_(folder), incidents_(incidents) {}

  // Results of an earlier run are taken; what is left is analyzed.
  void run(TriageResult& result, const Progress& progress, const std::atomic<bool>& stop) {
    std::vector<std::vector<std::string>> commands;
    std::vector<std::size_t> waiting;
    for (std::size_t i = 0; i < incidents_.size(); ++i) {
      keys_.push_back(key_of(incidents_[i], options_.reading));
      if (!incidents_[i].missing_unknown && take_known(i, result)) continue;
      commands.push_back(worker_command(options_, "analyze", paths_of(incidents_[i])));
      waiting.push_back(i);
    }
    const std::size_t known = result.rows.size();
    const WorkerLimits limits{options_.seconds, options_.memory_bytes, std::size_t{64} << 20};
    const auto started = Clock::now();
    const auto report = [&](std::size_t running) {
      TriageProgress now{incidents_.size(), result.rows.size(), running, 0};
      const double spent = std::chrono::duration<double>(Clock::now() - started).count();
      const std::size_t fresh = result.rows.size() - known;
      if (fresh > 0)
        now.seconds_left = spent / static_cast<double>(fresh) *
                           static_cast<double>(incidents_.size() - result.rows.size());
      progress(now);
    };
    const auto done = [&](std::size_t c, const Outcome& outcome) {
      if (outcome.end == Outcome::End::stopped) return;
      finish(waiting[c], outcome, limits, result);
      durations_ += (durations_.empty() ? "" : ",") + std::string("\n  \"") + keys_[waiting[c]] +
                    "\": " + std::to_string(static_cast<long>(outcome.seconds * 1000));
    };
    run_workers(commands, options_.jobs, limits, done, report, stop);
    result.stopped = stop;
  }

  const std::vector<std::string>& keys() const { return keys_; }
  std::string durations() const { return "{\n \"duration_ms\": {" + durations_ + "\n }\n}\n"; }

 private:
  bool take_known(std::size_t i, TriageResult& result) {
    const auto text = folder_.read(Folder::report_name(keys_[i]));
    if (!text) return false;
    try {
      Analysis analysis = parse_report(*text);
      localize(analysis, incidents_[i]);
      // The same core may have been found under another name then.
      if (json_of(analysis) != *text || !folder_.read(markdown_name(keys_[i])))
        write_report(i, analysis);
      add(i, analysis, result);
      return true;
    } catch (const Error& error) {
      if (error.trouble() == Trouble::cannot_write) throw;
      return false;  // damaged: made anew
    }
  }

  static std::string markdown_name(const std::string& key) { return "reports/" + key + ".md"; }

  // The JSON last: where it stands, the rest stands too.
  void write_report(std::size_t i, const Analysis& analysis) {
    std::ostringstream markdown;
    render_markdown(analysis, {}, markdown);
    folder_.write(markdown_name(keys_[i]), markdown.str());
    folder_.write(Folder::report_name(keys_[i]), json_of(analysis));
  }

  void add(std::size_t i, const Analysis& analysis, TriageResult& result) {
    TriageRow row = row_of(analysis, incidents_[i], keys_[i]);
    row.report = Folder::report_name(keys_[i]);
    result.rows.push_back(std::move(row));
  }

  void finish(std::size_t i, const Outcome& outcome, const WorkerLimits& limits,
              TriageResult& result) {
    const bool verdict = outcome.end == Outcome::End::exited &&
                         (outcome.code == 0 || outcome.code == 2 || outcome.code == 4);
    if (verdict) {
      try {
        Analysis analysis = parse_report(outcome.output);
        localize(analysis, incidents_[i]);
        write_report(i, analysis);
        return add(i, analysis, result);
      } catch (const Error& error) {
        if (error.trouble() == Trouble::cannot_write) throw;
        // Not a report: what it printed is not believed.
      }
    }
    result.rows.push_back(failed_row(outcome, incidents_[i], keys_[i], limits));
  }

  const TriageOptions& options_;
  const Folder& folder_;
  const std::vector<Incident>& incidents_;
  std::vector<std::string> keys_;
  std::string durations_;
};

// Files that had to be cores, or that stopped their worker, and cannot be read.
void add_unreadable(const std::vector<Identified>& identified, const TriageOptions& options,
                    TriageResult& result) {
  const WorkerLimits limits{options.seconds, options.memory_bytes, 0};
  for (const Identified& one : identified) {
    if (one.is_core || !one.file.expected) continue;
    const Incident incident{{one.file}, {}, {}};
    TriageRow row =
        failed_row(one.outcome, incident, "unreadable:" + clean_text(one.file.shown), limits);
    // A message names the path that was opened: what is shown is the same on every machine.
    for (std::string* text : {&row.problem_text, &row.headline}) {
      const auto at = text->find(one.file.path);
      if (at != std::string::npos) text->replace(at, one.file.path.size(), one.file.shown);
    }
    result.rows.push_back(std::move(row));
  }
}

}  // namespace

TriageResult run_triage(const TriageOptions& options, const Progress& progress,
                        const std::atomic<bool>& stop) {
  const std::vector<Candidate> files = find_inputs(options.paths, options.output);
  const Folder folder(options.output, options.reading, options.force);
  TriageResult result;
  result.files_seen = files.size();
  const std::vector<Identified> identified = identify(files, options, stop);
  if (stop) {
    result.stopped = true;
    return result;
  }
  std::vector<Incident> incidents = group_incidents(identified);
  result.notes = fetch_missing(incidents, options, stop);
  if (stop) {
    result.stopped = true;
    return result;
  }
  if (!incidents.empty()) folder.make();
  Batch batch(options, folder, incidents);
  batch.run(result, progress, stop);
  if (result.stopped) return result;
  add_unreadable(identified, options, result);
  if (result.rows.empty()) return result;
  if (incidents.empty()) folder.make();
  std::ranges::sort(result.rows, {},
                    [](const TriageRow& row) { return std::pair(row.inputs.front(), row.key); });
  result.groups = group_rows(result.rows);
  std::ostringstream json;
  render_triage_json(result, options, json);
  std::ostringstream text;
  render_triage_text(result, text);
  std::ostringstream markdown;
  render_triage_markdown(result, markdown);
  folder.remove_strays(batch.keys());
  folder.write("run.json", batch.durations());
  folder.write("triage.txt", text.str());
  folder.write("triage.md", markdown.str());
  folder.write("triage.json", json.str());
  return result;
}

}  // namespace coldcase
