// Facts to findings: a table of detectors, the precedence among them, and the verdict.
#pragma once

#include "diagnose/scene.hpp"

namespace coldcase {

struct Detector {
  std::string_view pattern;  // slug of the pattern table; never changes
  FindingKind kind;
  std::string_view what;  // one sentence for `coldcase patterns`
  std::string_view proof;
  std::vector<Finding> (*detect)(const Scene&);
};

// All detectors, the refined ones first: a ring that one of them tells is not told again by a
// plainer one.
std::span<const Detector> detectors();

// Fills findings, tags, verdict and totals from the facts.
void diagnose(Analysis& analysis);

// The detectors, one pattern per file.
std::vector<Finding> detect_gil_driver_inversion(const Scene& scene);
std::vector<Finding> detect_gil_lock_inversion(const Scene& scene);
std::vector<Finding> detect_event_loop_blocked(const Scene& scene);
std::vector<Finding> detect_task_cycle(const Scene& scene);
std::vector<Finding> detect_file_lock_cycle(const Scene& scene);
std::vector<Finding> detect_loader_lock_cycle(const Scene& scene);
std::vector<Finding> detect_spin_wait_cycle(const Scene& scene);
std::vector<Finding> detect_join_undrained_queue(const Scene& scene);
std::vector<Finding> detect_pipe_cycle(const Scene& scene);
std::vector<Finding> detect_async_signal_reentry(const Scene& scene);
std::vector<Finding> detect_self_deadlock(const Scene& scene);
std::vector<Finding> detect_lock_cycle(const Scene& scene);
std::vector<Finding> detect_join_cycle(const Scene& scene);
std::vector<Finding> detect_orphaned_semaphore(const Scene& scene);
std::vector<Finding> detect_fork_orphaned_lock(const Scene& scene);
std::vector<Finding> detect_orphaned_lock(const Scene& scene);
std::vector<Finding> detect_after_finalization(const Scene& scene);
std::vector<Finding> detect_exit_blocked(const Scene& scene);
std::vector<Finding> detect_lost_wakeup(const Scene& scene);
std::vector<Finding> detect_blocked_holder(const Scene& scene);
std::vector<Finding> detect_lock_convoy(const Scene& scene);
std::vector<Finding> detect_blocking_finalizer(const Scene& scene);
std::vector<Finding> detect_collective_mismatch(const Scene& scene);
std::vector<Finding> detect_message_cycle(const Scene& scene);
std::vector<Finding> detect_collective_wait(const Scene& scene);
std::vector<Finding> detect_crash_assert(const Scene& scene);
std::vector<Finding> detect_crash_uncaught_exception(const Scene& scene);
std::vector<Finding> detect_crash_abort(const Scene& scene);
std::vector<Finding> detect_crash_segv(const Scene& scene);
std::vector<Finding> detect_crash_illegal_instruction(const Scene& scene);
std::vector<Finding> detect_crash_bus(const Scene& scene);
std::vector<Finding> detect_crash_fpe(const Scene& scene);
std::vector<Finding> detect_crash_killed(const Scene& scene);

}  // namespace coldcase
