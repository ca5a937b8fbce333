#include "triage/rows.hpp"

#include <algorithm>
#include <map>

#include "base/text.hpp"

namespace coldcase::triage {
namespace {

void name_inputs(const Incident& incident, TriageRow& row) {
  for (const Candidate& file : incident.files) row.inputs.push_back(clean_text(file.shown));
  for (const std::string& copy : incident.duplicates) row.duplicates.push_back(clean_text(copy));
}

RowKind kind_of(const Verdict& verdict) {
  switch (verdict.kind) {
    case VerdictKind::deadlock:
    case VerdictKind::hang:
    case VerdictKind::crash:
      return RowKind::problem;
    case VerdictKind::none:
      return RowKind::none;
    case VerdictKind::inconclusive:
      return RowKind::inconclusive;
  }
  return RowKind::inconclusive;
}

double completeness(const Analysis& analysis) {
  std::uint64_t present = 0;
  std::uint64_t declared = 0;
  for (const InputFact& input : analysis.facts.inputs) {
    present += std::min(input.present_bytes.value_or(0), std::uint64_t{1} << 50);
    declared += std::min(input.declared_bytes.value_or(0), std::uint64_t{1} << 50);
  }
  return declared == 0 ? 0 : static_cast<double>(present) / static_cast<double>(declared);
}

// What the worker said: its own message where there is one, else the first line; harmless.
std::string message_of(std::string_view errors) {
  constexpr std::string_view ours = "coldcase: ";
  const auto at = errors.find(ours);
  if (at != std::string_view::npos) errors.remove_prefix(at + ours.size());
  return clean_text(errors.substr(0, errors.find('\n')), 300);
}

}  // namespace

TriageRow row_of(const Analysis& analysis, const Incident& incident, const std::string& key) {
  TriageRow row;
  row.key = key;
  name_inputs(incident, row);
  row.kind = kind_of(analysis.verdict);
  row.headline = clean_text(analysis.verdict.headline, 240);
  row.thread_count = analysis.facts.threads.size();
  row.complete = completeness(analysis);
  if (row.kind != RowKind::problem || analysis.findings.empty()) return row;
  const Finding& finding = analysis.findings.front();
  row.pattern = clean_text(finding.pattern, 64);
  row.confidence = finding.confidence;
  if (finding.location && !finding.location->file.empty()) {
    row.where = clean_text(base_name(finding.location->file), 200);
    if (finding.location->line) row.where += ":" + std::to_string(*finding.location->line);
  }
  if (finding.signature) {
    row.signature_text = clean_text(finding.signature->text, 2048);
    row.signature = clean_text(finding.signature->loose, 64);
    row.by_module = clean_text(finding.signature->by_module, 64);
  }
  return row;
}

TriageRow failed_row(const Outcome& outcome, const Incident& incident, const std::string& key,
                     const WorkerLimits& limits) {
  TriageRow row;
  row.key = key;
  name_inputs(incident, row);
  row.kind = RowKind::unreadable;
  switch (outcome.end) {
    case Outcome::End::exited:
      row.problem_code = outcome.code == 65 || outcome.code == 66 || outcome.code == 77
                             ? "not-readable"
                             : "worker-failed";
      row.problem_text = message_of(outcome.errors);
      if (outcome.errors.find("bad_alloc") != std::string::npos) {
        row.problem_text = "it wanted more than " + std::to_string(limits.memory_bytes >> 20) +
                           " MiB of memory (--memory)";
      }
      if (row.problem_text.empty())
        row.problem_text =
            "its worker ended with status " + std::to_string(outcome.code) + " and no report";
      break;
    case Outcome::End::signaled:
      row.problem_code = "worker-crashed";
      row.problem_text = "its worker died of signal " + std::to_string(outcome.code);
      break;
    case Outcome::End::timed_out:
      row.problem_code = "time-limit";
      row.problem_text = "not finished within " + std::to_string(static_cast<int>(limits.seconds)) +
                         " s (--time-budget)";
      break;
    case Outcome::End::flooded:
      row.problem_code = "output-limit";
      row.problem_text = "its worker printed more than a report can be";
      break;
    case Outcome::End::not_started:
    case Outcome::End::stopped:
      row.problem_code = "not-run";
      row.problem_text = "its worker could not be run";
      break;
  }
  row.headline = row.problem_text;
  return row;
}

void localize(Analysis& analysis, const Incident& incident) {
  for (std::size_t i = 0; i < analysis.facts.inputs.size(); ++i) {
    InputFact& input = analysis.facts.inputs[i];
    if (i < incident.files.size()) input.path = incident.files[i].shown;
    input.taken_at.clear();
    input.taken_source.clear();
  }
}

std::vector<TriageGroup> group_rows(const std::vector<TriageRow>& rows) {
  std::map<std::string, TriageGroup> by_id;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const TriageRow& row = rows[i];
    if (row.kind != RowKind::problem) continue;
    // An empty signature is never a bucket: such a row stands alone.
    const std::string& id = !row.signature.empty()   ? row.signature
                            : !row.by_module.empty() ? row.by_module
                                                     : row.key;
    TriageGroup& group = by_id[id];
    group.id = id;
    group.rows.push_back(i);
  }
  std::vector<TriageGroup> groups;
  for (auto& [id, group] : by_id) {
    group.representative = *std::ranges::max_element(group.rows, [&](std::size_t a, std::size_t b) {
      if (rows[a].complete < rows[b].complete || rows[b].complete < rows[a].complete)
        return rows[a].complete < rows[b].complete;
      if (rows[a].thread_count != rows[b].thread_count)
        return rows[a].thread_count < rows[b].thread_count;
      return rows[a].key > rows[b].key;
    });
    groups.push_back(std::move(group));
  }
  std::ranges::stable_sort(groups, [](const TriageGroup& a, const TriageGroup& b) {
    return a.rows.size() > b.rows.size();
  });
  return groups;
}

}  // namespace coldcase::triage
