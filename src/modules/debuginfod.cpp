#include "modules/debuginfod.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <new>
#include <optional>

#include "base/text.hpp"
#include "bytes/handles.hpp"
#include "modules/debuginfod_child.hpp"
#include "modules/fetch_cache.hpp"

namespace coldcase {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using fetching::Record;

constexpr milliseconds beat{100};   // between looks at the child
constexpr milliseconds grace{250};  // for the child to put away what it was writing
constexpr std::chrono::seconds most_patience{10};

// "https://me:word@host/x" -> "https://host/x"
std::string shown(std::string_view server) {
  std::string text(server);
  const auto scheme = text.find("://");
  const auto at = text.find('@');
  if (scheme != std::string::npos && at != std::string::npos && at < text.find('/', scheme + 3))
    text.erase(scheme + 3, at - scheme - 2);
  return clean_text(text, 200);
}

std::vector<std::string> words_in(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const auto end = std::min(text.find_first_of(" \t\n"), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

// The shared memory of parent and child, and the pipe between them.
class Link {
 public:
  Link() {
    void* memory = ::mmap(nullptr, sizeof(fetching::Shared), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) shared_ = new (memory) fetching::Shared;
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) == 0) {
      in = FileHandle{ends[0]};
      out = FileHandle{ends[1]};
    }
  }
  ~Link() {
    if (shared_ != nullptr) ::munmap(shared_, sizeof(fetching::Shared));
  }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  bool valid() const { return shared_ != nullptr && in.valid(); }
  fetching::Shared& shared() const { return *shared_; }
  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const auto& part : shared_->bytes) sum += part;
    return sum;
  }

  FileHandle in, out;

 private:
  fetching::Shared* shared_ = nullptr;
};

// A folder of our own that is gone afterwards.
class TemporaryCache {
 public:
  TemporaryCache() {
    std::error_code problem;
    std::string name = (std::filesystem::temp_directory_path(problem) / "coldcase-XXXXXX").string();
    if (!problem && ::mkdtemp(name.data()) != nullptr) path = name;
  }
  ~TemporaryCache() {
    std::error_code ignored;
    if (!path.empty()) std::filesystem::remove_all(path, ignored);
  }
  TemporaryCache(const TemporaryCache&) = delete;
  TemporaryCache& operator=(const TemporaryCache&) = delete;
  std::string path;
};

std::string reason_of(int error) {
  if (error == ETIME || error == ETIMEDOUT) return "did not answer in time";
  return std::strerror(error);
}

// What comes from the child within a beat. One write below PIPE_BUF is read whole.
struct Reading {
  bool ended = false;
  std::optional<Record> record;
  std::string path;
};

Reading read_record(int in) {
  pollfd waiting{in, POLLIN, 0};
  const int ready = ::poll(&waiting, 1, static_cast<int>(beat.count()));
  if (ready <= 0) return {ready < 0 && errno != EINTR, {}, {}};
  Record record;
  if (::read(in, &record, sizeof record) != static_cast<ssize_t>(sizeof record))
    return {true, {}, {}};
  std::string path(std::min<std::size_t>(record.path_size, fetching::longest_path), '\0');
  if (!path.empty() && ::read(in, path.data(), path.size()) < 0) return {true, {}, {}};
  return {false, record, std::move(path)};
}

// The clients that it started end with it: then nobody holds the pipe's other end.
void end_child(pid_t child, int in) {
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  pollfd ended{in, 0, 0};
  ::poll(&ended, 1, static_cast<int>(grace.count()));
}

}  // namespace

struct Debuginfod::Round {
  std::vector<std::string> servers;
  std::vector<FetchItem> requests;
  std::string cache;
  bool first_byte_only = false;
  std::chrono::seconds patience{1};

  std::vector<FetchAnswer> answers;
  std::vector<bool> asked;
  int error = 0;  // of the first request that a server failed
  std::size_t failed = 0;
  bool timed_out = false;

  void take(const Record& record, std::string path);
};

