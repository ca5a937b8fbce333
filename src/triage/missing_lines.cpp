#include "triage/missing_lines.hpp"

namespace coldcase::triage {
namespace {

constexpr std::size_t most_files = 512;        // of one incident
constexpr std::size_t longest_build_id = 128;  // hex digits

constexpr std::string_view end_mark = "end\n";

std::string_view word_of(FetchKind kind) {
  switch (kind) {
    case FetchKind::executable:
      return "executable";
    case FetchKind::debuginfo:
      return "debuginfo";
    case FetchKind::sections:
      return "sections";
  }
  return {};
}

std::optional<FetchRequest> parse_line(std::string_view line) {
  for (const FetchKind kind : {FetchKind::executable, FetchKind::debuginfo, FetchKind::sections}) {
    const std::string_view word = word_of(kind);
    if (!line.starts_with(word) || line.size() <= word.size() || line[word.size()] != '\t')
      continue;
    const std::string_view id = line.substr(word.size() + 1);
    const bool hex = id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    if (!hex || id.size() < 4 || id.size() > longest_build_id || id.size() % 2 != 0) return {};
    return FetchRequest{std::string(id), kind};
  }
  return {};
}

}  // namespace

std::string missing_lines(const std::vector<FetchRequest>& files) {
  std::string text;
  for (const FetchRequest& file : files)
    text += std::string(word_of(file.kind)) + '\t' + file.build_id + '\n';
  return text.append(end_mark);
}

std::optional<std::vector<FetchRequest>> parse_missing(std::string_view text) {
  if (text.size() > most_missing_bytes || !text.ends_with(end_mark)) return std::nullopt;
  text.remove_suffix(end_mark.size());
  std::vector<FetchRequest> files;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos || files.size() == most_files) return std::nullopt;
    auto file = parse_line(text.substr(0, end));
    if (!file || (!files.empty() && *file <= files.back())) return std::nullopt;
    files.push_back(std::move(*file));
    text.remove_prefix(end + 1);
  }
  return files;
}

}  // namespace coldcase::triage
