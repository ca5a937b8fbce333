// spin-wait-cycle: a spinning thread holds what the thread it spins for needs.
#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {

std::vector<Finding> detect_spin_wait_cycle(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    const bool polls = has_kind(scene, ring, WaitKind::polled_word);
    if ((!polls && !has_kind(scene, ring, WaitKind::spinlock)) || ring.steps.size() < 2) continue;
    Finding finding = ring_finding(scene, ring, "spin-wait-cycle");
    finding.headline = as_headline(site_name(scene, ring.steps.front().thread) + " and " +
                                   site_name(scene, ring.steps.back().thread) +
                                   " wait for each other, one of them spinning");
    finding.advice = {
        {polls ? "Do not hold a lock while polling for what another thread does under it: release "
                 "it first, or wait on a condition variable, which does."
               : "Take the spin lock and the other in one order everywhere, and never block "
                 "while holding a spin lock.",
         finding.location, ""}};
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
