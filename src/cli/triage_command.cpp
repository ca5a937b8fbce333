#include "cli/triage_command.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "triage/incidents.hpp"
#include "triage/missing_lines.hpp"

namespace coldcase::cli {
namespace {

std::atomic<bool> stop_asked{false};

void ask_to_stop(int) {
  stop_asked = true;
}

std::string own_path() {
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (size <= 0) throw Error(Trouble::internal, "cannot find this program's own file");
  return {path.data(), static_cast<std::size_t>(size)};
}

// On a terminal one line that is rewritten; in a log a line now and then.
class ProgressLine {
 public:
  explicit ProgressLine(std::ostream& err) : err_(err), terminal_(::isatty(STDERR_FILENO) == 1) {}
  void show(const TriageProgress& now) {
    const std::size_t step = std::max<std::size_t>(now.found / 10, 1);
    if (!terminal_ && (now.done == shown_ || (now.done % step != 0 && now.done != now.found)))
      return;
    shown_ = now.done;
    std::string text = "triage: " + std::to_string(now.done) + " of " + std::to_string(now.found) +
                       " done, " + std::to_string(now.running) + " running";
    if (now.seconds_left >= 1)
      text +=
          ", about " + std::to_string(static_cast<long>(std::ceil(now.seconds_left))) + " s left";
    if (terminal_)
      err_ << '\r' << text << "   " << std::flush;
    else
      err_ << text << '\n' << std::flush;
  }
  void end() {
    if (terminal_) err_ << "\r\033[K" << std::flush;
  }

 private:
  std::ostream& err_;
  bool terminal_;
  std::size_t shown_ = static_cast<std::size_t>(-1);
};

bool has_kind(const TriageResult& result, RowKind kind) {
  return std::ranges::find(result.rows, kind, &TriageRow::kind) != result.rows.end();
}

int exit_code_for(const TriageResult& result, const std::vector<std::string>& fail_on) {
  const auto asked = [&](std::string_view what) {
    return std::ranges::find(fail_on, what) != fail_on.end();
  };
  // Without a history every problem is a new one.
  if (!result.groups.empty() && asked("new")) return exit_found;
  const bool undecided =
      has_kind(result, RowKind::inconclusive) || has_kind(result, RowKind::unreadable);
  const bool nothing_else = !has_kind(result, RowKind::none) && !has_kind(result, RowKind::problem);
  if (undecided && nothing_else) return exit_inconclusive;
  if (has_kind(result, RowKind::inconclusive) && asked("inconclusive")) return exit_inconclusive;
  if (has_kind(result, RowKind::unreadable) && asked("unreadable")) return exit_inconclusive;
  return exit_none;
}

// For tests: COLDCASE_TEST_WORKER="crash=NAME;stall=NAME;flood=NAME;memory=NAME" makes the worker
// misbehave on the input of that name, as a hostile core might.
void misbehave(const std::string& file) {
  const char* hook = std::getenv("COLDCASE_TEST_WORKER");
  if (hook == nullptr) return;
  const std::string wanted = ";" + std::string(hook) + ";";
  const auto is = [&](std::string_view what) {
    return wanted.find(";" + std::string(what) + "=" + std::string(base_name(file)) + ";") !=
           std::string::npos;
  };
  if (is("crash")) std::raise(SIGSEGV);
  if (is("stall")) std::this_thread::sleep_for(std::chrono::hours(1));
  if (is("flood")) {
    for (;;) std::cout << std::string(1 << 16, 'x');
  }
  if (is("memory")) {
    std::vector<std::string> hoard;
    for (;;) hoard.emplace_back(std::size_t{16} << 20, 'x');
  }
}

}  // namespace

int run_triage_command(TriageArguments& arguments, std::ostream& out, std::ostream& err) {
  for (const std::string& what : arguments.fail_on) {
    if (what != "new" && what != "regression" && what != "known" && what != "inconclusive" &&
        what != "unreadable") {
      throw Error(Trouble::usage,
                  "--fail-on " + clean_text(what) +
                      ": new, regression, known, inconclusive and unreadable are known");
    }
  }
  arguments.options.worker = {own_path(), "worker"};
  arguments.options.memory_bytes = arguments.memory_mib << 20;
  if (arguments.options.jobs == 0)
    arguments.options.jobs = std::max(1u, std::thread::hardware_concurrency());
  std::signal(SIGINT, ask_to_stop);
  std::signal(SIGTERM, ask_to_stop);
  ProgressLine progress(err);
  const TriageResult result = run_triage(
      arguments.options, [&](const TriageProgress& now) { progress.show(now); }, stop_asked);
  progress.end();
  if (result.stopped) {
    err << "coldcase: stopped. What is done is kept in " << clean_text(arguments.options.output)
        << "; the same command goes on from there\n";
    return exit_stopped;
  }
  if (result.rows.empty()) {
    throw Error(Trouble::no_such_file, "no core among " +
                                           counted(result.files_seen, "candidate file") +
                                           ". A core is told by its content (an ELF core, packed "
                                           "or in an archive), not by its name");
  }
  render_triage_text(result, out);
  out << "\nwritten: " << clean_text(arguments.options.output) << "/triage.{txt,md,json}\n";
  return arguments.exit_zero ? exit_none : exit_code_for(result, arguments.fail_on);
}

int run_worker(const std::vector<std::string>& arguments, std::ostream& out) {
  if (arguments.empty()) throw Error(Trouble::usage, "worker: nothing to do");
  AnalyzeOptions options;
  std::size_t at = 1;
  for (; at < arguments.size() && arguments[at] != "--"; ++at) {
    const auto equals = arguments[at].find('=');
    const std::string name = arguments[at].substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : arguments[at].substr(equals + 1);
    if (name == "--executable") options.executables.push_back(value);
    if (name == "--sysroot") options.sysroots.push_back(value);
    if (name == "--debug-dir") options.debug_dirs.push_back(value);
    if (name == "--debuginfod") options.fetch.cache_only = value == "cache";
  }
  for (++at; at < arguments.size(); ++at) options.cores.push_back(arguments[at]);
  if (options.cores.empty()) throw Error(Trouble::usage, "worker: no file");
  misbehave(options.cores.front());
  if (arguments[0] == "identify") {
    for (const CoreIdentity& identity : identify(options.cores.front()))
      out << triage::identity_line(identity);
    out << std::flush;
    return exit_none;
  }
  if (arguments[0] == "missing") {
    out << triage::missing_lines(missing_files(options)) << std::flush;
    return exit_none;
  }
  const Analysis analysis = analyze(options);
  render_json(analysis, out);
  out.flush();
  return exit_code_of(analysis.verdict);
}

}  // namespace coldcase::cli
