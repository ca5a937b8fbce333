#include "cli/words.hpp"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <coldcase/result.hpp>

#include "base/text.hpp"

namespace coldcase::cli {
namespace {

bool exists(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0;
}

bool is_command(const CLI::App& app, const std::string& word) {
  return !app.get_subcommands([&](const CLI::App* one) { return one->get_name() == word; }).empty();
}

}  // namespace

// `coldcase CORE`, `coldcase -f json CORE` and `coldcase PROGRAM CORE` mean analyze.
std::vector<std::string> complete(const CLI::App& app, std::vector<std::string> words) {
  if (words.empty()) return words;
  const std::string first = words[0];
  static constexpr std::array<std::string_view, 3> general{"-h", "--help", "--version"};
  if (is_command(app, first) || std::ranges::find(general, first) != general.end()) return words;
  const bool core = first.starts_with('-');  // "-" itself, or an option of analyze's
  if (!core && first.find_first_of("./") == std::string::npos && !exists(first)) {
    throw Error(
        Trouble::usage,
        clean_text(first) +
            " is neither a command nor a file. Commands: analyze, render, show, inspect, triage, "
            "capture, patterns, schema; see  coldcase --help");
  }
  words.insert(words.begin(), "analyze");
  return words;
}

}  // namespace coldcase::cli
