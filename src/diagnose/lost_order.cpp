// lost-wakeup: a pool's worker that was ordered to end and sleeps on, joined by who ordered it.
#include <algorithm>

#include "diagnose/diagnose.hpp"
#include "diagnose/orphan.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

// Who waits for the worker's end.
ThreadId joiner_of(const Scene& scene, const Orphan& orphan) {
  for (const ThreadId id : orphan.behind) {
    const auto& wait = scene.thread(id).wait;
    if (!wait || wait->kind != WaitKind::thread_exit) continue;
    const bool joins = std::ranges::any_of(orphan.waiters, [&](ThreadId worker) {
      return std::ranges::find(wait->on, Ref(worker)) != wait->on.end();
    });
    if (joins) return id;
  }
  return orphan.waiters.front();
}

}  // namespace

std::vector<Finding> find_lost_orders(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Orphan& orphan : find_orphans(scene, {"order_lost"})) {
    const ResourceFact& queue = scene.resource(orphan.lock);
    const ThreadId joiner = joiner_of(scene, orphan);
    Finding finding = orphan_finding(scene, orphan, "lost-wakeup", Confidence::very_likely);
    finding.kind = FindingKind::hang;
    finding.headline =
        as_headline(site_name(scene, joiner) +
                    " waits for a worker of OpenBLAS that has lost its order to end");
    finding.story.push_back({queue.label + ": " + queue.owner_unknown_text + ".", {}});
    finding.summary = {tell_wait(scene, joiner).text, finding.story.back().text,
                       "Nobody gives the order again."};
    finding.location = Scene::location_of(scene.site_of(joiner));
    finding.advice = {
        {"Do not fork while another thread computes with OpenBLAS: wait for it first, or start "
         "children that exec (in Python: multiprocessing.set_start_method(\"spawn\") or "
         "\"forkserver\", set before the work begins).",
         finding.location, "https://github.com/OpenMathLib/OpenBLAS/issues/2270"},
        {"With OPENBLAS_NUM_THREADS=1 (or threadpoolctl around the fork) there are no workers to "
         "end.",
         std::nullopt, ""}};
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
