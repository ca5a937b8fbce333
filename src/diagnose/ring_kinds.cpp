#include "diagnose/ring_kinds.hpp"

#include <algorithm>

#include "base/function_name.hpp"

namespace coldcase {

bool has_kind(const Scene& scene, const Ring& ring, WaitKind kind) {
  return std::ranges::any_of(ring.steps, [&](const RingStep& step) {
    return step.resource.known() && scene.resource(step.resource).kind == kind;
  });
}

bool is_fed(const Ring& ring) {
  return std::ranges::any_of(ring.steps, &RingStep::fed);
}

bool is_future(const Scene& scene, const RingStep& step) {
  return step.resource.known() && scene.resource(step.resource).kind == WaitKind::future;
}

bool has_end(const Ring& ring) {
  return std::ranges::any_of(ring.steps,
                             [](const RingStep& step) { return !step.resource.known(); });
}

std::string short_name(const std::string& function) {
  constexpr std::string_view nested = "<locals>.";
  if (const auto at = function.rfind(nested); at != std::string::npos)
    return function.substr(at + nested.size());
  return plain_function(function);
}

std::string order_several(const std::string& label) {
  return "Take these locks in one order everywhere. Several of them are " + label +
         ": take them by something that each object has, as a number, a name or its id().";
}

std::string site_name(const Scene& scene, ThreadId id) {
  const Frame* site = scene.site_of(id);
  if (site != nullptr && !site->function.empty()) return short_name(site->function);
  const std::string& entry = scene.thread(id).entry;
  return entry.empty() ? "a thread" : entry;
}

std::string awaited_act(const Scene& scene, ThreadId waiter) {
  const Wait& wait = *scene.thread(waiter).wait;
  const ResourceId id = wait.on.empty() ? ResourceId{} : wait.on.front().as<RefKind::resource>();
  if (!id.known()) return {};
  const ResourceFact& resource = scene.resource(id);
  const auto is = [&](std::string_view type) {
    return resource.implementation.find(type) != std::string::npos;
  };
  const std::string& label = resource.label;
  if (is("threading.Event")) return "set " + label;
  if (is("threading.Condition")) return "notify " + label;
  if (is("threading.Barrier")) return "come to " + label;
  if (is("Semaphore")) return "release " + label;
  if (resource.kind == WaitKind::future)
    return "give the result of " + std::string(label.starts_with("future at") ? "a " : "") + label;
  if (!is("queue.") && resource.kind != WaitKind::queue) return {};
  if (wait.mode == Mode::read) return "put an item into " + label;
  return (wait.mode == Mode::write ? "take an item from " : "finish the items of ") + label;
}

Finding ring_finding(const Scene& scene, const Ring& ring, std::string_view pattern) {
  Finding finding;
  finding.pattern = std::string(pattern);
  finding.kind = FindingKind::deadlock;
  take_ring(scene, ring, finding);
  for (std::size_t i = 0; i < std::min(ring.steps.size(), most_steps_told); ++i) {
    const RingStep& step = ring.steps[i];
    const ThreadId next = ring.steps[(i + 1) % ring.steps.size()].thread;
    finding.story.push_back(tell_wait(scene, step.thread));
    if (finding.summary.size() < 4) finding.summary.push_back(finding.story.back().text);
    if (const auto claim = tell_claim(scene, step, next)) finding.story.push_back(*claim);
  }
  if (const auto untold = tell_untold(ring)) finding.story.push_back(*untold);
  finding.story.push_back(
      {is_fed(ring) && has_kind(scene, ring, WaitKind::polled_word)
           ? "Each waits for what another of them should do, and no timeout ends these waits. "
             "Unless "
             "other code changes the polled word, none can ever go on."
       : is_fed(ring)
           ? "Each waits for what another of them should send or take, and no timeout ends these "
             "waits. Unless a process that has no core here has the same ends open, none can ever "
             "go on."
           : "Each waits for what only the next can give, and no timeout ends these waits: none "
             "can "
             "ever go on.",
       {}});
  finding.summary.push_back("No timeout ends these waits: none of them can ever go on.");
  finding.location = Scene::location_of(scene.site_of(ring.steps.front().thread));
  return finding;
}

}  // namespace coldcase
