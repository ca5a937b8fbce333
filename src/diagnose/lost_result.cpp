// lost-wakeup: who waits for a result of a multiprocessing.Pool whose worker died with the work.
#include <algorithm>

#include "base/text.hpp"

#include "diagnose/diagnose.hpp"
#include "diagnose/orphan.hpp"
#include "diagnose/ring_kinds.hpp"
#include "diagnose/work_queue.hpp"

namespace coldcase {
namespace {

struct Children {
  std::size_t idle = 0, busy = 0;
};

// The pool's processes whose cores are here too.
Children children_of(const Scene& scene, ProcessId parent) {
  Children children;
  for (std::uint32_t p = 0; p < scene.facts.processes.size(); ++p) {
    const ProcessFact& process = scene.facts.processes[p];
    const ThreadId main = main_thread(scene.facts, {p});
    if (process.parent != parent || !process.captured || !main.known()) continue;
    ++(gets_next_item(scene.facts, main) ? children.idle : children.busy);
  }
  return children;
}

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
Confidence sureness(const Children& children) {
  if (children.busy > 0) return Confidence::hypothesis;
  return children.idle > 0 ? Confidence::very_likely : Confidence::likely;
}

std::string text_of(const Children& children) {
  if (children.busy > 0)
    return "Of the processes it started one is at work: the rest of the result may still come, "
           "what "
           "was lost does not.";
  if (children.idle > 0)
    return "Its workers here all wait for new work: nobody has what is missing in hand.";
  return "Whether the other workers are still busy only their cores tell; what was lost comes from "
         "none of them.";
}

}  // namespace

std::vector<Finding> find_lost_results(const Scene& scene) {
  std::vector<Finding> findings;
  for (Orphan& orphan : find_orphans(scene, {"worker_died"})) {
    std::erase_if(orphan.behind, [&](ThreadId id) { return is_pools_own(scene, id); });
    const ResourceFact& result = scene.resource(orphan.lock);
    const ThreadId waiter = orphan.waiters.front();
    const Children children = children_of(scene, scene.thread(waiter).process);
    Finding finding = orphan_finding(scene, orphan, "lost-wakeup", sureness(children));
    finding.kind = FindingKind::hang;
    const bool joins = result.implementation.ends_with("multiprocessing.Pool");
    finding.headline = as_headline(
        site_name(scene, waiter) +
        (joins ? " joins a multiprocessing.Pool whose work died with a worker"
               : " waits for a result that died with a worker of its multiprocessing.Pool"));
    finding.story.push_back({result.label + ": " + result.owner_unknown_text + ".",
                             evidence_about(scene, orphan.lock)});
    finding.story.push_back({text_of(children), {}});
    finding.summary = {finding.story.front().text, finding.story[finding.story.size() - 2].text,
                       "A Pool replaces a worker that died and tells nobody: the wait never ends."};
    finding.location = Scene::location_of(scene.site_of(waiter));
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
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
