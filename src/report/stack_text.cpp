#include "report/stack_text.hpp"

#include <algorithm>

#include "report/layout.hpp"
#include "report/names.hpp"

namespace coldcase::report {
namespace {

constexpr std::string_view python_mark = "(Python) ";

// Where the right column begins: after the longest function, but leaving room for most places.
std::size_t right_column(const std::vector<StackLine>& lines, std::size_t width) {
  std::size_t longest = 0;
  bool python = false;
  for (const StackLine& line : lines) {
    if (line.kind != StackLine::Kind::frame) continue;
    longest = std::max(longest, columns_of(line.left));
    python = python || line.python;
  }
  return std::min(longest + 1, width * 3 / 5 - (python ? python_mark.size() : 0));
}

// A wait, a hold, a title: indented under its frame, or above all when its frame is not known.
void add_note(const StackLine& line, bool framed, std::size_t width,
              std::vector<std::string>& texts) {
  const bool event = line.kind == StackLine::Kind::event;
  const std::string lead = !event ? "" : !framed ? "- " : "  - ";
  const std::vector<std::string> parts = wrapped(line.left, width - lead.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    texts.push_back((i == 0 ? lead : std::string(lead.size(), ' ')) + parts[i]);
  }
}

// The function, and its place in the right column where both fit.
void add_frame(const StackLine& line, bool python, std::size_t right, std::size_t width,
               std::vector<std::string>& texts) {
  std::string mark;
  if (python) mark = line.python ? std::string(python_mark) : std::string(python_mark.size(), ' ');
  const std::string place = mark + line.right;
  const std::size_t used = columns_of(line.left);
  if (!line.right.empty() && used < right && right + columns_of(place) <= width) {
    texts.push_back(padded(line.left, right) + place);
    return;
  }
  if (!line.right.empty() && used + 2 + columns_of(place) <= width) {
    texts.push_back(line.left + "  " + (line.python ? place : line.right));
    return;
  }
  // Long C++ names: on lines of their own, the place below them.
  for (const std::string& part : wrapped(line.left, width)) texts.push_back(part);
  if (line.right.empty()) return;
  const std::string below(4, ' ');
  const std::string right_text = line.python ? place : line.right;
  for (const std::string& part : wrapped(right_text, width - below.size()))
    texts.push_back(below + part);
}

}  // namespace

std::vector<std::string> stack_text(const std::vector<StackLine>& lines, std::size_t width) {
  const std::size_t right = right_column(lines, width);
  const bool python =
      std::any_of(lines.begin(), lines.end(), [](const StackLine& line) { return line.python; });
  std::vector<std::string> texts;
  bool framed = false;
  for (const StackLine& line : lines) {
    if (line.kind != StackLine::Kind::frame) {
      add_note(line, framed, width, texts);
    } else {
      framed = true;
      add_frame(line, python, right, width, texts);
    }
  }
  return texts;
}

std::string block_title(const Analysis& analysis, const StackBlock& block) {
  constexpr std::size_t listed = 6;
  std::string title;
  for (std::size_t i = 0; i < block.threads.size(); ++i) {
    if (i == listed && block.threads.size() > listed + 1)
      return title + " and " + std::to_string(block.threads.size() - listed) + " more";
    if (i > 0) title += ", ";
    title += thread_name(analysis, block.threads[i]);
  }
  return title;
}

}  // namespace coldcase::report
