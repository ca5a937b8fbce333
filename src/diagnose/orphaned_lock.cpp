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

std::vector<Finding> detect_fork_orphaned_lock(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Orphan& orphan : find_orphans(scene, {"owner_before_fork", "owner_in_parent"})) {
    const ResourceFact& lock = scene.resource(orphan.lock);
    const bool proved = lock.owner_unknown_code == "owner_in_parent";
    Finding finding = orphan_finding(scene, orphan, "fork-orphaned-lock",
                                     proved ? Confidence::proved : Confidence::likely);
    finding.headline =
        as_headline(site_name(scene, orphan.waiters.front()) + ", in a forked child, waits for a " +
                    lock_word(lock) + " the parent held at fork");
    finding.story.insert(finding.story.begin(),
                         {lock.label + ": " + lock.owner_unknown_text + ".", {}});
    finding.summary = {
        finding.story[1].text,
        "A thread of the parent held it at the moment of fork. fork copies the lock as it is, "
        "and only the one thread that called it: in the child nobody can release it."};
    finding.story.push_back(
        {"fork copies memory as it is, and of all threads only the one that called it: in the "
         "child the lock stays taken for ever.",
         {}});
    finding.advice = {
        {"Do not run code that takes locks between fork and exec in a program with threads: exec "
         "at once, or start children before threads (in Python: multiprocessing.set_start_method("
         "\"spawn\") or \"forkserver\").",
         finding.location, ""},
        {"A library can protect its own locks with pthread_atfork (in Python: "
         "os.register_at_fork).",
         std::nullopt, ""}};
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
