// The batch as one table: JSON for machines, text for a log, Markdown for a job summary. Nothing in
// them depends on the order of files, the number of jobs or the machine.
#include <coldcase/analyze.hpp>
#include <coldcase/triage.hpp>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>

#include "base/text.hpp"

namespace coldcase {
namespace {

using Json = nlohmann::ordered_json;

std::size_t count_of(const TriageResult& result, RowKind kind) {
  return static_cast<std::size_t>(std::ranges::count(result.rows, kind, &TriageRow::kind));
}

std::string id_of_row(std::size_t i) {
  return "row" + std::to_string(i + 1);
}

void set(Json& object, const char* key, const std::string& value) {
  if (!value.empty()) object[key] = value;
}

Json json_of(const TriageRow& row, std::size_t i, const TriageResult& result) {
  Json object;
  object["id"] = id_of_row(i);
  object["key"] = row.key;
  object["inputs"] = row.inputs;
  if (!row.duplicates.empty()) object["duplicates"] = row.duplicates;
  object["kind"] = std::string(word(row.kind));
  set(object, "headline", row.headline);
  set(object, "pattern", row.pattern);
  if (row.confidence) object["confidence"] = std::string(word(*row.confidence));
  set(object, "where", row.where);
  if (!row.signature_text.empty()) {
    object["signature"]["text"] = row.signature_text;
    set(object["signature"], "loose", row.signature);
    set(object["signature"], "by_module", row.by_module);
  }
  for (std::size_t g = 0; g < result.groups.size(); ++g) {
    const auto& rows = result.groups[g].rows;
    if (std::ranges::find(rows, i) != rows.end()) object["group"] = "group" + std::to_string(g + 1);
  }
  if (row.kind != RowKind::unreadable) {
    object["thread_count"] = row.thread_count;
    object["present_percent"] = static_cast<int>(std::floor(row.complete * 100));
  }
  set(object, "report", row.report);
  if (!row.problem_code.empty())
    object["problem"] = {{"code", row.problem_code}, {"text", row.problem_text}};
  return object;
}

// One line of a Markdown table cell: no pipes, no markup, no mentions.
std::string cell(const std::string& text) {
  std::string safe;
  for (const char c : clean_text(text, 300)) {
    if (std::string_view("\\`*_{}[]<>#|~@!&$").find(c) != std::string_view::npos) safe += '\\';
    safe += c;
  }
  return safe;
}

std::string summary_line(const TriageResult& result) {
  return counted(result.rows.size(), "incident") + ": " +
         counted(result.groups.size(), "distinct problem") + " in " +
         std::to_string(count_of(result, RowKind::problem)) + ", " +
         std::to_string(count_of(result, RowKind::none)) + " without a deadlock or crash, " +
         std::to_string(count_of(result, RowKind::inconclusive)) + " inconclusive, " +
         std::to_string(count_of(result, RowKind::unreadable)) + " unreadable";
}

constexpr std::size_t listed_inputs = 5;

std::string inputs_of(const TriageResult& result, const TriageGroup& group) {
  std::vector<std::string> names;
  for (const std::size_t r : group.rows) {
    if (names.size() < listed_inputs) names.push_back(result.rows[r].inputs.front());
  }
  std::string text = join(names, ", ");
  if (group.rows.size() > listed_inputs)
    text += " and " + std::to_string(group.rows.size() - listed_inputs) + " more";
  return text;
}

Json json_of(const FetchNote& note) {
  Json object;
  object["code"] = std::string(note.code);
  object["severity"] = note.warning ? "warning" : "info";
  object["text"] = clean_text(note.text, 500);
  set(object, "advice", clean_text(note.advice, 500));
  set(object, "command", clean_text(note.command, 500));
  return object;
}

std::string sentence_of(const FetchNote& note) {
  std::string text = clean_text(note.text, 500);
  if (!note.advice.empty()) text += "; " + clean_text(note.advice, 500);
  if (!note.command.empty()) text += ":  " + clean_text(note.command, 500);
  return text;
}

void render_rest(const TriageResult& result, RowKind kind, std::string_view title,
                 std::ostream& out) {
  if (count_of(result, kind) == 0) return;
  out << '\n' << title << '\n';
  for (const TriageRow& row : result.rows) {
    if (row.kind == kind)
      out << "  " << clean_text(row.inputs.front(), 300) << ": " << clean_text(row.headline, 300)
          << '\n';
  }
}

}  // namespace

void render_triage_json(const TriageResult& result, const TriageOptions& options,
                        std::ostream& out) {
  Json root;
  root["schema"] = "coldcase/triage";
  root["schema_version"] = std::string(triage_schema_version);
  root["generator"] = {{"name", "coldcase"},
                       {"version", std::string(library_version())},
                       {"options", options.reading}};
  root["totals"] = {{"incident_count", result.rows.size()},
                    {"group_count", result.groups.size()},
                    {"problem_count", count_of(result, RowKind::problem)},
                    {"none_count", count_of(result, RowKind::none)},
                    {"inconclusive_count", count_of(result, RowKind::inconclusive)},
                    {"unreadable_count", count_of(result, RowKind::unreadable)}};
  for (const FetchNote& note : result.notes) root["notes"].push_back(json_of(note));
  root["groups"] = Json::array();
  for (std::size_t g = 0; g < result.groups.size(); ++g) {
    const TriageGroup& group = result.groups[g];
    const TriageRow& row = result.rows[group.representative];
    Json object;
    object["id"] = "group" + std::to_string(g + 1);
    object["pattern"] = row.pattern;
    object["headline"] = row.headline;
    set(object, "where", row.where);
    if (!row.signature_text.empty())
      object["signature"] = {{"version", "cc1"}, {"text", row.signature_text}, {"hash", group.id}};
    object["count"] = group.rows.size();
    object["representative"] = id_of_row(group.representative);
    object["rows"] = Json::array();
    for (const std::size_t r : group.rows) object["rows"].push_back(id_of_row(r));
    root["groups"].push_back(std::move(object));
  }
  root["rows"] = Json::array();
  for (std::size_t i = 0; i < result.rows.size(); ++i)
    root["rows"].push_back(json_of(result.rows[i], i, result));
  out << root.dump(1, ' ', false, Json::error_handler_t::replace) << '\n';
}

void render_triage_text(const TriageResult& result, std::ostream& out) {
  out << summary_line(result) << '\n';
  for (const FetchNote& note : result.notes) out << "note: " << sentence_of(note) << '\n';
  for (const TriageGroup& group : result.groups) {
    const TriageRow& row = result.rows[group.representative];
    out << '\n'
        << group.rows.size() << " x " << row.pattern << ": " << clean_text(row.headline, 300)
        << '\n';
    if (!row.where.empty()) out << "    at " << clean_text(row.where, 300) << '\n';
    if (!row.signature_text.empty())
      out << "    " << group.id << "  " << clean_text(row.signature_text, 500) << '\n';
    out << "    in " << clean_text(inputs_of(result, group), 1000) << '\n';
    if (!row.report.empty())
      out << "    story: " << row.report.substr(0, row.report.size() - 5) << ".md\n";
  }
  render_rest(result, RowKind::inconclusive, "INCONCLUSIVE (too little in the core to judge)", out);
  render_rest(result, RowKind::unreadable, "UNREADABLE", out);
  render_rest(result, RowKind::none, "NO DEADLOCK FOUND", out);
}

void render_triage_markdown(const TriageResult& result, std::ostream& out) {
  out << "### Cores of this run\n\n" << summary_line(result) << ".\n";
  for (const FetchNote& note : result.notes) out << "\n- " << cell(sentence_of(note)) << '\n';
  if (!result.groups.empty()) {
    out << "\n| count | problem | where | signature | cores | story |\n|---|---|---|---|---|---|\n";
    for (const TriageGroup& group : result.groups) {
      const TriageRow& row = result.rows[group.representative];
      out << "| " << group.rows.size() << " | **" << cell(row.pattern) << "** "
          << cell(row.headline) << " | " << cell(row.where) << " | "
          << (row.signature_text.empty() ? "" : "`" + cell(group.id) + "`") << " | "
          << cell(inputs_of(result, group)) << " | ["
          << "report](" << row.report.substr(0, row.report.size() - 5) << ".md) |\n";
    }
  }
  for (const auto& [kind, title] : {std::pair{RowKind::inconclusive, "Inconclusive"},
                                    std::pair{RowKind::unreadable, "Unreadable"},
                                    std::pair{RowKind::none, "No deadlock found"}}) {
    if (count_of(result, kind) == 0) continue;
    out << "\n<details><summary>" << title << ": " << count_of(result, kind) << "</summary>\n\n";
    for (const TriageRow& row : result.rows) {
      if (row.kind == kind)
        out << "- " << cell(row.inputs.front()) << ": " << cell(row.headline) << '\n';
    }
    out << "\n</details>\n";
  }
}

}  // namespace coldcase
