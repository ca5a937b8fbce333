// Names from a dead process made harmless in Markdown, whatever they hold, and the diagram.
#pragma once

#include <coldcase/analysis.hpp>
#include <string>
#include <string_view>

namespace coldcase::report {

// Prose: nothing in it can be markup, a mention, an issue reference or a link.
std::string markdown_text(std::string_view text);
// The same for a cell of a table.
std::string markdown_cell(std::string_view text);
// A code span that its content cannot end. For a table cell the bars are escaped too.
std::string code_span(std::string_view text, bool in_table = false);
// A fenced block, with a fence longer than any run of backticks in it.
std::string code_block(std::string_view body, std::string_view language);
// A link when the address is plainly one, else the address as code.
std::string markdown_link(std::string_view url);

// Mermaid flowchart of a finding's path; empty when there is none.
std::string mermaid(const Analysis& analysis, const Finding& finding);

}  // namespace coldcase::report
