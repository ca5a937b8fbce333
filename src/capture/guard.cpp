#include "capture/guard.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <utility>
#include <vector>

#include "capture/guardian.hpp"
#include "capture/proc_files.hpp"

namespace coldcase::capture {
namespace {

using Clock = std::chrono::steady_clock;

void nap() {
  ::poll(nullptr, 0, 1);
}

// A signal to the very process that was looked at: its number may be another's by now.
bool send(const Target& target, int signal) {
  const auto pid = static_cast<pid_t>(target.pid);
  const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0 && errno != ENOSYS) return false;
  const auto stat = stat_of(target.pid);
  const bool same = stat && stat->start == target.start && !has_ended(target.pid, *stat);
  const bool sent =
      same && (fd < 0 ? ::kill(pid, signal)  // before Linux 5.3
                      : ::syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0)) == 0;
  if (fd >= 0) ::close(fd);
  return sent;
}

bool is_stopped(std::int64_t pid) {
  const auto stat = stat_of(pid);
  return stat && (stat->state == 'T' || stat->state == 't');
}

class Guard {
 public:
  explicit Guard(const GuardSetup& setup) : setup_(setup) { stopped_.reserve(most_targets); }

  void serve() {
    Request request;
    while (::recv(setup_.socket, &request, sizeof request, 0) ==
           static_cast<ssize_t>(sizeof request)) {
      Reply reply;
      switch (request.what) {
        case Ask::stop:
          reply.result = static_cast<std::int32_t>(stop({request.pid, request.start, false}));
          break;
        case Ask::dump:
          reply = dump(request.pid);
          break;
        case Ask::resume:
          resume();
          break;
      }
      if (::send(setup_.socket, &reply, sizeof reply, MSG_NOSIGNAL) < 0) return;
    }
  }

  void resume() {
    for (const Target& target : stopped_) (void)send(target, SIGCONT);
    // A stop signal that was under way could win against the first: look, and say it again.
    for (int i = 0; i < 500; ++i) {
      bool all = true;
      for (const Target& target : stopped_) {
        if (!is_stopped(target.pid)) continue;
        all = false;
        if (i % 50 == 49) (void)send(target, SIGCONT);
      }
      if (all) break;
      nap();
    }
    stopped_.clear();
  }

 private:
  StopResult stop(const Target& target) {
    const auto before = stat_of(target.pid);
    if (!before || before->start != target.start || has_ended(target.pid, *before))
      return StopResult::gone;
    if (before->state == 'T') return StopResult::was_stopped;
    stopped_.push_back(target);
    if (!send(target, SIGSTOP)) return StopResult::gone;
    for (int i = 0; i < 2000; ++i) {
      if (is_stopped(target.pid)) return StopResult::stopped;
      nap();
    }
    return StopResult::not_stopping;
  }

  // Only calls that are safe between fork and exec.
  [[noreturn]] void become_gcore(const char* pid) const {
    ::setpgid(0, 0);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP})
      ::signal(signal, SIG_DFL);
    ::umask(077);
    ::dup2(setup_.said, STDOUT_FILENO);
    ::dup2(setup_.said, STDERR_FILENO);
    std::array<const char*, 5> words{setup_.gcore, "-o", "core", pid, nullptr};
    if (::fchdir(setup_.folder) == 0)
      ::execve(setup_.gcore, const_cast<char* const*>(words.data()), setup_.environment);
    ::_exit(127);
  }

  Reply dump(std::int64_t pid) {
    std::array<char, 32> number{};
    std::snprintf(number.data(), number.size(), "%lld", static_cast<long long>(pid));
    std::array<char, 48> name{};
    std::snprintf(name.data(), name.size(), "core.%s", number.data());
    if (::ftruncate(setup_.said, 0) != 0 || ::lseek(setup_.said, 0, SEEK_SET) != 0) return {3, 0};
    const pid_t child = ::fork();
    if (child == 0) become_gcore(number.data());
    if (child < 0) return {static_cast<std::int32_t>(Dump::End::lost), errno};
    ::setpgid(child, child);
    int status = 0;
    const Dump::End end = await(child, name.data(), status);
    if (end != Dump::End::exited) {
      end_group(child);
      ::unlinkat(setup_.folder, name.data(), 0);  // half a core
    }
    return {static_cast<std::int32_t>(end), status};
  }

  // Until gcore ends, the other side is gone, or nothing was written for too long.
  Dump::End await(pid_t child, const char* name, int& status) const {
    constexpr std::pair<off_t, blkcnt_t> absent{-1, -1};
    auto seen = absent;
    auto last = Clock::now();
    for (int round = 0;; ++round) {
      if (::waitpid(child, &status, WNOHANG) == child) return Dump::End::exited;
      pollfd socket{setup_.socket, POLLRDHUP, 0};
      ::poll(&socket, 1, round < 100 ? 5 : 50);
      if (socket.revents != 0) return Dump::End::interrupted;
      struct stat about {};
      std::pair<off_t, blkcnt_t> now = absent;  // somebody may have removed it
      if (::fstatat(setup_.folder, name, &about, AT_SYMLINK_NOFOLLOW) == 0)
        now = {about.st_size, about.st_blocks};
      if (seen != now) last = Clock::now();
      seen = now;
      if (Clock::now() - last > std::chrono::seconds(stall_seconds)) return Dump::End::stalled;
    }
  }

  // gcore is a script; its gdb becomes our child when the script dies (PR_SET_CHILD_SUBREAPER).
  // gdb detaches on SIGTERM; on SIGKILL the kernel does it. Only then may a process go on.
  static void end_group(pid_t group) {
    ::kill(-group, SIGTERM);
    for (int i = 0; i < 10000; ++i) {
      if (i == 2000) ::kill(-group, SIGKILL);
      const pid_t ended = ::waitpid(-1, nullptr, WNOHANG);
      if (ended < 0 && errno == ECHILD) return;
      if (ended == 0) nap();
    }
  }

  const GuardSetup& setup_;
  std::vector<Target> stopped_;
};

}  // namespace

void guard(const GuardSetup& setup) {
  ::setsid();  // not of the terminal's process group: Ctrl-C is not for us
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP})
    ::signal(signal, SIG_IGN);
  ::signal(SIGCHLD, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_NAME, "coldcase-guard");
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  Guard guard(setup);
  guard.serve();
  guard.resume();
  ::_exit(0);
}

}  // namespace coldcase::capture
