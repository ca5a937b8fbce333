// file-lock-cycle: flock and fcntl locks between processes in a ring.
#include <algorithm>

#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {

std::vector<Finding> detect_file_lock_cycle(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    if (!has_kind(scene, ring, WaitKind::file_lock)) continue;
    Finding finding = ring_finding(scene, ring, "file-lock-cycle");
    const bool all = std::ranges::all_of(ring.steps, [&](const RingStep& step) {
      return step.resource.known() && scene.resource(step.resource).kind == WaitKind::file_lock;
    });
    finding.headline =
        as_headline(std::string(all ? "Processes hold file locks in a ring: "
                                    : "Processes hold a file lock and another lock in a ring: ") +
                    site_name(scene, ring.steps.front().thread) + " and " +
                    site_name(scene, ring.steps.back().thread) + " each wait for the other's");
    finding.advice = {{all ? "Take the file locks in one order in every process."
                           : "Take these locks, the file's and the other, in one order in every "
                             "process.",
                       finding.location, ""},
                      {"Or ask without waiting (LOCK_NB, F_SETLK) and give the first one back when "
                       "the second is taken.",
                       std::nullopt, ""}};
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
