#include "modules/debuginfod_child.hpp"

#include <dlfcn.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace coldcase::fetching {
namespace {

constexpr std::uint64_t most_bytes = std::uint64_t{2} << 30;  // of one file

// elfutils/debuginfod.h; the names are versioned since 0.178.
using Client = struct debuginfod_client;
using Progress = int (*)(Client*, long, long);
using Find = int (*)(Client*, const unsigned char*, int, char**);

struct Library {
  Client* (*begin)() = nullptr;
  void (*set_progress)(Client*, Progress) = nullptr;
  void (*set_user_data)(Client*, void*) = nullptr;
  void* (*get_user_data)(Client*) = nullptr;
  Find find_executable = nullptr, find_debuginfo = nullptr;

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
  return library.complete();
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
};

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
  if (worker.task.first_byte_only && worker.got_bytes) return 1;
  if (bytes > most_bytes || std::chrono::steady_clock::now() >= worker.task.end) return 1;
  return !chosen && worker.shared.stopped != 0 ? 1 : 0;
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
    const FetchRequest& request = requests[index];
    const Find find =
        request.kind == FetchKind::executable ? library.find_executable : library.find_debuginfo;
    worker.asked = worker.got_bytes = false;
    worker.current = 0;
    char* path = nullptr;
    const int file =
        find(client, reinterpret_cast<const unsigned char*>(request.build_id.c_str()), 0, &path);
    worker.bytes_before += worker.current;
    Record record{index, std::min(file, 0), worker.asked ? 1U : 0U, 0};
    if (worker.task.first_byte_only && worker.got_bytes) record.result = 0;
    // The one that failed tells the others; what was cut short by that is asked for again.
    if (record.result < 0 && record.result != -ENOENT) worker.shared.stopped = 1;
    send(worker, record, file >= 0 ? path : nullptr);
    if (file >= 0) ::close(file);
    std::free(path);  // NOLINT: the library hands out malloc'ed memory
  }
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
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(0);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, SIG_DFL);
  std::signal(SIGPIPE, SIG_IGN);
  set_environment(task);
  if (!load_library()) {
    send(Worker{task, shared, out, 0}, {Record::no_library, -ENOSYS, 0, 0}, nullptr);
    ::_exit(0);
  }
  std::vector<std::thread> clients;
  const std::size_t count = std::min(most_workers, task.requests->size());
  for (std::size_t i = 1; i < count; ++i) clients.emplace_back(work, Worker{task, shared, out, i});
  work(Worker{task, shared, out, 0});
  for (std::thread& client : clients) client.join();
  ::_exit(0);
}

}  // namespace coldcase::fetching
