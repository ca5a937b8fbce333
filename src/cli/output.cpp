// Reports and tables onto files and the terminal.
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <ostream>

#include "base/text.hpp"
#include "cli/commands.hpp"

namespace coldcase::cli {
namespace {

unsigned terminal_width() {
  struct winsize size {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
    return std::min<unsigned>(size.ws_col, 120);
  return 88;
}

bool wants_color(const std::string& when) {
  if (when == "always") return true;
  const char* no_color = std::getenv("NO_COLOR");
  return when == "auto" && ::isatty(STDOUT_FILENO) == 1 &&
         (no_color == nullptr || *no_color == '\0');
}

RenderOptions render_options(const ReportOptions& options, bool to_stdout) {
  RenderOptions render;
  render.width = options.width != 0 ? options.width : to_stdout ? terminal_width() : 88;
  render.color = to_stdout && wants_color(options.color);
  render.evidence = options.evidence;
  render.full_names = options.full_names;
  render.all_threads = options.threads == "all";
  render.max_chars = options.max_chars;
  return render;
}

void write_format(const Analysis& analysis, Format format, const RenderOptions& options,
                  std::ostream& out) {
  switch (format) {
    case Format::text:
      return render_text(analysis, options, out);
    case Format::markdown:
      return render_markdown(analysis, options, out);
    case Format::json:
      return render_json(analysis, out);
  }
}

// Files made meanwhile are for their owner alone.
class PrivateFiles {
 public:
  explicit PrivateFiles(bool wanted) : wanted_(wanted) {
    if (wanted_) before_ = ::umask(S_IRWXG | S_IRWXO);
  }
  PrivateFiles(const PrivateFiles&) = delete;
  PrivateFiles& operator=(const PrivateFiles&) = delete;
  ~PrivateFiles() {
    if (wanted_) ::umask(before_);
  }

 private:
  bool wanted_;
  mode_t before_ = 0;
};

void write_file(const Analysis& analysis, const Output& output, const ReportOptions& options) {
  struct stat about {};
  if (::stat(output.path.c_str(), &about) == 0 && !S_ISREG(about.st_mode)) {
    // A pipe or a device is written to, not replaced.
    std::ofstream target(output.path, std::ios::binary);
    if (target) write_format(analysis, output.format, render_options(options, false), target);
    target.flush();
    if (!target)
      throw Error(Trouble::cannot_write,
                  "cannot write " + clean_text(output.path) + ": " + std::strerror(errno));
    return;
  }
  // Whole or not at all: a reader never sees half a report.
  const std::string temporary = output.path + ".tmp." + std::to_string(::getpid());
  {
    const PrivateFiles keep(!analysis.redaction.opted_in.empty());
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    if (file) write_format(analysis, output.format, render_options(options, false), file);
    file.flush();
    if (!file) {
      ::unlink(temporary.c_str());
      throw Error(Trouble::cannot_write,
                  "cannot write " + clean_text(output.path) + ": " + std::strerror(errno));
    }
  }
  if (std::rename(temporary.c_str(), output.path.c_str()) != 0) {
    const std::string why = std::strerror(errno);
    ::unlink(temporary.c_str());
    throw Error(Trouble::cannot_write, "cannot write " + clean_text(output.path) + ": " + why);
  }
}

// Characters on a terminal, near enough: UTF-8 continuation bytes take no column.
std::size_t columns_of(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string json_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : clean_text(text, 4096)) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

Format parse_format(const std::string& name) {
  if (name == "text" || name == "txt") return Format::text;
  if (name == "markdown" || name == "md") return Format::markdown;
  if (name == "json") return Format::json;
  throw Error(Trouble::usage,
              "unknown format '" + clean_text(name) + "': text, md and json are known");
}

Output parse_output(const std::string& argument) {
  const auto colon = argument.find(':');
  if (colon != std::string::npos && colon > 0 && argument.find('/') > colon) {
    if (colon + 1 == argument.size()) {
      throw Error(
          Trouble::usage,
          clean_text(argument) + ": no file is named after the colon ('-' is standard output)");
    }
    return {parse_format(argument.substr(0, colon)), argument.substr(colon + 1)};
  }
  const auto dot = argument.rfind('.');
  if (dot == std::string::npos) {
    throw Error(Trouble::usage,
                clean_text(argument) +
                    ": its suffix tells no format; name one as in  md:" + clean_text(argument));
  }
  return {parse_format(argument.substr(dot + 1)), argument};
}

void write_report(const Analysis& analysis, const ReportOptions& options, std::ostream& out) {
  std::vector<Output> outputs;
  for (const std::string& argument : options.outputs) outputs.push_back(parse_output(argument));
  bool stdout_used = false;
  for (const Output& output : outputs) {
    if (output.path == "-") {
      write_format(analysis, output.format, render_options(options, true), out);
      stdout_used = true;
    } else {
      write_file(analysis, output, options);
    }
  }
  if (options.title_only) {
    out << analysis.verdict.headline << '\n';
  } else if (!options.format.empty() || outputs.empty()) {
    const Format format = options.format.empty() ? Format::text : parse_format(options.format);
    write_format(analysis, format, render_options(options, true), out);
  } else if (!options.quiet && !stdout_used) {
    out << word(analysis.verdict.kind) << ": " << clean_text(analysis.verdict.headline) << '\n';
  }
  out.flush();
  if (!out) throw Error(Trouble::cannot_write, "cannot write to standard output");
}

namespace {

void write_table_json(const Table& table, std::ostream& out) {
  out << "[";
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    out << (r == 0 ? "\n {" : ",\n {");
    bool first = true;
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
      if (table.rows[r][c].empty()) continue;
      out << (first ? "" : ", ") << json_text(table.columns[c]) << ": "
          << json_text(table.rows[r][c]);
      first = false;
    }
    out << "}";
  }
  out << "\n]\n";
}

void write_row(const std::vector<std::string>& row, const std::vector<std::size_t>& widths,
               std::ostream& out) {
  std::string line;
  for (std::size_t c = 0; c < row.size(); ++c) {
    const std::string cell = clean_text(row[c], 400);
    line += cell;
    if (c + 1 < row.size())
      line += std::string(widths[c] + 2 - std::min(columns_of(cell), widths[c] + 1), ' ');
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  out << line << '\n';
}

}  // namespace

void write_table(const Table& table, bool json, std::ostream& out) {
  if (json) return write_table_json(table, out);
  std::vector<std::size_t> widths;
  for (const std::string& column : table.columns) widths.push_back(column.size());
  for (const auto& row : table.rows) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      widths[c] = std::min<std::size_t>(std::max(widths[c], columns_of(row[c])), 60);
    }
  }
  write_row(table.columns, widths, out);
  for (const auto& row : table.rows) write_row(row, widths, out);
}

void write_sections(const std::vector<Section>& sections, bool json, std::ostream& out) {
  if (!json) {
    if (sections.empty()) out << "No CPython was seen in this core.\n";
    for (const Section& section : sections) {
      if (&section != &sections.front()) out << '\n';
      for (const char c : section.name)
        out << static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      out << '\n';
      write_table(section.table, false, out);
    }
    return;
  }
  out << "{";
  for (const Section& section : sections) {
    out << (&section == &sections.front() ? "\n" : ",\n") << json_text(section.name) << ": ";
    write_table_json(section.table, out);
  }
  out << "}\n";
}

}  // namespace coldcase::cli
