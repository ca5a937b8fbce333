// loader-lock-cycle: the dynamic loader's lock against another lock or a join, as when a
// constructor that dlopen runs waits for a thread that calls dlopen itself.
#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {

std::vector<Finding> detect_loader_lock_cycle(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    if (!has_kind(scene, ring, WaitKind::loader_lock) || ring.steps.size() < 2) continue;
    Finding finding = ring_finding(scene, ring, "loader-lock-cycle");
    finding.headline = as_headline(
        "The dynamic loader's lock is in a ring: " + site_name(scene, ring.steps.front().thread) +
        " and " + site_name(scene, ring.steps.back().thread) + " wait for each other");
    finding.advice = {
        {"Do not wait for other threads inside a library's constructor or destructor: dlopen, "
         "dlclose and exit hold the loader's lock while they run it.",
         finding.location, ""},
        {"Do such work in an explicit init function that is called after dlopen has returned.",
         std::nullopt, ""}};
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
