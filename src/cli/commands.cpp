#include "cli/commands.hpp"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <sstream>

#include "base/text.hpp"
#include "cli/capture_command.hpp"
#include "cli/fetch_options.hpp"
#include "cli/look_commands.hpp"
#include "cli/triage_command.hpp"
#include "cli/words.hpp"

namespace coldcase::cli {
namespace {

struct Arguments {
  AnalyzeOptions analyze;
  FetchArguments fetch;
  ReportOptions report;
  std::vector<std::string> files;
  std::vector<std::string> cores;  // -c, as gdb takes it
  std::string table;
  std::string table_format = "text";
  std::string inspected, number;  // inspect: a core; an address or a thread
  std::string pattern;
  std::string schema = "report";
  TriageArguments triage;
  CaptureArguments capture;
};

void add_reading_options(CLI::App& command, Arguments& arguments) {
  command.add_option("-c,--core", arguments.cores, "A core file (gdb's way to say it)")
      ->allow_extra_args(false);
  command
      .add_option("--executable", arguments.analyze.executables,
                  "The program, or NAME=FILE for one mapped file")
      ->allow_extra_args(false);
  command
      .add_option("--sysroot", arguments.analyze.sysroots,
                  "Look for mapped files under this folder first")
      ->allow_extra_args(false);
  command
      .add_option("--debug-dir", arguments.analyze.debug_dirs,
                  "Look for .build-id/ files in this folder, or debuginfod's cache")
      ->allow_extra_args(false);
  add_fetch_options(command, arguments.fetch);
}

void add_report_options(CLI::App& command, Arguments& arguments) {
  ReportOptions& report = arguments.report;
  command
      .add_option("-o,--output", report.outputs,
                  "Write a report: FILE.txt .md .json, or FORMAT:FILE ('-' is stdout)")
      ->allow_extra_args(false);
  command.add_option("-f,--format", report.format, "Of standard output: text, md or json");
  command.add_option("--width", report.width, "Columns of the text")->check(CLI::Range(40, 400));
  command.add_option("--color", report.color, "auto, always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}));
  command.add_option("--threads", report.threads, "Stacks of: involved or all")
      ->check(CLI::IsMember({"involved", "all"}));
  command.add_option("--max-chars", report.max_chars,
                     "Markdown is cut by whole sections below this");
  command.add_flag("--full-names", report.full_names,
                   "C++ and Rust names in stacks with all their parameters");
  command.add_flag("--evidence", report.evidence,
                   "Mark every sentence with the evidence it rests on");
  command.add_flag("--title-only", report.title_only, "Print the headline alone");
  command.add_flag("-q,--quiet", report.quiet, "No summary on standard output when -o is given");
  command.add_flag("--exit-zero", report.exit_zero,
                   "Exit 0 whatever was found; errors keep their codes");
}

// Sorts the plain arguments: cores, and programs that belong to them (gdb's order: PROGRAM CORE).
void sort_files(Arguments& arguments) {
  for (const std::string& file : arguments.files) {
    // DIR/core.* names side-cars too; each is read with the core it lies beside.
    if (arguments.files.size() > 1 && file.ends_with(".side-car.json")) continue;
    if (arguments.files.size() + arguments.cores.size() > 1 &&
        kind_of_argument(file) == ArgumentKind::program) {
      arguments.analyze.executables.push_back(file);
    } else {
      arguments.analyze.cores.push_back(file);
    }
  }
  auto& cores = arguments.analyze.cores;
  cores.insert(cores.end(), arguments.cores.begin(), arguments.cores.end());
  if (cores.empty())
    throw Error(Trouble::usage,
                "no core named. Usage: coldcase analyze [PROGRAM] CORE... ; see coldcase --help");
}

int run_analyze(Arguments& arguments, std::ostream& out) {
  sort_files(arguments);
  for (const std::string& output : arguments.report.outputs)
    (void)parse_output(output);  // before the work
  const Analysis analysis = analyze(arguments.analyze);
  write_report(analysis, arguments.report, out);
  return arguments.report.exit_zero ? exit_none : exit_code_of(analysis.verdict);
}

int run_render(const Arguments& arguments, std::ostream& out) {
  const std::string& path = arguments.files.front();
  struct stat about {};
  if (::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode)) {
    throw Error(Trouble::not_a_core, clean_text(path) +
                                         " is a directory, not a JSON report. Make one with:  "
                                         "coldcase analyze CORE -o report.json");
  }
  std::stringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
  } else {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error(Trouble::no_such_file, clean_text(path) + ": cannot be opened");
    text << file.rdbuf();
  }
  const Analysis analysis = [&] {
    try {
      return parse_report(text.str());
    } catch (const Error& error) {
      throw Error(error.trouble(), clean_text(path) + ": " + error.what());
    }
  }();
  write_report(analysis, arguments.report, out);
  return arguments.report.exit_zero ? exit_none : exit_code_of(analysis.verdict);
}

int run_show(Arguments& arguments, std::ostream& out) {
  sort_files(arguments);
  return run_show_command(arguments.analyze, arguments.table, arguments.table_format == "json",
                          out);
}

int run_inspect(Arguments& arguments, std::ostream& out) {
  arguments.analyze.cores = {arguments.inspected};
  return run_inspect_command(arguments.analyze, arguments.number, arguments.table_format == "json",
                             out);
}

int run_patterns(const Arguments& arguments, std::ostream& out) {
  Table table{{"pattern", "kind", "what it is"}, {}};
  for (const PatternInfo& pattern : known_patterns()) {
    if (arguments.pattern.empty()) {
      table.rows.push_back(
          {std::string(pattern.slug), std::string(pattern.kind), std::string(pattern.what)});
    } else if (pattern.slug == arguments.pattern) {
      out << pattern.slug << " (" << pattern.kind << ")\n"
          << pattern.what << "\nProved by: " << pattern.proof << ".\n";
      return exit_none;
    }
  }
  if (!arguments.pattern.empty()) {
    throw Error(Trouble::usage, "no pattern is called '" + clean_text(arguments.pattern) +
                                    "'; see  coldcase patterns");
  }
  write_table(table, false, out);
  return exit_none;
}

void add_triage_options(CLI::App& command, Arguments& arguments) {
  TriageArguments& triage = arguments.triage;
  command.add_option("PATHS", triage.options.paths, "Folders (walked), globs, cores")->required();
  command.add_option("-o,--output", triage.options.output, "The folder to write")->required();
  triage.options.jobs = 0;
  command.add_option("-j,--jobs", triage.options.jobs, "Workers at once; 0: as many as processors");
  command
      .add_option("--time-budget", triage.options.seconds,
                  "Seconds for one incident; and for all that servers are asked for")
      ->check(CLI::Range(0.1, 86400.0));
  command.add_option("--memory", triage.memory_mib, "MiB of memory for one incident")
      ->check(CLI::Range(32, 1 << 20));
  command
      .add_option("--fail-on", triage.fail_on,
                  "What exits 2 or 4: new,regression,known,inconclusive,unreadable")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_flag("--force", triage.options.force, "Write into a folder made with other options");
  command.add_flag("--exit-zero", triage.exit_zero,
                   "Exit 0 whatever was found; errors keep their codes");
  command
      .add_option("--sysroot", arguments.analyze.sysroots,
                  "Look for mapped files under this folder first")
      ->allow_extra_args(false);
  command
      .add_option("--debug-dir", arguments.analyze.debug_dirs,
                  "Look for .build-id/ files in this folder")
      ->allow_extra_args(false);
  add_server_option(command, arguments.fetch, "off");
}

int run_triage_from(Arguments& arguments, std::ostream& out, std::ostream& err) {
  for (const std::string& folder : arguments.analyze.sysroots)
    arguments.triage.options.reading.push_back("--sysroot=" + folder);
  for (const std::string& folder : arguments.analyze.debug_dirs)
    arguments.triage.options.reading.push_back("--debug-dir=" + folder);
  FetchOptions& fetch = arguments.triage.options.fetch;
  fetch = arguments.analyze.fetch;
  fetch.seconds = arguments.triage.options.seconds;
  if (fetch.cache_only || !fetch.servers.empty())
    arguments.triage.options.reading.emplace_back("--debuginfod=cache");
  return run_triage_command(arguments.triage, out, err);
}

void add_capture_options(CLI::App& command, Arguments& arguments) {
  CaptureArguments& capture = arguments.capture;
  command.add_option("PIDS", capture.options.pids, "The processes, by number")->required();
  command.add_flag("--tree", capture.options.tree, "Their children too, all the way down");
  command.add_option("-o,--output", capture.options.output, "The folder to write (made 0700)")
      ->required();
  command.add_flag("--analyze", capture.analyze,
                   "Tell the story of the cores at once; exit codes as of analyze");
  command.add_option("--gcore", capture.options.gcore, "gdb's gcore, when it is not in PATH");
  command.add_flag("-q,--quiet", capture.quiet, "Print no list of what was written");
  command.footer(
      "Writes core.PID.zst and core.PID.side-car.json for each: the core, and what a core lacks\n"
      "(thread names, open files, sockets, file locks). The processes stand still while they are\n"
      "dumped and go on afterwards, whatever happens to coldcase meanwhile.\n"
      "Example:\n"
      "  coldcase capture $(pgrep -o -f train.py) --tree -o hang/ --analyze\n"
      "Exit codes: 0 captured, 64 usage, 66 no such process or no gcore, 73 cannot write,\n"
      "74 gcore failed, 75 interrupted, 77 no permission to trace");
}

int run_schema(const Arguments& arguments, std::ostream& out) {
  if (arguments.schema == "triage") {
    out << triage_schema();
    return exit_none;
  }
  if (arguments.schema == "side-car") {
    out << side_car_schema();
    return exit_none;
  }
  if (arguments.schema != "report" && arguments.schema != "report-closed") {
    throw Error(Trouble::usage, "no schema '" + clean_text(arguments.schema) +
                                    "'; report, report-closed, triage and side-car are known");
  }
  render_schema(arguments.schema == "report-closed", out);
  return exit_none;
}

}  // namespace

