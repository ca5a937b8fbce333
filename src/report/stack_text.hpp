// A stack's lines as plain text in two columns: for the text format and Markdown's code blocks.
#pragma once

#include <string>
#include <vector>

#include "report/page.hpp"

namespace coldcase::report {

std::vector<std::string> stack_text(const std::vector<StackLine>& lines, std::size_t width);

// "MainThread (LWP 885)"; several with the very same stack in one line.
std::string block_title(const Analysis& analysis, const StackBlock& block);

}  // namespace coldcase::report
