#include "capture/messages.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/text.hpp"

namespace coldcase::messages {
namespace {

std::string process(std::int64_t pid) {
  return "process " + std::to_string(pid);
}

std::string again(std::int64_t pid) {
  return "sudo coldcase capture " + std::to_string(pid) + " -o DIR";
}

Error forbidden(const std::string& text) {
  return {Trouble::no_permission, text};
}

}  // namespace

Error nothing_named() {
  return {Trouble::usage,
          "capture: no process named. Usage: coldcase capture PID... [--tree] -o DIR"};
}

Error bad_pid(std::int64_t pid) {
  return {Trouble::usage, "capture: " + std::to_string(pid) +
                              " is no process id. The id of a program:  pgrep -f NAME"};
}

Error no_process(std::int64_t pid) {
  return {Trouble::no_such_file, "capture: no " + process(pid) +
                                     " here: it has ended, or the number is of another machine "
                                     "or container. What runs:  ps -e"};
}

Error own_process(std::int64_t pid) {
  return {Trouble::usage, "capture: " + process(pid) + " is this program itself; name another"};
}

Error is_thread(std::int64_t tid, std::int64_t pid) {
  return {Trouble::usage, "capture: " + std::to_string(tid) + " is a thread of " + process(pid) +
                              "; name the process:  coldcase capture " + std::to_string(pid)};
}

Error kernel_thread(std::int64_t pid, const std::string& name) {
  return {Trouble::usage, "capture: " + process(pid) + " (" + clean_text(name, 64) +
                              ") is a thread of the kernel; it has no memory of its own to dump. "
                              "Its stack:  sudo cat /proc/" +
                              std::to_string(pid) + "/stack"};
}

Error has_ended(std::int64_t pid, std::int64_t parent) {
  return {
      Trouble::no_such_file,
      "capture: " + process(pid) +
          " has ended already (zombie): nothing is left of it but its "
          "exit status, which its parent did not ask for. Capture the parent:  coldcase capture " +
          std::to_string(parent)};
}

Error too_many(std::size_t limit) {
  return {Trouble::usage, "capture: more than " + std::to_string(limit) +
                              " processes in the tree; name a smaller part of it"};
}

Error is_traced(std::int64_t pid, std::int64_t tracer) {
  return forbidden("capture: " + process(pid) + " is being traced by process " +
                   std::to_string(tracer) +
                   " (gdb, strace?), and only one may trace. End that one, "
                   "or dump from it (gdb: gcore FILE)");
}

Error other_user(std::int64_t pid, std::int64_t uid) {
  return forbidden("capture: no permission to trace " + process(pid) + ": it is of user " +
                   std::to_string(uid) + ". Run it as that user or as root:  " + again(pid));
}

Error no_capability(std::int64_t pid) {
  return forbidden("capture: no permission to trace " + process(pid) +
                   ": this root user lacks the capability SYS_PTRACE, as in most containers. Start "
                   "the container with  docker run --cap-add=SYS_PTRACE ...  or capture from the "
                   "host, with the process's number there");
}

Error ptrace_scope(std::int64_t pid, std::int64_t scope) {
  if (scope >= 3) {
    return forbidden(
        "capture: no permission to trace " + process(pid) +
        ": kernel.yama.ptrace_scope is 3, which forbids it to everybody until the next "
        "boot. A core without tracing:  kill -ABRT " +
        std::to_string(pid) + "  (ends the process)");
  }
  return forbidden("capture: no permission to trace " + process(pid) +
                   ": kernel.yama.ptrace_scope is " + std::to_string(scope) +
                   ". Run it as root:  " + again(pid) +
                   (scope == 1 ? "  or allow it:  sudo sysctl kernel.yama.ptrace_scope=0" : ""));
}

Error not_dumpable(std::int64_t pid) {
  return forbidden("capture: no permission to trace " + process(pid) +
                   ": it has made itself not dumpable (a setuid program, or PR_SET_DUMPABLE), has "
                   "more rights than you, or is in another container. Run it as root:  " +
                   again(pid));
}

Error refused_by_kernel(std::int64_t pid) {
  return forbidden(
      "capture: gdb may not attach to " + process(pid) +
      ": ptrace is refused, as by the seccomp filter of a container. Start the container "
      "with  docker run --cap-add=SYS_PTRACE --security-opt seccomp=unconfined ...  or "
      "capture from the host");
}

Error no_gcore(const std::string& wanted) {
  const std::string what = wanted.empty() ? "gcore is not in PATH"
                                          : clean_text(wanted) + " is no program that can be run";
  return {Trouble::no_such_file, "capture: " + what +
                                     ". It comes with gdb:  sudo apt-get install gdb  (or name it: "
                                     "--gcore PATH)"};
}

Error no_folder(const std::string& path, int error) {
  return {error == EACCES || error == EPERM ? Trouble::no_permission : Trouble::cannot_write,
          "capture: cannot make the folder " + clean_text(path) + ": " + std::strerror(error) +
              ". Name another with -o"};
}

Error folder_of_another(const std::string& path, std::int64_t uid) {
  return {Trouble::cannot_write, "capture: the folder " + clean_text(path) + " is of user " +
                                     std::to_string(uid) +
                                     ", who could exchange the cores while they are written. "
                                     "Name a folder of your own with -o"};
}

Error folder_is_shared(const std::string& path) {
  return {Trouble::cannot_write,
          "capture: others may write in the folder " + clean_text(path) +
              " and could exchange the cores while they are written. Name another with -o, or:  "
              "chmod go-w " +
              clean_text(path)};
}

Error exists(const std::string& path) {
  return {Trouble::cannot_write,
          "capture: " + clean_text(path) +
              " is there already and is not overwritten. Name another folder "
              "with -o, or remove it"};
}

Error cannot_write(const std::string& path, int error) {
  return {Trouble::cannot_write,
          "capture: cannot write " + clean_text(path) + ": " + std::strerror(error) +
              (error == ENOSPC ? ". Name a folder with more room with -o" : "")};
}

Error no_guardian(int error) {
  return {Trouble::internal, std::string("capture: cannot start the process that lets the captured "
                                         "ones go on: ") +
                                 std::strerror(error)};
}

Error no_core(std::int64_t pid, const std::string& said) {
  std::string line = said;
  while (line.ends_with('\n')) line.pop_back();
  std::ranges::replace(line, '\n', ' ');
  return {Trouble::read_error, "capture: gcore made no core of " + process(pid) +
                                   (line.empty() ? "" : "; it said: " + clean_text(line, 400))};
}

Error guardian_lost(std::int64_t pid) {
  return {
      Trouble::read_error,
      "capture: no core of " + process(pid) +
          ": the process coldcase-guard, which does the dumping, was killed from outside (out of "
          "memory? see  dmesg). What it had stopped was told to go on; look with  ps -o stat -p " +
          std::to_string(pid)};
}

Error dump_stalled(std::int64_t pid, int seconds) {
  return {
      Trouble::read_error,
      "capture: gcore wrote nothing of " + process(pid) + " for " + std::to_string(seconds) +
          " s and was ended. A thread that sleeps in the kernel uninterruptibly (state D) cannot "
          "be attached to; see  ps -L -o tid,stat,wchan -p " +
          std::to_string(pid)};
}

std::string unread_memory(std::uint64_t count) {
  return "gdb could not read " + counted(count, "range") +
         " of its memory and left zeros there. gdb 13 does so with the guard pages of glibc 2.42 "
         "and "
         "later: stacks may be missing. A kernel core has them (kill -ABRT), a newer gdb too";
}

}  // namespace coldcase::messages
