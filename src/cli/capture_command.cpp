#include "cli/capture_command.hpp"

#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "base/text.hpp"

namespace coldcase::cli {
namespace {

std::atomic<bool> stop_asked{false};

void ask_to_stop(int) {
  stop_asked = true;
}

// On a terminal alone, one line that is rewritten.
class ProgressLine {
 public:
  ProgressLine(std::ostream& err, bool quiet)
      : err_(err), shown_(!quiet && ::isatty(STDERR_FILENO) == 1) {}
  void show(const CaptureProgress& now) {
    // A terminal whose emulator is among the stopped processes takes no more: never wait for it.
    pollfd terminal{STDERR_FILENO, POLLOUT, 0};
    if (!shown_ || ::poll(&terminal, 1, 0) != 1) return;
    err_ << "\r\033[Kcapture: " << now.step << ' ' << now.pid;
    if (now.total_bytes > 0) err_ << ", " << now.done_bytes * 100 / now.total_bytes << " %";
    err_ << std::flush;
  }
  void end() {
    if (shown_) err_ << "\r\033[K" << std::flush;
  }

 private:
  std::ostream& err_;
  bool shown_;
};

std::string size_text(std::uint64_t bytes) {
  constexpr std::uint64_t mib = 1 << 20;
  if (bytes < 10 * mib) return std::to_string((bytes + 1023) / 1024) + " KiB";
  return std::to_string((bytes + mib - 1) / mib) + " MiB";
}

void print_rows(const CaptureResult& result, std::ostream& out) {
  for (const CapturedProcess& process : result.processes) {
    if (process.core.empty()) continue;
    out << clean_text(process.core) << "  " << clean_text(process.name, 64) << ", "
        << counted(process.thread_count, "thread");
    if (process.file_bytes != process.core_bytes)
      out << ", " << size_text(process.core_bytes) << " in " << size_text(process.file_bytes);
    out << '\n';
  }
}

int analyze_cores(const CaptureResult& result, std::ostream& out) {
  AnalyzeOptions options;
  for (const CapturedProcess& process : result.processes) {
    if (!process.core.empty()) options.cores.push_back(process.core);
  }
  const Analysis analysis = analyze(options);
  write_report(analysis, {}, out);
  return exit_code_of(analysis.verdict);
}

}  // namespace

int run_capture_command(const CaptureArguments& arguments, std::ostream& out, std::ostream& err) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (std::signal(signal, ask_to_stop) == SIG_IGN) std::signal(signal, SIG_IGN);  // nohup
  }
  ProgressLine progress(err, arguments.quiet);
  const CaptureResult result = [&] {
    try {
      return run_capture(
          arguments.options, [&](const CaptureProgress& now) { progress.show(now); }, stop_asked);
    } catch (...) {
      progress.end();
      throw;
    }
  }();
  progress.end();
  std::size_t captured = 0;
  std::optional<Trouble> trouble;
  for (const CapturedProcess& process : result.processes) {
    captured += !process.core.empty();
    if (!process.warning.empty())
      err << "coldcase: capture: core." << process.pid << ": " << process.warning << '\n';
    if (!process.problem.empty()) err << "coldcase: " << process.problem << '\n';
    if (!trouble) trouble = process.trouble;
  }
  if (!arguments.quiet) print_rows(result, out);
  if (result.stopped) {
    err << "coldcase: stopped; the processes go on. Finished and kept in "
        << clean_text(arguments.options.output) << ": " << counted(captured, "core") << '\n';
    return exit_stopped;
  }
  if (arguments.analyze && captured > 0) return analyze_cores(result, out);
  if (trouble) return exit_code_of(*trouble);
  if (!arguments.quiet)
    out << "read it:  coldcase analyze " << clean_text(arguments.options.output) << "/core.*.zst"
        << (captured == 1 ? "" : "   (one incident)") << '\n';
  return exit_none;
}

}  // namespace coldcase::cli
