#include "report/layout.hpp"

#include <algorithm>
#include <numeric>

namespace coldcase::report {
namespace {

constexpr std::size_t least_column = 8;

bool continues(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

// Where the first `width` characters end.
std::size_t bytes_of(std::string_view text, std::size_t width) {
  std::size_t bytes = 0;
  for (std::size_t seen = 0; bytes < text.size(); ++bytes) {
    if (!continues(text[bytes]) && ++seen > width) break;
  }
  return bytes;
}

// Where to break a text that is longer than `width`.
std::size_t break_at(std::string_view text, std::size_t width) {
  const std::size_t most = bytes_of(text, width);
  if (most >= text.size()) return text.size();
  if (text[most] == ' ') return most;
  const std::size_t space = text.rfind(' ', most - 1);
  if (space != std::string_view::npos && space > 0) return space;
  for (const std::string_view marks : {"/:,_", "."}) {  // rather not inside file.py
    const std::size_t mark = text.find_last_of(marks, most - 1);
    if (mark != std::string_view::npos && mark + 1 > most / 2) return mark + 1;
  }
  return most;
}

std::vector<std::size_t> fitted(std::vector<std::size_t> widths, std::size_t available) {
  while (std::accumulate(widths.begin(), widths.end(), std::size_t{0}) > available) {
    const auto widest = std::max_element(widths.begin(), widths.end());
    if (*widest <= least_column) break;
    --*widest;
  }
  return widths;
}

std::string trimmed(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

}  // namespace

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

std::string padded(std::string text, std::size_t width) {
  const std::size_t columns = columns_of(text);
  if (columns < width) text.append(width - columns, ' ');
  return text;
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width, std::size_t indent) {
  std::vector<std::string> lines;
  std::size_t room = std::max(width, least_column);
  while (columns_of(text) > room) {
    const std::size_t end = break_at(text, room);
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    room = std::max(width - std::min(width, indent), least_column);
  }
  if (!text.empty() || lines.empty()) lines.emplace_back(text);
  return lines;
}

std::vector<std::string> table(const std::vector<std::vector<std::string>>& rows,
                               std::size_t width) {
  std::vector<std::string> lines;
  if (rows.empty()) return lines;
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], columns_of(row[i]));
  }
  const std::size_t gaps = 2 * (widths.size() - 1);
  widths = fitted(widths, width - std::min(width, gaps));
  for (const auto& row : rows) {
    std::vector<std::vector<std::string>> cells;
    std::size_t height = 1;
    for (std::size_t i = 0; i < row.size(); ++i) {
      cells.push_back(wrapped(row[i], widths[i]));
      height = std::max(height, cells.back().size());
    }
    for (std::size_t line = 0; line < height; ++line) {
      std::string text;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        text += padded(line < cells[i].size() ? cells[i][line] : "", widths[i]);
        if (i + 1 < cells.size()) text += "  ";
      }
      lines.push_back(trimmed(text));
    }
  }
  return lines;
}

}  // namespace coldcase::report