void Debuginfod::Round::take(const Record& record, std::string path) {
  if (record.index >= answers.size()) return;
  FetchAnswer& answer = answers[record.index];
  asked[record.index] = record.asked != 0;
  if (record.result == 0) {
    answer.outcome = FetchAnswer::Outcome::found;
    answer.path = std::move(path);
  } else if (record.result == -ENOENT) {
    answer.outcome = FetchAnswer::Outcome::unknown_there;
  } else if (record.result == -EFBIG || record.result == Record::too_slow) {
    answer.outcome = FetchAnswer::Outcome::too_large;
    answer.too_slow = record.result == Record::too_slow;
  } else if (error == 0 && record.result != -ECANCELED) {
    error = -record.result;
    failed = record.index;
  }
}

Debuginfod::Debuginfod(FetchOptions options)
    : options_(std::move(options)),
      servers_(words_in(options_.servers)),
      left_(static_cast<std::int64_t>(options_.seconds * 1000)) {
  // "ima:enforcing" and the like (elfutils 0.192) govern the servers behind them: no server is
  // asked alone then.
  const auto is_server = [](const std::string& word) {
    return word.find("://") != std::string::npos;
  };
  if (std::ranges::none_of(servers_, is_server)) servers_.clear();
  if (!std::ranges::all_of(servers_, is_server)) servers_ = {join(servers_, " ")};
  asked_ = servers_;
}

void Debuginfod::run(Round& round) {
  round.answers.assign(round.requests.size(), {});
  round.asked.assign(round.requests.size(), false);
  Link link;
  if (!link.valid()) return;
  const auto begin = Clock::now();
  round.patience = std::clamp(std::chrono::duration_cast<std::chrono::seconds>(left_ / 3),
                              std::chrono::seconds(1), most_patience);
  const fetching::Task task{join(round.servers, " "), round.cache,
                            &round.requests,          begin + left_,
                            round.patience,           round.first_byte_only};
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return;
  if (child == 0) fetching::answer(task, link.shared(), link.out.get(), parent);
  link.out = FileHandle{};
  FetchProgress progress{round.requests.size(), 0, 0, 0, {}, false};
  std::vector<std::string> names;
  for (const std::string& server : round.servers) names.push_back(shown(server));
  progress.servers = join(names, ", ");
  const auto report = [&](bool finished) {
    progress.bytes = bytes_before_ + link.bytes();
    progress.seconds_left =
        std::max(0.0, std::chrono::duration<double>(task.end - Clock::now()).count());
    progress.finished = finished;
    if (options_.progress && !round.first_byte_only) options_.progress(progress);
  };
  while (Clock::now() <= task.end + grace && !stopped()) {
    const Reading reading = read_record(link.in.get());
    if (reading.ended) break;
    if (reading.record) {
      library_missing_ = library_missing_ || reading.record->index == Record::no_library;
      round.take(*reading.record, reading.path);
      ++progress.answered;
    }
    report(false);
  }
  end_child(child, link.in.get());
  report(true);
  bytes_before_ += link.bytes();
  round.timed_out = Clock::now() >= task.end;
  left_ = std::max(milliseconds(0),
                   left_ - std::chrono::duration_cast<milliseconds>(Clock::now() - begin));
}

void Debuginfod::drop(const std::string& server, const std::string& why) {
  // By its number: reports leave out names of hosts.
  const auto number = std::ranges::find(asked_, server) - asked_.begin() + 1;
  const std::string which = asked_.size() == 1 ? "the debuginfod server"
                                               : "debuginfod server " + std::to_string(number) +
                                                     " of " + std::to_string(asked_.size());
  troubles_.push_back({"debuginfod", true, which + " failed (" + why + ") and was not asked again",
                       "run again when it answers: what came is kept", ""});
  std::erase(servers_, server);
}

// Several servers were asked together, and the library does not tell which of them failed. Each is
// asked alone for what failed, into a cache that is thrown away, until its first byte.
void Debuginfod::drop_failing(const FetchItem& sample) {
  for (const std::string& server : std::vector<std::string>(servers_)) {
    const TemporaryCache cache;
    if (!time_left() || cache.path.empty()) return;
    Round round;
    round.servers = {server};
    round.requests = {sample};
    round.cache = cache.path;
    round.first_byte_only = true;
    run(round);
    if (round.error != 0) drop(server, reason_of(round.error));
  }
}

