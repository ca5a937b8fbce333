// join-cycle: a thread waits for the end of another that waits for something the first holds or is.
#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

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
  const Frame* site = scene.site_of(joining->thread);
  finding.headline = as_headline((site != nullptr ? site->function : std::string("A thread")) +
                                 (joining->process.known()
                                      ? " waits for a process that cannot end before it goes on"
                                      : " joins a thread that cannot end before it goes on"));
  finding.summary = {
      scene.name_of(joining->thread) + " " + wait_phrase(scene, joining->thread) + ".",
      std::string(joining->process.known() ? "That process" : "That thread") +
          " waits, itself or through others, for what only the first could give: neither "
          "can go on."};
  finding.story.push_back({"So the join can never return: no timeout ends these waits.", {}});
  finding.location = Scene::location_of(site);
  finding.advice = {
      {is_fed(ring)
           ? "Send or read what the other one waits for, or close that end, before waiting "
             "for its end."
           : "Release what the other thread needs before joining it (leave the lock's "
             "block first).",
       Scene::location_of(site), ""},
      {"Or let it end another way: give its wait a timeout, or a flag it looks at.", std::nullopt,
       ""}};
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
