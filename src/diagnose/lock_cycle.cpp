// lock-cycle: threads wait for locks in a ring, any mix of native and Python's.
#include <algorithm>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/interruption.hpp"

namespace coldcase {
namespace {

std::string headline_of(const Scene& scene, const Ring& ring) {
  std::vector<std::string> names;
  for (const RingStep& step : ring.steps) {
    const Frame* site = scene.site_of(step.thread);
    std::string name = site != nullptr ? site->function : scene.thread(step.thread).entry;
    if (name.empty()) name = "a thread";
    names.push_back(std::move(name));
  }
  if (names.size() == 2) {
    return as_headline("Lock ring: " + names[0] + " and " + names[1] +
                       " each hold the lock that the other waits for");
  }
  return as_headline("Lock ring of " + counted(names.size(), "thread") + ": " + names[0] +
                     " and others each wait for a lock the next one holds");
}

Finding make_finding(const Scene& scene, const Ring& ring) {
  Finding finding;
  finding.pattern = "lock-cycle";
  finding.kind = FindingKind::deadlock;
  take_ring(scene, ring, finding);
  finding.headline = headline_of(scene, ring);
  for (std::size_t i = 0; i < std::min(ring.steps.size(), most_steps_told); ++i) {
    const RingStep& step = ring.steps[i];
    const RingStep& before = ring.steps[(i + ring.steps.size() - 1) % ring.steps.size()];
    const ThreadFact& thread = scene.thread(step.thread);
    std::optional<std::uint32_t> held_in;
    for (const Hold& hold : thread.holds) {
      if (hold.resource == before.resource) held_in = hold.frame;
    }
    const Owner& owner = scene.resource(before.resource).owners[before.owner];
    const std::string holds =
        scene.name_of(step.thread) + hold_verb(owner) + scene.label_of(before.resource);
    finding.story.push_back(
        {holds + taken_in(scene, step.thread, before.resource) + ".", owner.evidence});
    if (const auto interruption = find_interruption(scene, step.thread, held_in))
      finding.story.push_back(tell_interruption(scene, step.thread, *interruption));
    const Frame* site = scene.site_of(step.thread);
    finding.story.push_back({"It " + wait_phrase(scene, step.thread) +
                                 (site != nullptr ? ", in " + Scene::text_of(site) : "") + ".",
                             thread.wait->evidence});
    if (finding.summary.size() < 4) {
      finding.summary.push_back(holds + " and " + wait_phrase(scene, step.thread) + ".");
    }
  }
  if (const auto untold = tell_untold(ring)) finding.story.push_back(*untold);
  finding.summary.push_back("No timeout ends these waits: none of the threads can ever go on.");
  finding.story.push_back(
      {"Each thread waits for what the next one holds, and no timeout ends these waits: none can "
       "ever go on.",
       {}});
  const Frame* site = scene.site_of(ring.steps.front().thread);
  finding.location = Scene::location_of(site);
  finding.advice = {{"Take these locks in one order everywhere, for example always " +
                         scene.label_of(ring.steps.back().resource) + " before " +
                         scene.label_of(ring.steps.front().resource) + ".",
                     Scene::location_of(site), ""},
                    {"Or do not hold the first lock while taking the second: release it first, or "
                     "take both at once (std::scoped_lock in C++).",
                     std::nullopt, ""}};
  return finding;
}

}  // namespace

std::vector<Finding> detect_lock_cycle(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    bool locks = ring.steps.size() >= 2;
    for (const RingStep& step : ring.steps) locks = locks && step.resource.known() && !step.fed;
    if (locks) findings.push_back(make_finding(scene, ring));
  }
  return findings;
}

}  // namespace coldcase
