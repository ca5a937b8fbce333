// join-cycle: a thread waits for the end of another that waits for something the first holds or is.
#include <algorithm>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

bool is_join(const RingStep& step) {
  return !step.resource.known() && !step.process.known();
}

// The lock that a joining thread holds and the joined one waits for: the step of the latter.
const RingStep* held_by_joiner(const Ring& ring) {
  if (ring.steps.size() != 2) return nullptr;
  for (const RingStep& step : ring.steps) {
    const RingStep& other = &step == &ring.steps.front() ? ring.steps.back() : ring.steps.front();
    if (step.resource.known() && !step.fed && is_join(other)) return &step;
  }
  return nullptr;
}

std::string headline_of(const Scene& scene, const Ring& ring, const RingStep& joining) {
  const std::string name = site_name(scene, joining.thread);
  if (joining.process.known())
    return name + " waits for a process that cannot end before it goes on";
  if (held_by_joiner(ring) != nullptr)
    return name + " joins a thread that waits in " +
           site_name(scene, held_by_joiner(ring)->thread) + " for the lock that the joiner holds";
  if (!std::ranges::all_of(ring.steps, is_join))
    return name + " joins a thread that cannot end before it goes on";
  if (ring.steps.size() == 2)
    return site_name(scene, ring.steps.front().thread) + " and " +
           site_name(scene, ring.steps.back().thread) + " join each other";
  return name + " and others join each other in a ring of " + counted(ring.steps.size(), "thread");
}

Advice advise(const Scene& scene, const Ring& ring, const std::optional<Location>& location) {
  if (is_fed(ring))
    return {
        "Send or read what the other one waits for, or close that end, before waiting for its "
        "end.",
        location, ""};
  if (const RingStep* lock = held_by_joiner(ring))
    return {"Release " + scene.label_of(lock->resource) +
                " before joining: leave its block first. The joined thread takes it to end.",
            location, ""};
  if (std::ranges::all_of(ring.steps, is_join))
    return {
        "Let only one of them join the other, as a rule the one that started it: the other one "
        "just ends.",
        location, ""};
  return {"Release what the other thread needs before joining it (leave the lock's block first).",
          location, ""};
}

Finding make_finding(const Scene& scene, const Ring& ring) {
  Finding finding;
  finding.pattern = "join-cycle";
  finding.kind = FindingKind::deadlock;
  take_ring(scene, ring, finding);
  const RingStep* joining = nullptr;
  for (std::size_t i = 0; i < ring.steps.size(); ++i) {
    const RingStep& step = ring.steps[i];
    const ThreadId next = ring.steps[(i + 1) % ring.steps.size()].thread;
    finding.story.push_back(tell_wait(scene, step.thread));
    if (const auto claim = tell_claim(scene, step, next)) finding.story.push_back(*claim);
    if (!step.resource.known() && joining == nullptr) joining = &step;
  }
  finding.headline = as_headline(headline_of(scene, ring, *joining));
  finding.summary = {
      scene.name_of(joining->thread) + " " + wait_phrase(scene, joining->thread) + ".",
      std::string(joining->process.known() ? "That process" : "That thread") +
          " waits, itself or through others, for what only the first could give: neither "
          "can go on."};
  finding.story.push_back({"So the join can never return: no timeout ends these waits.", {}});
  finding.location = Scene::location_of(scene.site_of(joining->thread));
  finding.advice = {advise(scene, ring, finding.location),
                    {"Or let it end another way: give its wait a timeout, or a flag it looks at.",
                     std::nullopt, ""}};
  return finding;
}

}  // namespace

std::vector<Finding> detect_join_cycle(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    bool joins = false;
    for (const RingStep& step : ring.steps) {
      const WaitKind kind = scene.thread(step.thread).wait->kind;
      const bool end = kind == WaitKind::thread_exit || kind == WaitKind::process_exit;
      joins = joins || (end && !step.resource.known());
    }
    if (joins) findings.push_back(make_finding(scene, ring));
  }
  return findings;
}

}  // namespace coldcase
