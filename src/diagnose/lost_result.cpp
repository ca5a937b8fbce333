// lost-wakeup: who waits for a result of a multiprocessing.Pool whose worker died with the work.
#include <algorithm>

#include "base/text.hpp"

#include "diagnose/diagnose.hpp"
#include "diagnose/orphan.hpp"
#include "diagnose/ring_kinds.hpp"
#include "waits/work_queue.hpp"

namespace coldcase {
namespace {

// The pool's own threads in the waiter's process (Lib/multiprocessing/pool.py) idle on its pipes.
bool is_pools_own(const Scene& scene, ThreadId thread) {
  const StackId stack = scene.thread(thread).stack;
  if (!stack.known()) return false;
  return std::ranges::any_of(scene.facts.stacks[stack.index].frames, [&](std::uint32_t f) {
    const Frame& frame = scene.facts.frames[f];
    return frame.kind == FrameKind::python && frame.file.ends_with("multiprocessing/pool.py") &&
           frame.function.find("_handle_") != std::string::npos;
  });
}

std::vector<EvidenceId> evidence_about(const Scene& scene, ResourceId id) {
  std::vector<EvidenceId> found;
  for (std::uint32_t i = 0; i < scene.facts.evidence.size(); ++i) {
    const Evidence& evidence = scene.facts.evidence[i];
    if (evidence.resource == id && evidence.basis == Basis::inference) found.push_back({i});
  }
  return found;
}

// Who is at work may have all that is missing in hand: then the one that died had nothing.
Confidence sureness(const Facts& facts, const ResourceFact& result, const WorkerCount& count) {
  if (result.owner_unknown_code != "worker_died") return Confidence::very_likely;
  if (count.busy > 0) return Confidence::hypothesis;
  return count.idle > 0 && count.unseen == 0 && has_side_cars(facts) ? Confidence::very_likely
                                                                     : Confidence::likely;
}

std::string text_of(const ResourceFact& result, const WorkerCount& count) {
  if (result.owner_unknown_code == "pool_terminated")
    return "terminate() ends its workers and threads, and so does leaving a with block of the "
           "pool: "
           "what was not done by then never is.";
  if (result.owner_unknown_code == "handler_ended")
    return "An exception ends that thread: one in a callback of this pool, or a result that could "
           "not be unpickled. A child that fork made never has it.";
  if (count.busy > 0)
    return "Of the pool's workers " + std::to_string(count.busy) +
           (count.busy == 1 ? " is" : " are") +
           " at work: the rest of the result may still come, what was lost does not.";
  if (count.idle > 0 && count.unseen == 0)
    return count.idle == 1
               ? "The pool's worker waits for new work: nobody has what is missing in hand."
               : "All " + counted(count.idle, "worker") +
                     " of the pool wait for new work: nobody has what is missing in "
                     "hand.";
  return "Whether the other workers are still busy only their cores tell; what was lost comes "
         "from none of them.";
}

void advise_worker(bool joins, Finding& finding) {
  finding.advice = {
      {"Find what killed the worker: the kernel's log at that time (journalctl -k, dmesg: Out of "
       "memory), a crash in native code (a core of the worker), os._exit or a kill in the "
       "program.",
       std::nullopt, ""},
      {"Use concurrent.futures.ProcessPoolExecutor, which raises BrokenProcessPool when a worker "
       "dies, or " +
           std::string(joins ? "get() each result with a timeout before join(), which has none."
                             : "give get() a timeout (map_async(...).get(timeout))."),
       finding.location, "https://github.com/python/cpython/issues/66587"}};
}

void advise_handler(bool terminated, Finding& finding) {
  if (terminated) {
    finding.advice = {
        {"get() all results before the with block of the pool is left, or close() and "
         "join() the pool first.",
         finding.location, ""}};
    return;
  }
  finding.advice = {
      {"Look in the program's standard error for the exception that ended the thread "
       "\"_handle_results\".",
       std::nullopt, ""},
      {"Let no exception out of callback= and error_callback=, and return only what can be "
       "unpickled in this process.",
       finding.location, ""},
      {"A child that fork made cannot use its parent's pool: make one in the child.", std::nullopt,
       ""}};
}

}  // namespace

std::vector<Finding> find_lost_results(const Scene& scene) {
  std::vector<Finding> findings;
  for (Orphan& orphan : find_orphans(scene, {"worker_died", "handler_ended", "pool_terminated"})) {
    std::erase_if(orphan.behind, [&](ThreadId id) { return is_pools_own(scene, id); });
    const ResourceFact& result = scene.resource(orphan.lock);
    const ThreadId waiter = orphan.waiters.front();
    const WorkerCount count =
        result.pool ? count_workers(scene.facts, *result.pool) : WorkerCount{};
    const bool joins = result.implementation.ends_with("multiprocessing.Pool");
    const bool terminated = result.owner_unknown_code == "pool_terminated";
    const bool handler = terminated || result.owner_unknown_code == "handler_ended";
    Finding finding =
        orphan_finding(scene, orphan, "lost-wakeup", sureness(scene.facts, result, count));
    finding.kind = FindingKind::hang;
    finding.headline = as_headline(
        site_name(scene, waiter) +
        (terminated ? " waits for a result of a multiprocessing.Pool that was terminated"
         : handler  ? " waits for a multiprocessing.Pool that no longer takes results"
         : joins    ? " joins a multiprocessing.Pool whose work died with a worker"
                    : " waits for a result that died with a worker of its multiprocessing.Pool"));
    finding.story.push_back({result.label + ": " + result.owner_unknown_text + ".",
                             evidence_about(scene, orphan.lock)});
    finding.story.push_back({text_of(result, count), {}});
    finding.summary = {finding.story.front().text, finding.story[finding.story.size() - 2].text,
                       handler ? "The pool tells nobody: the wait never ends."
                               : "A Pool tells nobody of a worker that died: the wait never ends."};
    finding.location = Scene::location_of(scene.site_of(waiter));
    if (handler)
      advise_handler(terminated, finding);
    else
      advise_worker(joins, finding);
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
