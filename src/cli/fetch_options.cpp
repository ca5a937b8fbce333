#include "cli/fetch_options.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <coldcase/result.hpp>
#include <cstdlib>
#include <ostream>

#include "base/text.hpp"

namespace coldcase::cli {
namespace {

std::string size_text(std::uint64_t bytes) {
  const std::uint64_t tenths = bytes / (1024 * 1024 / 10);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " MiB";
}

// One line that is rewritten; nothing in the first moment, in which a cache has answered.
class ProgressLine {
 public:
  explicit ProgressLine(std::ostream& err) : err_(&err) {}
  void operator()(const FetchProgress& now) {
    if (now.finished) {
      if (shown_) *err_ << "\r\033[K" << std::flush;
      shown_ = false;
      return;
    }
    shown_ = true;
    *err_ << "\r\033[Kfetching from " << now.servers << ": " << now.answered << " of " << now.wanted
          << " answered, " << size_text(now.bytes) << ", "
          << static_cast<long>(std::ceil(now.seconds_left)) << " s left (Ctrl-C ends)"
          << std::flush;
  }

 private:
  std::ostream* err_;
  bool shown_ = false;
};

}  // namespace

void add_server_option(CLI::App& command, FetchArguments& arguments,
                       const std::string& command_default) {
  command
      .add_option("--debuginfod", arguments.servers,
                  "Files that are not here: env (ask DEBUGINFOD_URLS), off, a URL to ask, or "
                  "cache (what came earlier; nobody is asked)")
      ->default_str(command_default)
      ->allow_extra_args(false);
}

void add_fetch_options(CLI::App& command, FetchArguments& arguments) {
  add_server_option(command, arguments, "env");
  command.add_option("--time-budget", arguments.seconds, "Seconds that servers may take in all")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 86400.0));
}

namespace {

std::string servers_of(const std::string& given) {
  if (given == "off" || given == "cache") return {};
  if (given.empty() || given == "env") {
    const char* urls = std::getenv("DEBUGINFOD_URLS");
    return urls == nullptr ? "" : urls;
  }
  if (given.find("://") == std::string::npos)
    throw Error(Trouble::usage, "--debuginfod takes env, off, cache or a URL (https://...), not " +
                                    clean_text(given));
  return given;
}

}  // namespace

FetchOptions make_fetch_options(const FetchArguments& arguments, std::ostream& err) {
  FetchOptions options;
  options.seconds = arguments.seconds;
  options.servers = servers_of(arguments.servers);
  options.cache_only = arguments.servers == "cache";
  if (!options.servers.empty() && ::isatty(STDERR_FILENO) == 1)
    options.progress = ProgressLine(err);
  return options;
}

}  // namespace coldcase::cli
