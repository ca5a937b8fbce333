#include "modules/debuginfod_child.hpp"

#include <dlfcn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "modules/fetch_cache.hpp"

namespace coldcase::fetching {
namespace {

constexpr std::uint64_t most_bytes = std::uint64_t{2} << 30;  // of one file

// elfutils/debuginfod.h; the names are versioned since 0.178.
using Client = struct debuginfod_client;
using Progress = int (*)(Client*, long, long);
using Find = int (*)(Client*, const unsigned char*, int, char**);
using FindSection = int (*)(Client*, const unsigned char*, int, const char*, char**);

struct Library {
  Client* (*begin)() = nullptr;
  void (*set_progress)(Client*, Progress) = nullptr;
  void (*set_user_data)(Client*, void*) = nullptr;
  void* (*get_user_data)(Client*) = nullptr;
  Find find_executable = nullptr, find_debuginfo = nullptr;
  FindSection find_section = nullptr;  // since 0.188; without it no section is found

  bool complete() const {
    return begin != nullptr && set_progress != nullptr && set_user_data != nullptr &&
           get_user_data != nullptr && find_executable != nullptr && find_debuginfo != nullptr;
  }
};

template <class Function>
void look_up(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
}

Library library;  // of this child process alone; the progress function gets no other way to it

bool load_library() {
  void* handle = ::dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return false;
  look_up(handle, "debuginfod_begin", library.begin);
  look_up(handle, "debuginfod_set_progressfn", library.set_progress);
  look_up(handle, "debuginfod_set_user_data", library.set_user_data);
  look_up(handle, "debuginfod_get_user_data", library.get_user_data);
  look_up(handle, "debuginfod_find_executable", library.find_executable);
  look_up(handle, "debuginfod_find_debuginfo", library.find_debuginfo);
  look_up(handle, "debuginfod_find_section", library.find_section);
  return library.complete();
}

// A file's descriptor or an error number, negative.
int find(Client* client, const FetchItem& item, char** path) {
  const auto* id = reinterpret_cast<const unsigned char*>(item.of.build_id.c_str());
  if (item.of.kind == FetchKind::executable) return library.find_executable(client, id, 0, path);
  if (item.section.empty()) return library.find_debuginfo(client, id, 0, path);
  if (library.find_section == nullptr) return -ENOENT;
  return library.find_section(client, id, 0, std::string(item.section).c_str(), path);
}

// One client's state, as its progress function finds it.
struct Worker {
  const Task& task;
  Shared& shared;
  int out;
  std::size_t slot;
  std::uint64_t bytes_before = 0;
  std::uint64_t current = 0;
  bool asked = false, got_bytes = false;
  std::int32_t cut_short = 0;     // why this request was ended by us
  bool whole_debug_file = false;  // for which sections could do
  std::chrono::steady_clock::time_point first_byte{};

