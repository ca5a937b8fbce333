// The driver: find, look, stop, dump, go on, pack.
#include <coldcase/capture.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "base/text.hpp"
#include "capture/folder.hpp"
#include "capture/guardian.hpp"
#include "capture/look.hpp"
#include "capture/messages.hpp"
#include "capture/pack.hpp"
#include "capture/proc_files.hpp"
#include "capture/targets.hpp"
#include "sidecar/side_car_json.hpp"

namespace coldcase {
namespace capture {
namespace {

constexpr int most_rounds = 8;  // of looking for children born meanwhile

// One process on its way.
struct Job {
  Target target;
  CapturedProcess process;
  SideCar side_car;
  bool dumped = false;
  bool vanished = false;  // one of the tree that ended before it was stopped: no loss
  std::string core_name() const { return "core." + std::to_string(target.pid); }
};

void fail(Job& job, const Error& error) {
  job.process.problem = error.what();
  job.process.trouble = error.trouble();
}

// "warning: Memory read failed for corefile section, 4096 bytes at 0xffffffffff600000." is the
// vsyscall page, which nobody can read and nobody misses.
std::uint64_t unread_ranges(std::string_view said) {
  constexpr std::string_view text = "Memory read failed for corefile section";
  std::uint64_t count = 0;
  for (auto at = said.find(text); at != std::string_view::npos; at = said.find(text, at + 1)) {
    const std::string_view line = said.substr(at, said.substr(at).find('\n'));
    count += line.find("0xffffffffff600000") == std::string_view::npos;
  }
  return count;
}

class Session {
 public:
  Session(const CaptureOptions& options,
          const std::function<void(const CaptureProgress&)>& progress,
          const std::atomic<bool>& stop)
      : options_(options),
        progress_(progress),
        stop_(stop),
        gcore_(find_gcore(options.gcore)),
        folder_(options.output) {}

  CaptureResult run(const std::vector<Target>& targets) {
    for (const Target& target : targets) add(target);
    {
      Guardian guardian(gcore_, folder_.fd());
      stop_all(guardian);
      for (Job& job : jobs_) dump(job, guardian);
      guardian.resume();
    }
    for (Job& job : jobs_) keep(job);
    CaptureResult result;
    result.stopped = stop_;
    for (Job& job : jobs_) {
      if (!job.vanished) result.processes.push_back(std::move(job.process));
    }
    return result;
  }

 private:
  void tell(std::string_view step, const Job& job, std::uint64_t done = 0, std::uint64_t all = 0) {
    progress_({step, job.target.pid, done, all});
  }

  // Looked at while it runs, and the output's names checked before anything is stopped.
  void add(const Target& target) {
    Job job;
    job.target = target;
    job.process.pid = target.pid;
    tell("looking", job);
    if (const auto obstacle = find_obstacle(target.pid)) {
      fail(job, *obstacle);
      job.vanished = !target.named && obstacle->trouble() == Trouble::no_such_file;
    } else {
      for (const char* suffix : {"", ".zst", ".side-car.json"}) {
        const std::string name = job.core_name() + suffix;
        if (folder_.has(name)) throw messages::exists(folder_.path_of(name));
      }
      job.side_car = look_.at(target.pid);
      job.process.name = job.side_car.name;
      job.process.thread_count = job.side_car.tasks.size();
    }
    jobs_.push_back(std::move(job));
  }

  // A stopped process has no more children: a tree is whole when a last look finds nobody new.
  void stop_all(Guardian& guardian) {
    std::size_t next = 0;
    for (int round = 0; round < most_rounds; ++round) {
      for (; next < jobs_.size() && !stop_; ++next) stop_one(jobs_[next], guardian);
      if (!options_.tree || stop_) return;
      add_newborn();
      if (next == jobs_.size()) return;
    }
  }

  void stop_one(Job& job, Guardian& guardian) {
    if (job.process.trouble) return;
    tell("stopping", job);
    // One that does not stop (state D) is still dumped: gdb has the last word.
    if (guardian.stop(job.target) != StopResult::gone) return;
    fail(job, messages::no_process(job.target.pid));
    job.vanished = !job.target.named;
  }

  void add_newborn() {
    for (const Target& target : with_descendants(living())) {
      const bool known =
          std::ranges::any_of(jobs_, [&](const Job& job) { return job.target.pid == target.pid; });
      if (!known) add(target);
    }
  }
  // One of them may end before we look again, although it was told to stop.
  std::vector<Target> living() const {
    std::vector<Target> targets;
    for (const Job& job : jobs_) {
      const auto stat = stat_of(job.target.pid);
      if (stat && stat->start == job.target.start && !has_ended(job.target.pid, *stat))
        targets.push_back(job.target);
    }
    return targets;
  }

