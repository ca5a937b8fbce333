// Files by build-id from debuginfod servers, through elfutils' libdebuginfod and its cache
// (debuginfod_find_debuginfo(3)). The library is loaded only when something is asked for, and in a
// child process: a round ends in its time whatever a server or a resolver does, Ctrl-C needs no
// handler, and libcurl's memory is not ours. What a server sends is not proved here.
#pragma once

#include <array>
#include <chrono>
#include <coldcase/fetch.hpp>
#include <string>
#include <vector>

namespace coldcase {

// What is asked for in place of a debug file that is too large: names and lines of functions. Not
// .debug_aranges: it leads to .debug_info, which is most of such a file.
inline constexpr std::array<std::string_view, 5> section_names{
    ".note.gnu.build-id", ".symtab", ".strtab", ".debug_line", ".debug_line_str"};

struct FetchAnswer {
  // not_answered: no server is left, the time was over, or the library is missing.
  // too_large: a server has it, and said that it is larger than what is fetched, or than what can
  // come in the time left.
  enum class Outcome : std::uint8_t { found, unknown_there, too_large, not_answered };
  Outcome outcome = Outcome::not_answered;
  bool too_slow = false;  // too large for the time alone
  std::string path;       // in the library's cache
  // Of a debug file that is too large: the files with these sections; empty where one is not there.
  std::array<std::string, section_names.size()> sections;

  bool has_sections() const {
    return !sections[0].empty() && !sections[1].empty() && !sections[2].empty();
  }
};

// One file to ask for: of a build-id, or a section of its debug file.
struct FetchItem {
  FetchRequest of;
  std::string_view section;
};

class Debuginfod {
 public:
  explicit Debuginfod(FetchOptions options);

  bool on() const { return options_.cache_only || !servers_.empty(); }
  // All at once; one answer for each request, in their order.
  std::vector<FetchAnswer> fetch(const std::vector<FetchRequest>& requests);

  const std::vector<FetchNote>& troubles() const { return troubles_; }

 private:
  struct Round;
  void run(Round& round);
  void drop_failing(const FetchItem& sample);
  void drop(const std::string& server, const std::string& why);
  std::vector<FetchAnswer> ask(const std::vector<FetchItem>& items, const std::string& cache);
  void add_sections(const std::vector<FetchRequest>& requests, std::vector<FetchAnswer>& answers);
  void note_too_large(const std::vector<FetchRequest>& requests,
                      const std::vector<FetchAnswer>& answers);
  bool stopped() const { return options_.stop != nullptr && *options_.stop; }
  bool time_left() const { return left_ > std::chrono::milliseconds(0) && !stopped(); }

  FetchOptions options_;
  std::vector<std::string> servers_;  // without those that failed
  std::vector<std::string> asked_;    // all
  std::vector<FetchNote> troubles_;
  std::chrono::milliseconds left_;
  std::uint64_t bytes_before_ = 0;
  bool library_missing_ = false;
};

}  // namespace coldcase
