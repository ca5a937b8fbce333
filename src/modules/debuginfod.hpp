// Files by build-id from debuginfod servers, through elfutils' libdebuginfod and its cache
// (debuginfod_find_debuginfo(3)). The library is loaded only when something is asked for, and in a
// child process: a round ends in its time whatever a server or a resolver does, Ctrl-C needs no
// handler, and libcurl's memory is not ours. What a server sends is not proved here.
#pragma once

#include <chrono>
#include <coldcase/fetch.hpp>
#include <string>
#include <vector>

namespace coldcase {

enum class FetchKind : std::uint8_t { executable, debuginfo };

struct FetchRequest {
  std::string build_id;  // hex digits
  FetchKind kind = FetchKind::debuginfo;
  friend auto operator<=>(const FetchRequest&, const FetchRequest&) = default;
};

struct FetchAnswer {
  // not_answered: no server is left, the time was over, or the library is missing.
  enum class Outcome : std::uint8_t { found, unknown_there, not_answered };
  Outcome outcome = Outcome::not_answered;
  std::string path;  // in the library's cache
};

// For the report: what went wrong, and what to do.
struct FetchNote {
  std::string_view code;
  bool warning = true;
  std::string text, advice, command;
};

class Debuginfod {
 public:
  explicit Debuginfod(FetchOptions options);

  bool on() const { return !servers_.empty(); }
  // All at once; one answer for each request, in their order.
  std::vector<FetchAnswer> fetch(const std::vector<FetchRequest>& requests);

  const std::vector<FetchNote>& troubles() const { return troubles_; }

 private:
  struct Round;
  void run(Round& round);
  void drop_failing(const FetchRequest& sample);
  void drop(const std::string& server, const std::string& why);
  bool time_left() const { return left_ > std::chrono::milliseconds(0); }

  FetchOptions options_;
  std::vector<std::string> servers_;  // without those that failed
  std::vector<std::string> asked_;    // all
  std::vector<FetchNote> troubles_;
  std::chrono::milliseconds left_;
  std::uint64_t bytes_before_ = 0;
  bool library_missing_ = false;
};

}  // namespace coldcase