int exit_code_of(Trouble trouble) {
  switch (trouble) {
    case Trouble::usage:
      return exit_usage;
    case Trouble::not_a_core:
      return exit_not_a_core;
    case Trouble::no_such_file:
      return exit_no_file;
    case Trouble::internal:
      return exit_internal;
    case Trouble::cannot_write:
      return exit_cannot_write;
    case Trouble::read_error:
      return exit_read_error;
    case Trouble::no_permission:
      return exit_no_permission;
  }
  return exit_internal;
}

int exit_code_of(const Verdict& verdict) {
  switch (verdict.kind) {
    case VerdictKind::none:
      return exit_none;
    case VerdictKind::deadlock:
    case VerdictKind::hang:
    case VerdictKind::crash:
      return exit_found;
    case VerdictKind::inconclusive:
      return exit_inconclusive;
  }
  return exit_internal;
}

namespace {

// The commands, each with its options bound to `arguments`.
struct Commands {
  CLI::App* analyze = nullptr;
  CLI::App* render = nullptr;
  CLI::App* show = nullptr;
  CLI::App* inspect = nullptr;
  CLI::App* triage = nullptr;
  CLI::App* capture = nullptr;
  CLI::App* patterns = nullptr;
  CLI::App* schema = nullptr;
};

Commands add_commands(CLI::App& app, Arguments& arguments) {
  Commands commands;
  commands.analyze =
      app.add_subcommand("analyze", "Tell the story of one core, or of the cores of one incident");
  add_reading_options(*commands.analyze, arguments);
  add_report_options(*commands.analyze, arguments);
  commands.analyze->add_flag("--locals", arguments.analyze.locals,
                             "Tell arguments and variables of native frames (private by default)");
  commands.analyze->add_flag(
      "--endpoints", arguments.analyze.endpoints,
      "Tell the addresses of sockets' other ends (private by default); files "
      "are then written 0600");
  commands.analyze->add_option("FILES", arguments.files,
                               "[PROGRAM] CORE..., '-' is standard input");
  commands.render =
      app.add_subcommand("render", "Make any format from a JSON report, no core needed");
  add_report_options(*commands.render, arguments);
  commands.render->add_option("REPORT", arguments.files, "A JSON report, '-' is standard input")
      ->required()
      ->expected(1);
  commands.show = app.add_subcommand(
      "show", "One table: threads, stacks, locks, modules or tasks; or all about Python: python");
  commands.show
      ->add_option("WHAT", arguments.table, "threads, stacks, locks, modules, tasks or python")
      ->required();
  commands.show->add_option("FILES", arguments.files, "[PROGRAM] CORE");
  commands.show->add_option("-f,--format", arguments.table_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
  add_reading_options(*commands.show, arguments);
  commands.inspect = app.add_subcommand(
      "inspect",
      "What an address of the dead process is, or a thread: symbol, object, lock, stack");
  commands.inspect->add_option("CORE", arguments.inspected, "A core")->required();
  commands.inspect->add_option("NUMBER", arguments.number, "ADDRESS (0x...) or TID")->required();
  commands.inspect->add_option("-f,--format", arguments.table_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
  add_reading_options(*commands.inspect, arguments);
  commands.triage = app.add_subcommand("triage", "Many cores to one table of distinct problems");
  add_triage_options(*commands.triage, arguments);
  commands.capture =
      app.add_subcommand("capture", "Take cores of running processes, and let them go on");
  add_capture_options(*commands.capture, arguments);
  commands.patterns = app.add_subcommand("patterns", "The patterns that are recognized");
  commands.patterns->add_option("SLUG", arguments.pattern, "One of them");
  commands.schema = app.add_subcommand("schema", "The JSON schema of a report");
  commands.schema->add_option("NAME", arguments.schema,
                              "report, report-closed, triage or side-car");
  return commands;
}

}  // namespace

int run(const std::vector<std::string>& given, std::ostream& out, std::ostream& err) {
  if (given.size() == 1 && given[0] == "--version") {
    out << "coldcase " << library_version() << '\n';
    return exit_none;
  }
  if (!given.empty() && given[0] == "worker")
    return run_worker({given.begin() + 1, given.end()}, out);
  Arguments arguments;
  CLI::App app{
      "coldcase: who held what, who waited for whom, and why nothing moved - from a core dump "
      "alone",
      "coldcase"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "coldcase " + std::string(library_version()));
  app.footer(
      "coldcase CORE... is short for  coldcase analyze CORE...\n"
      "Exit codes: 0 nothing found, 2 deadlock, hang or crash, 4 inconclusive,\n"
      "64 usage, 65 not a core, 66 no such file, 70 our own fault, 73 cannot write,\n"
      "74 read error, 75 stopped (triage: run again), 77 no permission");
  const Commands commands = add_commands(app, arguments);
  const std::vector<std::string> words = complete(app, given);
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, out, err) == 0 ? exit_none : exit_usage;
  }
  // A night's batch is the same whatever the network does, unless somebody wants files from it.
  if (commands.triage->parsed() && arguments.fetch.servers.empty()) arguments.fetch.servers = "off";
  arguments.analyze.fetch = make_fetch_options(arguments.fetch, err);
  if (commands.analyze->parsed()) return run_analyze(arguments, out);
  if (commands.render->parsed()) return run_render(arguments, out);
  if (commands.triage->parsed()) return run_triage_from(arguments, out, err);
  if (commands.capture->parsed()) return run_capture_command(arguments.capture, out, err);
  if (commands.show->parsed()) return run_show(arguments, out);
  if (commands.inspect->parsed()) return run_inspect(arguments, out);
  if (commands.patterns->parsed()) return run_patterns(arguments, out);
  return run_schema(arguments, out);
}

}  // namespace coldcase::cli