void Debuginfod::note_too_large(const std::vector<FetchRequest>& requests,
                                const std::vector<FetchAnswer>& answers) {
  std::string command;
  std::size_t large = 0, slow = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (answers[i].outcome != FetchAnswer::Outcome::too_large) continue;
    slow += answers[i].too_slow ? 1 : 0;
    if (answers[i].too_slow || large++ != 0) continue;
    const bool program = requests[i].kind == FetchKind::executable;
    command = std::string("debuginfod-find ") + (program ? "executable " : "debuginfo ") +
              requests[i].build_id;
  }
  if (large > 0) {
    troubles_.push_back({"debuginfod", true,
                         counted(large, "file") +
                             " of debuginfod servers did not come whole: larger "
                             "than what is fetched without asking (2 GiB, or DEBUGINFOD_MAXSIZE)",
                         "fetch by hand what is worth it, then run again", std::move(command)});
  }
  if (slow > 0) {
    troubles_.push_back({"debuginfod", true,
                         counted(slow, "file") +
                             " of debuginfod servers did not come whole: that "
                             "would have taken far longer than the time that was left",
                         "run again and give it more with --time-budget SECONDS", ""});
  }
}

std::vector<FetchAnswer> Debuginfod::fetch(const std::vector<FetchRequest>& requests) {
  if (options_.cache_only) return find_cached(requests);
  std::vector<FetchItem> items;
  items.reserve(requests.size());
  for (const FetchRequest& request : requests) items.push_back({request, {}});
  std::vector<FetchAnswer> answers = ask(items, "");
  add_sections(requests, answers);
  note_too_large(requests, answers);
  return answers;
}

// A server that knows no sections (before 0.188) has the library ask for the whole file again,
// which is too large as before.
void Debuginfod::add_sections(const std::vector<FetchRequest>& requests,
                              std::vector<FetchAnswer>& answers) {
  std::vector<FetchItem> items;
  std::vector<std::string*> places;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (answers[i].outcome != FetchAnswer::Outcome::too_large ||
        requests[i].kind != FetchKind::debuginfo)
      continue;
    for (std::size_t k = 0; k < section_names.size(); ++k) {
      items.push_back({requests[i], section_names[k]});
      places.push_back(&answers[i].sections[k]);
    }
  }
  if (items.empty()) return;
  std::vector<FetchAnswer> parts = ask(items, section_folder());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].outcome == FetchAnswer::Outcome::found) *places[i] = std::move(parts[i].path);
  }
}

std::vector<FetchAnswer> Debuginfod::ask(const std::vector<FetchItem>& requests,
                                         const std::string& cache) {
  std::vector<FetchAnswer> answers(requests.size());
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < requests.size(); ++i) open.push_back(i);
  // Each round but the last drops a server.
  while (!open.empty() && on() && time_left() && !library_missing_) {
    Round round;
    round.servers = servers_;
    round.cache = cache;
    for (const std::size_t i : open) round.requests.push_back(requests[i]);
    run(round);
    std::vector<std::size_t> still;
    for (std::size_t i = 0; i < open.size(); ++i) {
      answers[open[i]] = round.answers[i];
      if (round.answers[i].outcome == FetchAnswer::Outcome::not_answered) still.push_back(open[i]);
    }
    open = still;
    if (stopped()) break;
    if (library_missing_) {
      troubles_.push_back({"debuginfod", true,
                           "libdebuginfod.so.1 is not on this machine: no server was asked", "",
                           "apt-get install libdebuginfod1"});
    } else if (round.timed_out) {
      troubles_.push_back(
          {"debuginfod", true,
           "the time for fetching files was over after " +
               seconds_text(static_cast<std::uint64_t>(options_.seconds * 1000)) + ": " +
               counted(open.size(), "file") + " did not come",
           "run again, what came is kept; or give it more with --time-budget SECONDS", ""});
    } else if (round.error == 0) {
      if (!open.empty())
        troubles_.push_back({"debuginfod", true,
                             "asking debuginfod servers ended without an answer for " +
                                 counted(open.size(), "file"),
                             "", ""});
      break;
    } else if (servers_.size() == 1) {
      drop(servers_.front(), reason_of(round.error));
    } else {
      const std::size_t before = servers_.size();
      drop_failing(round.requests[round.failed]);
      if (servers_.size() == before) break;
    }
  }
  return answers;
}

}  // namespace coldcase
