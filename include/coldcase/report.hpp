// Reports: an Analysis written as JSON (the contract), text or Markdown, and read back from JSON.
#pragma once

#include <coldcase/analysis.hpp>
#include <iosfwd>
#include <string_view>

namespace coldcase {

// Options of the text and Markdown formats. They change the rendering only, never the JSON.
struct RenderOptions {
  unsigned width = 88;        // columns of the text format; at least 40
  bool color = false;         // ANSI colours in the text format
  bool evidence = false;      // mark every sentence with the evidence it rests on: [e3]
  bool all_threads = false;   // stacks of all threads, not only of those involved
  bool full_names = false;    // C++ and Rust names in stacks with all their parameters
  std::size_t max_chars = 0;  // Markdown: cut by whole sections below this; 0 = 60,000
};

void render_json(const Analysis& analysis, std::ostream& out);
void render_text(const Analysis& analysis, const RenderOptions& options, std::ostream& out);
void render_markdown(const Analysis& analysis, const RenderOptions& options, std::ostream& out);

// Reads what render_json wrote. Keys it does not know are ignored, an unknown enum word reads as
// the member's default. Throws Error (not_a_core) when it is no report of schema version 1.
Analysis parse_report(std::string_view json);

// The JSON schema of a report. `closed` forbids unknown keys and words: for our own tests.
void render_schema(bool closed, std::ostream& out);

}  // namespace coldcase
