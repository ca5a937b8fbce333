// The command line: design.md's commands and exit codes.
#pragma once

#include <coldcase/inspect.hpp>
#include <coldcase/report.hpp>
#include <coldcase/result.hpp>
#include <iosfwd>
#include <string>
#include <vector>

namespace coldcase::cli {

inline constexpr int exit_none = 0, exit_found = 2, exit_inconclusive = 4, exit_usage = 64,
                     exit_not_a_core = 65, exit_no_file = 66, exit_internal = 70,
                     exit_cannot_write = 73, exit_read_error = 74, exit_stopped = 75,
                     exit_no_permission = 77;

int exit_code_of(Trouble trouble);
int exit_code_of(const Verdict& verdict);

// Runs one command; returns the exit code. Throws Error for what ends in a message.
int run(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err);

enum class Format : std::uint8_t { text, markdown, json };

// One -o: where, and in which format.
struct Output {
  Format format = Format::text;
  std::string path;  // "-": standard output
};
// "r.md", "json:-", "md:notes.txt". Throws Error (usage) when no format can be told.
Output parse_output(const std::string& argument);
Format parse_format(const std::string& name);

struct ReportOptions {
  std::vector<std::string> outputs;
  std::string format;  // of standard output; empty: text
  std::string color = "auto";
  std::string threads = "involved";
  unsigned width = 0;  // 0: the terminal's, else 88
  std::size_t max_chars = 0;
  bool evidence = false;
  bool full_names = false;
  bool quiet = false;
  bool title_only = false;
  bool exit_zero = false;
};

// Writes the report to every output and, as asked, to standard output.
void write_report(const Analysis& analysis, const ReportOptions& options, std::ostream& out);

// A table as aligned columns (or JSON: an array of objects).
void write_table(const Table& table, bool json, std::ostream& out);
// Tables below each other, each under its name (or JSON: an object of such arrays).
void write_sections(const std::vector<Section>& sections, bool json, std::ostream& out);

}  // namespace coldcase::cli
