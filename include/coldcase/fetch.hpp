// Files of the dead process from debuginfod servers: who is asked, and for how long. Nobody is
// asked unless the caller names a server; none is ever taken from a core.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace coldcase {

// sections: the debug file is too large, and parts of it (section_names) are here in its place.
enum class FetchKind : std::uint8_t { executable, debuginfo, sections };

struct FetchRequest {
  std::string build_id;  // hex digits
  FetchKind kind = FetchKind::debuginfo;
  friend auto operator<=>(const FetchRequest&, const FetchRequest&) = default;
};

// For the report: what went wrong, and what to do.
struct FetchNote {
  std::string_view code;
  bool warning = true;
  std::string text, advice, command;
};

struct FetchProgress {
  std::size_t wanted = 0, answered = 0;  // files of this round
  std::uint64_t bytes = 0;               // of files that are on their way or here, in the whole run
  double seconds_left = 0;
  std::string servers;  // as asked, for display
  bool finished = false;
};

struct FetchOptions {
  std::string servers;      // as in DEBUGINFOD_URLS, separated by spaces; empty: nobody is asked
  bool cache_only = false;  // what came earlier is used (debuginfod's cache), nobody is asked
  double seconds = 60;      // for all files of a run together
  std::function<void(const FetchProgress&)> progress;  // about ten times a second
  const std::atomic<bool>* stop = nullptr;             // when it becomes true the fetching ends
};

// Brings files into debuginfod's cache, where analyses that run with `cache_only` find them.
// What came is not looked into here: whoever opens a file checks its build-id.
class FileServers {
 public:
  explicit FileServers(const FetchOptions& options);
  ~FileServers();
  FileServers(FileServers&&) noexcept;
  FileServers& operator=(FileServers&&) noexcept;

  // All at once; for each whether it is in the cache now. The time of all calls is one.
  std::vector<bool> fetch(const std::vector<FetchRequest>& requests);
  // What the servers did wrong so far.
  const std::vector<FetchNote>& troubles() const;

 private:
  struct Inner;
  std::unique_ptr<Inner> inner_;
};

}  // namespace coldcase
