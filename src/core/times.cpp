// Whose processor time the times of the notes are. gdb's gcore writes 0 into all of them. The
// kernel writes each thread's own, but for the first thread the sum over the process, with the
// threads that have ended (fill_prstatus in fs/binfmt_elf.c, Linux 2.6 to 6.18; native-waits.md 5).
#include <algorithm>

#include "core/notes.hpp"

namespace coldcase {
namespace {

using Kind = CoreProblem::Kind;

// The notes are filled one after the other while the dumping thread runs: a tick or two may be in
// one and not in the other.
constexpr std::uint64_t slack_us = 50'000;

bool all_threads_read(const Core& core) {
  return std::ranges::none_of(core.problems, [](const CoreProblem& problem) {
    return problem.kind == Kind::notes_cut || problem.kind == Kind::unknown_note_size ||
           problem.kind == Kind::headers_cut;
  });
}

// Nothing when the rest is more than the sum.
std::optional<std::uint64_t> take_off(std::uint64_t sum, std::uint64_t rest) {
  if (rest <= sum) return sum - rest;
  return rest - sum <= slack_us ? std::optional<std::uint64_t>(0) : std::nullopt;
}

std::optional<CpuTime> remainder(const Core& core, const CoreThread& leader) {
  if (!leader.cpu || !all_threads_read(core)) return std::nullopt;
  CpuTime others;
  for (const CoreThread& thread : core.threads) {
    if (&thread == &leader) continue;
    if (!thread.cpu) return std::nullopt;
    if (__builtin_add_overflow(others.user_us, thread.cpu->user_us, &others.user_us) ||
        __builtin_add_overflow(others.system_us, thread.cpu->system_us, &others.system_us))
      return std::nullopt;
  }
  const auto user = take_off(leader.cpu->user_us, others.user_us);
  const auto system = take_off(leader.cpu->system_us, others.system_us);
  if (!user || !system) return std::nullopt;
  return CpuTime{*user, *system, true};
}

}  // namespace

void settle_times(Core& core) {
  // Of a writer that nobody knows the times mean nothing either.
  const auto leader = core.process
                          ? std::ranges::find(core.threads, core.process->pid, &CoreThread::tid)
                          : core.threads.end();
  const bool known = core.writer == Writer::kernel && core.process.has_value();
  if (known && leader != core.threads.end()) leader->cpu = remainder(core, *leader);
  if (known) return;
  for (CoreThread& thread : core.threads) thread.cpu.reset();
}

}  // namespace coldcase
