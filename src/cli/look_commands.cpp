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

// "0x7f12" or "885".
std::uint64_t parse_number(const std::string& text) {
  const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
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
  write_table(make_table(analyze(options), kind->second), json, out);
  return exit_none;
}

int run_inspect_command(const AnalyzeOptions& options, const std::string& number, bool json,
                        std::ostream& out) {
  const std::uint64_t value = parse_number(number);
  write_sections(inspect(options, value), json, out);
  return exit_none;
}

}  // namespace coldcase::cli
