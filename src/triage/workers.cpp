#include "triage/workers.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

namespace coldcase::triage {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t most_errors = 8192;

struct Running {
  std::size_t index = 0;
  pid_t pid = -1;
  int out = -1, err = -1;
  Clock::time_point start;
  Outcome outcome;
};

// Only calls that are safe between fork and exec.
[[noreturn]] void become_worker(char* const* arguments, int out, int err,
                                const WorkerLimits& limits, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it died before the line above
  const struct rlimit none { 0, 0 };
  ::setrlimit(RLIMIT_CORE, &none);
  const auto seconds = static_cast<rlim_t>(limits.seconds) + 5;
  const struct rlimit processor { seconds, seconds };
  ::setrlimit(RLIMIT_CPU, &processor);
  if (limits.memory_bytes != 0) {
    const struct rlimit data { limits.memory_bytes, limits.memory_bytes };
    ::setrlimit(RLIMIT_DATA, &data);
  }
  (void)::unshare(CLONE_NEWNET);  // where the user may: no network at all
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(null, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::execv(arguments[0], arguments);
  ::_exit(127);
}

bool start(const std::vector<std::string>& command, const WorkerLimits& limits, Running& worker) {
  std::array<int, 2> out{-1, -1};
  std::array<int, 2> err{-1, -1};
  if (::pipe2(out.data(), O_CLOEXEC) != 0) return false;
  if (::pipe2(err.data(), O_CLOEXEC) != 0) {
    ::close(out[0]);
    ::close(out[1]);
    return false;
  }
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  worker.start = Clock::now();
  worker.pid = ::fork();
  if (worker.pid == 0) become_worker(arguments.data(), out[1], err[1], limits, parent);
  ::close(out[1]);
  ::close(err[1]);
  worker.out = out[0];
  worker.err = err[0];
  ::fcntl(worker.out, F_SETFL, O_NONBLOCK);
  ::fcntl(worker.err, F_SETFL, O_NONBLOCK);
  return worker.pid > 0;
}

// Reads what is there; closes at the end. False when the limit is passed.
bool drain(int& fd, std::string& into, std::size_t limit, bool keep_reading) {
  std::array<char, 65536> buffer{};
  while (fd >= 0) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) {
      ::close(fd);
      fd = -1;
      return true;
    }
    const std::size_t room = limit - std::min(limit, into.size());
    into.append(buffer.data(), std::min(room, static_cast<std::size_t>(got)));
    if (room < static_cast<std::size_t>(got) && !keep_reading) return false;
  }
  return true;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class WorkerPool {
 public:
  WorkerPool(const std::vector<std::vector<std::string>>& commands, const WorkerLimits& limits,
             const std::function<void(std::size_t, Outcome)>& done)
      : commands_(commands), limits_(limits), done_(done) {}

  bool more() const { return next_ < commands_.size(); }
  std::size_t running() const { return workers_.size(); }

  void start_next() {
    Running worker;
    worker.index = next_++;
    if (start(commands_[worker.index], limits_, worker)) {
      workers_.push_back(std::move(worker));
    } else {
      done_(worker.index, Outcome{});
    }
  }

  // One round: wait for output up to 200 ms, read, enforce limits, collect the ended.
  void serve(bool stop) {
    std::vector<pollfd> fds;
    for (const Running& worker : workers_) {
      for (const int fd : {worker.out, worker.err}) {
        if (fd >= 0) fds.push_back({fd, POLLIN, 0});
      }
    }
    ::poll(fds.data(), fds.size(), fds.empty() ? 1 : 200);
    for (std::size_t i = workers_.size(); i-- > 0;) serve_one(workers_[i], stop);
    for (std::size_t i = workers_.size(); i-- > 0;) {
      if (collect(workers_[i])) workers_.erase(workers_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

 private:
  void end(Running& worker, Outcome::End why) {
    if (worker.outcome.end == Outcome::End::not_started) worker.outcome.end = why;
    ::kill(-worker.pid, SIGKILL);
    ::kill(worker.pid, SIGKILL);
  }

  void serve_one(Running& worker, bool stop) {
    if (!drain(worker.out, worker.outcome.output, limits_.output_bytes, false))
      end(worker, Outcome::End::flooded);
    (void)drain(worker.err, worker.outcome.errors, most_errors, true);
    if (seconds_since(worker.start) > limits_.seconds) end(worker, Outcome::End::timed_out);
    if (stop) end(worker, Outcome::End::stopped);
  }

  bool collect(Running& worker) {
    int status = 0;
    if (::waitpid(worker.pid, &status, WNOHANG) != worker.pid) return false;
    if (!drain(worker.out, worker.outcome.output, limits_.output_bytes, false) &&
        worker.outcome.end == Outcome::End::not_started) {
      worker.outcome.end = Outcome::End::flooded;
    }
    (void)drain(worker.err, worker.outcome.errors, most_errors, true);
    for (const int fd : {worker.out, worker.err}) {
      if (fd >= 0) ::close(fd);
    }
    worker.outcome.seconds = seconds_since(worker.start);
    if (worker.outcome.end == Outcome::End::not_started) {
      worker.outcome.end = WIFSIGNALED(status) ? Outcome::End::signaled : Outcome::End::exited;
      worker.outcome.code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    }
    done_(worker.index, std::move(worker.outcome));
    return true;
  }

  const std::vector<std::vector<std::string>>& commands_;
  const WorkerLimits& limits_;
  const std::function<void(std::size_t, Outcome)>& done_;
  std::vector<Running> workers_;
  std::size_t next_ = 0;
};

}  // namespace

std::vector<std::string> worker_command(const TriageOptions& options, std::string_view verb,
                                        const std::vector<std::string>& files) {
  std::vector<std::string> command = options.worker;
  command.emplace_back(verb);
  if (verb != "identify")
    command.insert(command.end(), options.reading.begin(), options.reading.end());
  command.emplace_back("--");
  command.insert(command.end(), files.begin(), files.end());
  return command;
}

void run_workers(const std::vector<std::vector<std::string>>& commands, unsigned jobs,
                 const WorkerLimits& limits, const std::function<void(std::size_t, Outcome)>& done,
                 const std::function<void(std::size_t)>& tick, const std::atomic<bool>& stop) {
  WorkerPool pool(commands, limits, done);
  while ((pool.more() && !stop) || pool.running() > 0) {
    while (pool.more() && !stop && pool.running() < std::max(jobs, 1u)) pool.start_next();
    pool.serve(stop);
    tick(pool.running());
  }
}

}  // namespace coldcase::triage
