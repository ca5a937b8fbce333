#include "capture/targets.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "capture/messages.hpp"
#include "capture/proc_files.hpp"

namespace coldcase::capture {
namespace {

constexpr std::uint64_t kernel_thread = 0x200000;  // PF_KTHREAD, Linux include/linux/sched.h
constexpr std::uint64_t cap_sys_ptrace = std::uint64_t{1} << 19;
constexpr int most_readings = 16;

Target check_named(std::int64_t pid) {
  if (pid <= 0 || pid > std::numeric_limits<pid_t>::max()) throw messages::bad_pid(pid);
  const auto status = read_proc(proc_path(pid, "status"));
  const auto stat = stat_of(pid);
  if (!status || !stat) throw messages::no_process(pid);
  if (pid == ::getpid()) throw messages::own_process(pid);
  const Status parts = parse_status(*status);
  if (parts.tgid != pid) throw messages::is_thread(pid, parts.tgid);
  if ((stat->flags & kernel_thread) != 0) throw messages::kernel_thread(pid, stat->name);
  if (has_ended(pid, *stat)) throw messages::has_ended(pid, stat->ppid);
  return {pid, stat->start, true};
}

bool contains(const std::vector<Target>& targets, std::int64_t pid) {
  return std::ranges::find(targets, pid, &Target::pid) != targets.end();
}

// Breadth first; what ended meanwhile is left out.
void add_descendants(std::vector<Target>& targets) {
  for (std::size_t i = 0; i < targets.size(); ++i) {
    for (const std::int64_t child : children_of(targets[i].pid)) {
      const auto stat = stat_of(child);
      const bool alive = stat && !has_ended(child, *stat);
      if (!alive || child == ::getpid() || contains(targets, child)) continue;
      if (targets.size() >= most_targets) throw messages::too_many(most_targets);
      targets.push_back({child, stat->start, false});
    }
  }
}

bool same(const std::vector<Target>& a, const std::vector<Target>& b) {
  return std::ranges::equal(a, b, {}, &Target::pid, &Target::pid);
}

std::int64_t ptrace_scope() {
  const auto text = read_proc("/proc/sys/kernel/yama/ptrace_scope");
  const auto numbers = parse_numbers(text.value_or(""));
  return numbers.empty() ? 0 : numbers.front();
}

bool may_ptrace_all() {
  const auto own = read_proc("/proc/self/status");
  return own && (parse_status(*own).capabilities & cap_sys_ptrace) != 0;
}

}  // namespace

std::vector<Target> find_targets(const std::vector<std::int64_t>& pids, bool tree) {
  std::vector<Target> named;
  for (const std::int64_t pid : pids) {
    if (!contains(named, pid)) named.push_back(check_named(pid));
  }
  return tree ? with_descendants(named) : named;
}

std::vector<Target> with_descendants(const std::vector<Target>& named) {
  std::vector<Target> targets = named;
  add_descendants(targets);
  for (int i = 0; i < most_readings; ++i) {
    std::vector<Target> again = named;
    add_descendants(again);
    if (same(targets, again)) break;
    targets = std::move(again);
  }
  return targets;
}

// Opening /proc/PID/mem asks the kernel the very question that attaching would (PTRACE_MODE_ATTACH,
// Yama included), and does nothing to the process.
std::optional<Error> find_obstacle(std::int64_t pid) {
  const auto text = read_proc(proc_path(pid, "status"));
  if (!text) return messages::no_process(pid);
  const Status status = parse_status(*text);
  if (status.tracer != 0) return messages::is_traced(pid, status.tracer);
  const int fd = ::open(proc_path(pid, "mem").c_str(), O_RDONLY | O_CLOEXEC);
  const int error = errno;
  if (fd >= 0) {
    ::close(fd);
    return std::nullopt;
  }
  if (error == ENOENT || error == ESRCH) return messages::no_process(pid);
  const auto own = static_cast<std::int64_t>(::geteuid());
  if (own != 0 && status.uid != own) return messages::other_user(pid, status.uid);
  if (own == 0 && !may_ptrace_all()) return messages::no_capability(pid);
  const std::int64_t scope = ptrace_scope();
  if (scope > 0) return messages::ptrace_scope(pid, scope);
  return messages::not_dumpable(pid);
}

}  // namespace coldcase::capture