  void dump(Job& job, Guardian& guardian) {
    if (job.process.trouble || stop_) return;
    tell("dumping", job);
    // Made by us: new for sure, and readable by its owner alone from its first byte on.
    try {
      ::close(folder_.create(job.core_name()));
    } catch (const Error& error) {
      return fail(job, error);
    }
    const Dump dump = guardian.dump(job.target.pid, stop_);
    if (dump.end == Dump::End::exited && is_core(job.core_name())) {
      job.dumped = true;
      const std::uint64_t unread = unread_ranges(dump.said);
      if (unread > 0) {
        job.process.warning = messages::unread_memory(unread);
        job.side_car.incomplete.push_back(counted(unread, "range") +
                                          " of memory that gdb could not read");
      }
      return;
    }
    folder_.remove(job.core_name());
    if (stop_) return;
    if (dump.end == Dump::End::stalled)
      return fail(job, messages::dump_stalled(job.target.pid, stall_seconds));
    if (dump.end == Dump::End::lost) return fail(job, messages::guardian_lost(job.target.pid));
    const Error why = why_no_core(job.target.pid, dump);
    fail(job, why);
    job.vanished = !job.target.named && why.trouble() == Trouble::no_such_file;
  }

  static Error why_no_core(std::int64_t pid, const Dump& dump) {
    if (dump.said.find("Operation not permitted") != std::string::npos) {
      const auto obstacle = find_obstacle(pid);
      return obstacle ? *obstacle : messages::refused_by_kernel(pid);
    }
    const auto stat = stat_of(pid);
    if (!stat || stat->state == 'Z') return messages::no_process(pid);
    if (dump.said.find("No space left") != std::string::npos)
      return messages::cannot_write("core." + std::to_string(pid), ENOSPC);
    return messages::no_core(pid, dump.said);
  }

  // gdb writes the ELF header last: a core whose writer was killed begins with zeros.
  bool is_core(const std::string& name) const {
    const int fd = ::openat(folder_.fd(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    std::array<char, 4> magic{};
    const bool good = fd >= 0 && ::read(fd, magic.data(), magic.size()) == 4 &&
                      std::memcmp(magic.data(), "\177ELF", 4) == 0;
    if (fd >= 0) ::close(fd);
    return good;
  }

  void keep(Job& job) {
    if (!job.dumped) return;
    const std::string name = job.core_name();
    const std::string beside = name + ".side-car.json";
    job.process.core = folder_.path_of(name);
    try {
      write_side_car(job, beside);
      job.process.side_car = folder_.path_of(beside);
      if (!stop_) pack_core(job, name);
    } catch (const Error& error) {
      fail(job, error);
    }
  }

  void write_side_car(const Job& job, const std::string& name) {
    std::ostringstream text;
    render_side_car(job.side_car, text);
    const std::string whole = text.str();
    const int fd = folder_.create(name);
    std::size_t done = 0;
    int error = 0;
    while (done < whole.size() && error == 0) {
      const ssize_t put = ::write(fd, whole.data() + done, whole.size() - done);
      if (put < 0 && errno != EINTR) error = errno;
      if (put > 0) done += static_cast<std::size_t>(put);
    }
    if (::close(fd) != 0 && error == 0) error = errno;
    if (error == 0) return;
    folder_.remove(name);
    throw messages::cannot_write(folder_.path_of(name), error);
  }

  // The plain core goes only when the packed one is whole and on the disk.
  void pack_core(Job& job, const std::string& name) {
    const std::string packed_name = name + ".zst";
    const int from = ::openat(folder_.fd(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0) throw messages::cannot_write(folder_.path_of(name), errno);
    struct stat about {};
    ::fstat(from, &about);
    const auto all = static_cast<std::uint64_t>(about.st_size);
    const int to = folder_.create(packed_name);
    const Packed packed = pack(
        from, to, [&](std::uint64_t done) { tell("packing", job, done, all); }, stop_);
    ::close(from);
    const bool safe = ::fsync(to) == 0;
    const int error = packed.error != 0 ? packed.error : errno;
    const bool closed = ::close(to) == 0;
    job.process.core_bytes = all;
    job.process.file_bytes = all;
    if (packed.end == PackEnd::done && safe && closed && packed.plain_bytes == all) {
      folder_.remove(name);
      job.process.core = folder_.path_of(packed_name);
      job.process.file_bytes = packed.packed_bytes;
      return;
    }
    folder_.remove(packed_name);
    if (packed.end != PackEnd::stopped)
      throw messages::cannot_write(folder_.path_of(packed_name), error);
  }

  const CaptureOptions& options_;
  const std::function<void(const CaptureProgress&)>& progress_;
  const std::atomic<bool>& stop_;
  std::string gcore_;
  Folder folder_;
  Look look_;
  std::vector<Job> jobs_;
};

}  // namespace
}  // namespace capture

CaptureResult run_capture(const CaptureOptions& options,
                          const std::function<void(const CaptureProgress&)>& progress,
                          const std::atomic<bool>& stop) {
  if (options.pids.empty()) throw messages::nothing_named();
  const auto targets = capture::find_targets(options.pids, options.tree);
  for (const capture::Target& target : targets) {
    const auto obstacle = capture::find_obstacle(target.pid);
    if (target.named && obstacle) throw Error(*obstacle);
  }
  return capture::Session(options, progress, stop).run(targets);
}

}  // namespace coldcase
