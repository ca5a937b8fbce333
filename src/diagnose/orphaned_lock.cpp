// orphaned-lock: the holder thread has ended without releasing.
#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/orphan.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {

std::vector<Finding> detect_orphaned_lock(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Orphan& orphan : find_orphans(scene, {"owner_ended", "owner_died"})) {
    const ResourceFact& lock = scene.resource(orphan.lock);
    Finding finding = orphan_finding(scene, orphan, "orphaned-lock", Confidence::proved);
    finding.headline =
        as_headline(site_name(scene, orphan.waiters.front()) + " waits for a " + lock_word(lock) +
                    " whose holder has ended without releasing it");
    finding.story.insert(finding.story.begin(),
                         {lock.label + ": " + lock.owner_unknown_text + ".", {}});
    finding.summary = {finding.story[1].text, lock.label + ": " + lock.owner_unknown_text + ".",
                       "Nobody can release it any more."};
    finding.story.push_back({"Nobody can release it any more, and no timeout ends the wait.", {}});
    finding.advice = {
        {"Release the lock on every way out of the thread that takes it: a guard object "
         "(std::lock_guard, with) does so on return and on exceptions; pthread_exit and "
         "cancellation need pthread_cleanup_push.",
         finding.location, ""},
        {"If a holder may die, make the mutex robust (PTHREAD_MUTEX_ROBUST) and handle EOWNERDEAD.",
         std::nullopt, ""}};
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
