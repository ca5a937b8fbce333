// orphaned-semaphore: a semaphore shared between processes that no living one of them holds.
#include <algorithm>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/orphan.hpp"
#include "diagnose/ring_kinds.hpp"
#include "waits/work_queue.hpp"

namespace coldcase {
namespace {

// "Queue" locks are lost when a process that puts is killed: then the advice is about ending it.
bool is_queue_lock(const ResourceFact& lock) {
  return lock.label.find("Queue") != std::string::npos;
}

std::vector<EvidenceId> evidence_about(const Scene& scene, ResourceId id) {
  std::vector<EvidenceId> found;
  for (std::uint32_t i = 0; i < scene.facts.evidence.size(); ++i) {
    const Evidence& evidence = scene.facts.evidence[i];
    if (evidence.resource == id && evidence.basis == Basis::exclusion) found.push_back({i});
  }
  return found;
}

// Idle workers of a pool look the same when the one among them that reads the queue was not dumped.
Confidence sureness(const Scene& scene, const Orphan& orphan) {
  const ResourceFact& lock = scene.resource(orphan.lock);
  const bool told = std::ranges::find(scene.facts.evidence, Basis::side_car, &Evidence::basis) !=
                    scene.facts.evidence.end();
  const bool idle = std::ranges::all_of(
      orphan.waiters, [&](ThreadId id) { return gets_next_item(scene.facts, id); });
  if (idle && !told) return Confidence::hypothesis;
  const bool absent = std::ranges::any_of(scene.facts.processes, [](const ProcessFact& process) {
    return !process.captured && process.fate != Fate::exited && process.fate != Fate::killed;
  });
  if (absent) return Confidence::hypothesis;
  return lock.at.size() > 1 && has_side_cars(scene.facts) ? Confidence::very_likely
                                                          : Confidence::likely;
}

}  // namespace

std::vector<Finding> detect_orphaned_semaphore(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Orphan& orphan : find_orphans(scene, {"no_living_holder"})) {
    const ResourceFact& lock = scene.resource(orphan.lock);
    Finding finding = orphan_finding(scene, orphan, "orphaned-semaphore", sureness(scene, orphan));
    const bool queue = is_queue_lock(lock);
    finding.headline = as_headline(
        queue ? "A multiprocessing.Queue's lock died with the process that held it: nothing can be "
                "put or got any more"
              : "A lock shared between processes died with its holder; " +
                    site_name(scene, orphan.waiters.front()) + " waits for it for ever");
    finding.story.insert(finding.story.begin() + 1,
                         {"None of the processes here holds it: " + lock.owner_unknown_text +
                              ". So it was taken by a process that has ended, most likely killed "
                              "while it held it.",
                          evidence_about(scene, orphan.lock)});
    finding.summary = {finding.story[0].text, finding.story[1].text,
                       tell_behind(scene, orphan.behind)};
    std::erase(finding.summary, "");
    finding.story.push_back(
        {"A semaphore does not notice the end of its holder: nobody will ever release it, and no "
         "timeout ends the wait.",
         {}});
    if (queue) {
      finding.advice = {
          {"Let workers end by themselves instead of terminating them: call close() and join() on "
           "the Pool before its with block ends (leaving the block calls terminate()), and never "
           "terminate() a process that uses a Queue.",
           finding.location, ""},
          {"multiprocessing.Manager().Queue() lives in a process of its own and does not lose its "
           "lock this way.",
           std::nullopt, ""}};
    } else {
      finding.advice = {
          {"Do not kill processes that may hold it (Process.terminate, Pool.terminate, kill): ask "
           "them to end, and join them.",
           finding.location, ""},
          {"A robust mutex (PTHREAD_MUTEX_ROBUST) or a file lock is released when its holder "
           "dies.",
           std::nullopt, ""}};
    }
    if (!has_side_cars(scene.facts)) {
      finding.advice.push_back(
          {"To be surer, take all of its processes with  coldcase capture PID "
           "--tree : the side-cars tell whether one is missing here.",
           std::nullopt, ""});
    }
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
