// Laying out plain text in columns: wrapping and tables. Widths are counted in characters.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace coldcase::report {

std::size_t columns_of(std::string_view text);
std::string padded(std::string text, std::size_t width);

// Broken at spaces; a word longer than a line is broken after '/', ':', ',' or '_' or, at last,
// anywhere. Every line but the first has `indent` less room. Never empty.
std::vector<std::string> wrapped(std::string_view text, std::size_t width, std::size_t indent = 0);

// Rows of equally many cells as lines, two blanks between columns, cells wrapped to fit.
std::vector<std::string> table(const std::vector<std::vector<std::string>>& rows,
                               std::size_t width);

}  // namespace coldcase::report