  // For the library: not 0 ends the request.
  int cut(std::int32_t why) {
    cut_short = why;
    return 1;
  }
};

// Said only where there is little doubt: others may be on their way beside it, and be done soon.
bool is_hopeless(Worker& worker, std::uint64_t bytes, long all) {
  constexpr std::uint64_t enough = std::uint64_t{128} << 10;
  constexpr double doubt = 2, least_seconds = 1;
  const auto now = std::chrono::steady_clock::now();
  if (bytes == 0) worker.first_byte = now;
  if (!worker.whole_debug_file || bytes < enough || all <= 0) return false;
  const double spent = std::chrono::duration<double>(now - worker.first_byte).count();
  const double left = std::chrono::duration<double>(worker.task.end - now).count();
  const double needed = spent * (static_cast<double>(all) / static_cast<double>(bytes) - 1);
  return spent >= least_seconds && needed > doubt * left;
}

// A file's own affair, not a failure of the server.
bool is_an_answer(int result) {
  return result == 0 || result == -ENOENT || result == -EFBIG || result == Record::too_slow;
}

// Called about once a second, and for whatever arrives, as long as servers are being asked. Once a
// server was chosen `all` is not 0: the size, or -1 when it does not tell it (0.188); `now` counts
// calls before, bytes after.
int on_progress(Client* client, long now, long all) {
  auto& worker = *static_cast<Worker*>(library.get_user_data(client));
  worker.asked = true;
  const bool chosen = all != 0;
  const auto bytes = now > 0 ? static_cast<std::uint64_t>(now) : 0;
  if (chosen) {
    worker.current = bytes;
    worker.shared.bytes[worker.slot] = worker.bytes_before + bytes;
    worker.got_bytes = worker.got_bytes || bytes > 0 || all > 0;
  }
  if (worker.task.first_byte_only && worker.got_bytes) return worker.cut(-ETIME);
  // The library itself compares with DEBUGINFOD_MAXSIZE only what a server says beforehand.
  if (bytes > most_bytes) return worker.cut(-EFBIG);
  if (std::chrono::steady_clock::now() >= worker.task.end) return worker.cut(-ETIME);
  if (chosen && is_hopeless(worker, bytes, all)) return worker.cut(Record::too_slow);
  return !chosen && worker.shared.stopped != 0 ? worker.cut(-ECANCELED) : 0;
}

void send(const Worker& worker, Record record, const char* path) {
  char message[sizeof(Record) + longest_path];
  record.path_size = path == nullptr ? 0 : static_cast<std::uint32_t>(std::strlen(path));
  if (record.path_size > longest_path) {
    record.result = -ENAMETOOLONG;
    record.path_size = 0;
  }
  std::memcpy(message, &record, sizeof record);
  if (record.path_size > 0) std::memcpy(message + sizeof record, path, record.path_size);
  (void)!::write(worker.out, message, sizeof record + record.path_size);
}

// The library (0.188) takes a request that is cut short for one that no server can answer, and
// remembers that for ten minutes, as an empty file: a later run would not ask.
void forget(const Task& task, const FetchItem& item) {
  const std::string folder = task.cache.empty() ? cache_folder() : task.cache;
  const std::string path = folder + "/" + item.of.build_id + "/" + cached_name(item);
  struct stat about {};
  if (::stat(path.c_str(), &about) == 0 && about.st_size == 0) ::unlink(path.c_str());
}

void begin(Worker& worker, const FetchItem& item) {
  worker.asked = worker.got_bytes = false;
  worker.cut_short = 0;
  worker.current = 0;
  worker.first_byte = std::chrono::steady_clock::now();
  worker.whole_debug_file =
      item.section.empty() && item.of.kind == FetchKind::debuginfo && !worker.task.first_byte_only;
}

// Of what the library returned: a file's descriptor, or an error number.
std::int32_t result_of(const Worker& worker, const FetchItem& item, int returned) {
  if (returned >= 0 || (worker.task.first_byte_only && worker.got_bytes)) return 0;
  if (worker.cut_short != 0) {
    forget(worker.task, item);
    return worker.cut_short;
  }
  // What an old server or library says to a section it does not know is no failure of the server.
  return !item.section.empty() && returned != -ETIME ? -ENOENT : returned;
}

void work(Worker worker) {
  Client* client = library.begin();
  if (client == nullptr) return;
  library.set_user_data(client, &worker);
  library.set_progress(client, on_progress);
  const auto& requests = *worker.task.requests;
  for (;;) {
    const std::uint32_t index = worker.shared.next++;
    if (index >= requests.size() || std::chrono::steady_clock::now() >= worker.task.end) break;
    if (worker.shared.stopped != 0 && !worker.task.first_byte_only) break;
    begin(worker, requests[index]);
    char* path = nullptr;
    const int file = find(client, requests[index], &path);
    worker.bytes_before += worker.current;
    const Record record{index, result_of(worker, requests[index], file), worker.asked ? 1U : 0U, 0};
    // The one that failed tells the others; what was cut short by that is asked for again.
    if (!is_an_answer(record.result)) worker.shared.stopped = 1;
    send(worker, record, file >= 0 ? path : nullptr);
    if (file >= 0) ::close(file);
    std::free(path);  // NOLINT: the library hands out malloc'ed memory
  }
}

// Ends with the process that starts it.
void end_with(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(0);
}

// A process of its own: up to 0.189 the library closes its cache's settings twice on each request,
// and so, among threads, somebody else's connection or file (sourceware PR29696). What could not be
// started is done by the others.
void begin_client(const Worker& worker) {
  const pid_t parent = ::getpid();
  if (::fork() != 0) return;
  end_with(parent);
  work(worker);
  ::_exit(0);
}

// Seconds as the library's environment wants them; the user's own, shorter choice stands.
void set_limit(const char* name, std::uint64_t limit) {
  const char* own = std::getenv(name);
  const std::uint64_t chosen = own == nullptr ? 0 : std::strtoull(own, nullptr, 10);
  if (chosen > 0 && chosen <= limit) return;
  ::setenv(name, std::to_string(limit).c_str(), 1);
}

void set_environment(const Task& task) {
  ::setenv("DEBUGINFOD_URLS", task.servers.c_str(), 1);
  if (!task.cache.empty()) ::setenv("DEBUGINFOD_CACHE_PATH", task.cache.c_str(), 1);
  set_limit("DEBUGINFOD_TIMEOUT", static_cast<std::uint64_t>(task.patience.count()));
  set_limit("DEBUGINFOD_MAXSIZE", most_bytes);
  ::setenv("DEBUGINFOD_RETRY_LIMIT", "0", 1);
  ::unsetenv("DEBUGINFOD_PROGRESS");
  ::unsetenv("DEBUGINFOD_VERBOSE");
}

}  // namespace

void answer(const Task& task, Shared& shared, int out, pid_t parent) {
  end_with(parent);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, SIG_DFL);
  std::signal(SIGPIPE, SIG_IGN);
  set_environment(task);
  if (!load_library()) {
    send(Worker{task, shared, out, 0}, {Record::no_library, -ENOSYS, 0, 0}, nullptr);
    ::_exit(0);
  }
  const std::size_t count = std::min(most_workers, task.requests->size());
  for (std::size_t i = 1; i < count; ++i) begin_client(Worker{task, shared, out, i});
  work(Worker{task, shared, out, 0});
  while (::wait(nullptr) > 0) {
  }
  ::_exit(0);
}

}  // namespace coldcase::fetching
