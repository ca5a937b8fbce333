// self-deadlock: a thread waits for what it holds itself.
#include "diagnose/diagnose.hpp"
#include "diagnose/interruption.hpp"

namespace coldcase {
namespace {

Finding make_finding(const Scene& scene, const Ring& ring) {
  Finding finding;
  finding.pattern = "self-deadlock";
  finding.kind = FindingKind::deadlock;
  take_ring(scene, ring, finding);
  const RingStep& step = ring.steps.front();
  const ThreadFact& thread = scene.thread(step.thread);
  const Owner& owner = scene.resource(step.resource).owners[step.owner];
  const Frame* site = scene.site_of(step.thread);
  const std::string where =
      site != nullptr && !site->function.empty() ? site->function : "a thread";
  const std::string type = scene.resource(step.resource).implementation;
  finding.headline = as_headline(where + " takes a " + type + " that its own thread already holds");
  finding.summary = {scene.name_of(step.thread) + " " + wait_phrase(scene, step.thread) +
                         ", which it holds itself.",
                     "It is the only thread that could release it, so it waits for ever."};
  std::optional<std::uint32_t> held_in;
  for (const Hold& hold : thread.holds) {
    if (hold.resource == step.resource) held_in = hold.frame;
  }
  const auto interruption = find_interruption(scene, step.thread, held_in);
  finding.story.push_back({scene.name_of(step.thread) + hold_verb(owner) +
                               scene.label_of(step.resource) +
                               taken_in(scene, step.thread, step.resource) + ".",
                           owner.evidence});
  if (interruption) finding.story.push_back(tell_interruption(scene, step.thread, *interruption));
  finding.story.push_back({"Still holding it, it " + wait_phrase(scene, step.thread) + " again" +
                               (site != nullptr ? ", in " + Scene::text_of(site) : "") + ".",
                           thread.wait->evidence});
  finding.story.push_back(
      {"The lock is not recursive: the second attempt waits for the first to be released, by the "
       "same thread. No timeout ends the wait.",
       {}});
  finding.location = Scene::location_of(site);
  if (interruption)
    finding.advice.push_back(interruption_advice(scene, step.thread, *interruption));
  else
    finding.advice.push_back(
        {"Do not take the lock again while holding it: split the function into one that takes the "
         "lock and "
         "one that expects it to be held.",
         Scene::location_of(site), ""});
  if (type == "threading.Lock") {
    finding.advice.push_back(
        {"Or use threading.RLock, which one thread may take several times.", std::nullopt, ""});
  } else if (type == "pthread_mutex_t") {
    finding.advice.push_back(
        {"Or make it recursive (std::recursive_mutex, PTHREAD_MUTEX_RECURSIVE).", std::nullopt,
         ""});
  }
  return finding;
}

}  // namespace

std::vector<Finding> detect_self_deadlock(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    const RingStep& step = ring.steps.front();
    if (ring.steps.size() == 1 && step.resource.known() && !step.fed)
      findings.push_back(make_finding(scene, ring));
  }
  return findings;
}

}  // namespace coldcase
