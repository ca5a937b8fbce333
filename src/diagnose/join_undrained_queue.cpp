// join-undrained-queue: a process waits for a child that cannot end before somebody reads what it
// has put into a multiprocessing.Queue.
#include <algorithm>

#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

// The thread writes to a full pipe on behalf of a queue (multiprocessing/queues.py, _feed).
bool feeds_full_pipe(const Scene& scene, ThreadId id) {
  const ThreadFact& thread = scene.thread(id);
  if (!thread.wait || thread.wait->syscall_name != "write" || !thread.stack.known()) return false;
  const auto& frames = scene.facts.stacks[thread.stack.index].frames;
  return std::ranges::any_of(frames, [&](std::uint32_t f) {
    const Frame& frame = scene.facts.frames[f];
    return frame.kind == FrameKind::python && frame.function.ends_with("_feed") &&
           frame.file.ends_with("multiprocessing/queues.py");
  });
}

ThreadId joined_by(const Scene& scene, ThreadId id) {
  const auto& wait = scene.thread(id).wait;
  if (!wait || wait->ends == Ends::timeout || wait->on.size() != 1) return {};
  return wait->on.front().as<RefKind::thread>();
}

Finding make_finding(const Scene& scene, ThreadId parent, ThreadId child, ThreadId feeder) {
  Finding finding;
  finding.pattern = "join-undrained-queue";
  finding.kind = FindingKind::deadlock;
  finding.confidence = Confidence::very_likely;  // whose end of the pipe it is, frames tell
  const ProcessId process = scene.thread(child).process;
  take_step(scene, {parent, {}, 0, false, process}, child, finding);
  take_step(scene, {child, {}, 0, false, {}}, feeder, finding);
  finding.threads.push_back(feeder);
  const Wait& write = *scene.thread(feeder).wait;
  if (!write.on.empty())
    finding.path.push_back(
        {feeder, Relation::waits_for, write.on.front(), write.confidence, write.evidence});
  for (const ThreadId id : {parent, child, feeder}) finding.story.push_back(tell_wait(scene, id));
  for (const StoryLine& line : finding.story) finding.summary.push_back(line.text);
  finding.story.push_back(
      {"A process that has put items into a multiprocessing.Queue writes all of them before it "
       "ends. The pipe is full and nobody reads it: whoever should is waiting for this process.",
       {}});
  finding.headline = as_headline(site_name(scene, parent) +
                                 " joins a process that cannot end before its queue is read");
  finding.location = Scene::location_of(scene.site_of(parent));
  finding.advice = {
      {"Get everything from the queue before joining the process.", finding.location, ""},
      {"Or let the child drop what is left: queue.cancel_join_thread() in it.", std::nullopt, ""}};
  return finding;
}

}  // namespace

std::vector<Finding> detect_join_undrained_queue(const Scene& scene) {
  std::vector<Finding> findings;
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    const auto& wait = scene.facts.threads[i].wait;
    if (!wait || wait->on.size() != 1 || wait->ends == Ends::timeout) continue;
    const ProcessId process = wait->on.front().as<RefKind::process>();
    const ThreadId child = process.known() ? main_thread(scene.facts, process) : ThreadId{};
    const ThreadId feeder = child.known() ? joined_by(scene, child) : ThreadId{};
    if (feeder.known() && feeds_full_pipe(scene, feeder))
      findings.push_back(make_finding(scene, {i}, child, feeder));
  }
  return findings;
}

}  // namespace coldcase
