#include "cli/look_commands.hpp"

#include <charconv>
#include <map>
#include <ostream>

#include "base/text.hpp"
#include "cli/commands.hpp"

namespace coldcase::cli {
namespace {

int show_python(const AnalyzeOptions& options, bool json, std::ostream& out) {
  const Analysis analysis = analyze(options);
  write_sections(make_python_sections(analysis), json, out);
  for (const Note& note : analysis.facts.notes) {
    if (!json && note.code == "python-unread") out << clean_text(note.text) << '\n';
  }
  return exit_none;
}

bool is_hexadecimal(const std::string& text) {
  return text.starts_with("0x") || text.starts_with("0X");
}

// "0x7f12" or "885".
std::uint64_t parse_number(const std::string& text) {
  const bool hexadecimal = is_hexadecimal(text);
  std::string_view digits(text);
  digits.remove_prefix(hexadecimal ? 2 : 0);
  std::uint64_t value = 0;
  const auto [end, problem] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, hexadecimal ? 16 : 10);
  if (digits.empty() || problem != std::errc() || end != digits.data() + digits.size())
    throw Error(Trouble::usage,
                clean_text(text) +
                    " is neither an address (0x7f...) nor a thread's number. Usage: "
                    "coldcase inspect CORE ADDRESS|TID");
  return value;
}

}  // namespace

int run_show_command(const AnalyzeOptions& options, const std::string& what, bool json,
                     std::ostream& out) {
  if (what == "python") return show_python(options, json, out);
  static const std::map<std::string, TableKind> kinds{{"threads", TableKind::threads},
                                                      {"stacks", TableKind::stacks},
                                                      {"locks", TableKind::locks},
                                                      {"modules", TableKind::modules},
                                                      {"tasks", TableKind::tasks}};
  const auto kind = kinds.find(what);
  if (kind == kinds.end())
    throw Error(Trouble::usage,
                "show what? threads, stacks, locks, modules, tasks and python are known");
  const Table table = make_table(analyze(options), kind->second);
  if (table.rows.empty() && !json)
    out << "No " << what << " were seen in this core.\n";
  else
    write_table(table, json, out);
  return exit_none;
}

int run_inspect_command(const AnalyzeOptions& options, const std::string& number, bool json,
                        std::ostream& out) {
  const std::uint64_t value = parse_number(number);
  const std::vector<Section> sections = inspect(options, value);
  const bool asked_for_thread = !is_hexadecimal(number);
  if (asked_for_thread && !json && sections.front().name == "address")
    out << "No thread of this core has the number " << value << ". As an address:\n\n";
  write_sections(sections, json, out);
  return exit_none;
}

}  // namespace coldcase::cli
