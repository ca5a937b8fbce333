#include "report/markdown.hpp"

#include <algorithm>
#include <cctype>
#include <map>

#include "base/text.hpp"
#include "report/names.hpp"

namespace coldcase::report {
namespace {

// An empty comment ends a mention, a reference or an address before it begins, and is not seen.
constexpr std::string_view breaker = "<!-- -->";
constexpr std::size_t diagram_nodes = 25;
constexpr std::size_t diagram_chars = 2000;
constexpr std::size_t label_chars = 48;

std::size_t longest_run(std::string_view text) {
  std::size_t longest = 0;
  std::size_t run = 0;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest;
}

bool word_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

// "www." and "GH-" begin links by themselves, wherever they stand.
bool begins_link(std::string_view text) {
  if (text.size() < 3) return false;
  std::string start(text.substr(0, 4));
  for (char& c : start) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return start == "www." || start.substr(0, 3) == "gh-";
}

std::string escaped(std::string_view text) {
  std::string safe;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (begins_link(text.substr(i)) && (i == 0 || !word_char(text[i - 1]))) {
      safe += text.substr(i, 2);
      safe += breaker;
      ++i;
      continue;
    }
    switch (c) {
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '&':
        safe += "&amp;";
        break;
      case '#':
        safe += '\\';
        [[fallthrough]];
      case '@':
        safe += c;
        safe += breaker;
        break;
      case '_':
        // Inside a word it is no markup.
        if (i == 0 || i + 1 == text.size() || !word_char(text[i - 1]) || !word_char(text[i + 1]))
          safe += '\\';
        safe += c;
        break;
      case ':':
        safe += c;
        if (text.substr(i + 1, 2) == "//") safe += breaker;
        break;
      case '\\':
      case '`':
      case '*':
      case '[':
      case ']':
      case '~':
      case '|':
      case '$':
        safe += '\\';
        [[fallthrough]];
      default:
        safe += c;
    }
  }
  return safe;
}

std::string mermaid_label(std::string_view text) {
  std::string label;
  for (const char c : clean_text(text, label_chars)) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = word_char(c) || byte >= 0x80 ||
                       std::string_view(" _.,:/+-()'").find(c) != std::string_view::npos;
    label += plain ? std::string(1, c) : "#" + std::to_string(byte) + ";";
  }
  return label;
}

std::string edge_word(Relation relation) {
  std::string text(word(relation));
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string node_label(const Analysis& analysis, Ref ref) {
  std::string label = mermaid_label(ref_name(analysis, ref));
  const ThreadId id = ref.as<RefKind::thread>();
  if (!id.known()) return label;
  const ThreadFact& thread = at(analysis, id);
  if (!thread.site || !thread.stack.known()) return label;
  const Stack& stack = analysis.facts.stacks[thread.stack.index];
  if (*thread.site >= stack.frames.size()) return label;
  const std::string& function = analysis.facts.frames[stack.frames[*thread.site]].function;
  return function.empty() ? label : label + "<br/>" + mermaid_label(function);
}

}  // namespace

std::string markdown_text(std::string_view text) {
  return escaped(text);
}

std::string markdown_cell(std::string_view text) {
  return text.empty() ? std::string(" ") : escaped(text);
}

std::string code_span(std::string_view text, bool in_table) {
  if (text.empty()) return {};
  std::string body(text);
  if (in_table) {
    // A bar ends the cell even inside code, and a backslash before it would swallow the escape.
    std::string safe;
    for (const char c : body) {
      if (c == '|') safe += '\\';
      safe += c;
    }
    if (body.find("\\|") != std::string::npos) return escaped(text);
    body = safe;
  }
  const std::string fence(longest_run(body) + 1, '`');
  const bool pad = body.front() == '`' || body.back() == '`' || body.front() == ' ';
  return fence + (pad ? " " : "") + body + (pad ? " " : "") + fence;
}

std::string code_block(std::string_view body, std::string_view language) {
  const std::string fence(std::max<std::size_t>(3, longest_run(body) + 1), '`');
  std::string block = fence + std::string(language) + "\n" + std::string(body);
  if (!body.empty() && body.back() != '\n') block += '\n';
  return block + fence + "\n";
}

std::string markdown_link(std::string_view url) {
  const bool web = starts_with_any(url, {"https://", "http://"});
  const bool plain = std::all_of(url.begin(), url.end(), [](char c) {
    return word_char(c) || std::string_view("-._~:/?#=&%+,").find(c) != std::string_view::npos;
  });
  return web && plain ? "<" + std::string(url) + ">" : code_span(url);
}

std::string mermaid(const Analysis& analysis, const Finding& finding) {
  std::map<Ref, std::string> nodes;
  std::string body = "flowchart LR\n";
  bool any = false;
  for (const Edge& edge : finding.path) {
    if (!edge.from.known() || !edge.to.known()) continue;
    std::string text;
    std::map<Ref, std::string> grown = nodes;
    const auto node = [&](Ref ref) {
      const std::string name = "n" + std::to_string(grown.size());
      const auto found = grown.emplace(ref, name);
      return found.second ? name + "[\"" + node_label(analysis, ref) + "\"]" : found.first->second;
    };
    text += "  " + node(edge.from);
    text += " -->|" + edge_word(edge.relation) + "| ";
    text += node(edge.to) + "\n";
    if (grown.size() > diagram_nodes || body.size() + text.size() > diagram_chars) break;
    nodes = std::move(grown);
    body += text;
    any = true;
  }
  return any ? body : std::string{};
}

}  // namespace coldcase::report
