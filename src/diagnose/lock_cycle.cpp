// lock-cycle: threads wait for locks in a ring, any mix of native and Python's.
#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/interruption.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

// All of the ring wait for another permit of the one semaphore they all hold.
const ResourceFact* shared_semaphore(const Scene& scene, const Ring& ring) {
  const ResourceId first = ring.steps.front().resource;
  const bool same = std::ranges::all_of(
      ring.steps, [&](const RingStep& step) { return step.resource == first && !step.fed; });
  return same && first.known() && scene.resource(first).kind == WaitKind::semaphore
             ? &scene.resource(first)
             : nullptr;
}

std::string headline_of(const Scene& scene, const Ring& ring) {
  std::vector<std::string> names;
  for (const RingStep& step : ring.steps) names.push_back(site_name(scene, step.thread));
  const auto result = std::ranges::find_if(
      ring.steps, [&](const RingStep& step) { return is_future(scene, step); });
  if (names.size() == 2 && result != ring.steps.end()) {
    const auto waiter = static_cast<std::size_t>(result - ring.steps.begin());
    const std::string label = scene.label_of(result->resource);
    return as_headline("Lock ring: " + names[waiter] + " waits for " +
                       (label.starts_with("the result of") ? "" : "the result of ") + label +
                       " and holds a lock that its thread needs");
  }
  if (names.size() == 2 && shared_semaphore(scene, ring) == nullptr) {
    const std::string both =
        names[0] == names[1] ? "two threads in " + names[0] : names[0] + " and " + names[1];
    return as_headline("Lock ring: " + both + " each hold the lock that the other waits for");
  }
  if (const auto* semaphore = shared_semaphore(scene, ring))
    return as_headline(counted(names.size(), "thread") + " each hold a permit of " +
                       semaphore->label + " and wait for one more");
  const bool told = names.size() == 3 && names[0] != names[1] && names[1] != names[2];
  return as_headline("Lock ring of " + counted(names.size(), "thread") + ": " + names[0] +
                     (told ? ", " + names[1] + " and " + names[2] : " and others") +
                     " each wait for a lock the next one holds");
}

// Several locks of one name, as of objects of one class; empty when there are none.
std::string shared_label(const Scene& scene, const Ring& ring) {
  std::set<std::string> labels;
  for (const RingStep& step : ring.steps) {
    if (!labels.insert(scene.label_of(step.resource)).second) return scene.label_of(step.resource);
  }
  return {};
}

// The order that all of them keep but the last one, which has to change.
Advice advise_order(const Scene& scene, const Ring& ring) {
  constexpr std::size_t most_named = 4;
  const RingStep& last = ring.steps.back();  // what it waits for, the first one holds
  const auto location = Scene::location_of(scene.site_of(last.thread));
  if (const std::string label = shared_label(scene, ring); !label.empty())
    return {order_several(label), location, ""};
  std::string order = scene.label_of(last.resource);
  for (std::size_t i = 0; i + 1 < std::min(ring.steps.size(), most_named); ++i)
    order += " before " + scene.label_of(ring.steps[i].resource);
  if (ring.steps.size() > most_named) order += " and so on";
  const ResourceId held = ring.steps[ring.steps.size() - 2].resource;
  return {"Take these locks in one order everywhere, for example " + order + ": " +
              site_name(scene, last.thread) + " takes " + scene.label_of(last.resource) +
              " while it holds " + scene.label_of(held) + ", the other way round.",
          location, ""};
}

std::vector<Advice> advise(const Scene& scene, const Ring& ring) {
  for (const RingStep& step : ring.steps) {
    if (is_future(scene, step))
      return {
          {"Do not wait for a result while holding a lock that its task, or a callback of it, "
           "takes: release the lock "
           "before the wait, or hand the task what it needs.",
           Scene::location_of(scene.site_of(ring.steps.front().thread)), ""}};
  }
  if (const auto* semaphore = shared_semaphore(scene, ring))
    return {{"Do not take a second permit of " + semaphore->label +
                 " while holding one: when all holders do so, none is left. Pass what the first "
                 "permit is for to the code that needs it.",
             Scene::location_of(scene.site_of(ring.steps.front().thread)), ""}};
  const bool native = std::ranges::all_of(ring.steps, [&](const RingStep& step) {
    const ResourceFact& resource = scene.resource(step.resource);
    return resource.kind == WaitKind::mutex && !resource.implementation.starts_with("Rust");
  });
  return {advise_order(scene, ring),
          {std::string("Or do not hold the first lock while taking the second: release it first") +
               (native ? ", or take both at once (std::scoped_lock in C++)." : "."),
           std::nullopt, ""}};
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
    const StoryLine has = tell_claim(scene, before, step.thread).value_or(StoryLine{});
    finding.story.push_back(has);
    if (const auto interruption = find_interruption(scene, step.thread, held_in)) {
      finding.story.push_back(tell_interruption(scene, step.thread, *interruption));
      finding.advice.push_back(interruption_advice(scene, step.thread, *interruption));
    }
    const Frame* site = scene.site_of(step.thread);
    finding.story.push_back({"It " + wait_phrase(scene, step.thread) +
                                 (site != nullptr ? ", in " + Scene::text_of(site) : "") + ".",
                             thread.wait->evidence});
    if (finding.summary.size() < 4) {
      finding.summary.push_back(has.text + " It " + wait_phrase(scene, step.thread) + ".");
    }
  }
  if (const auto untold = tell_untold(ring)) finding.story.push_back(*untold);
  finding.summary.push_back("No timeout ends these waits: none of the threads can ever go on.");
  finding.story.push_back(
      {shared_semaphore(scene, ring) != nullptr
           ? "All its permits are with threads that wait for one more, and no timeout ends these "
             "waits: none can ever go on."
           : "Each thread waits for what the next one holds, and no timeout ends these waits: none "
             "can ever go on.",
       {}});
  const Frame* site = scene.site_of(ring.steps.front().thread);
  finding.location = Scene::location_of(site);
  for (Advice& advice : advise(scene, ring)) finding.advice.push_back(std::move(advice));
  return finding;
}

}  // namespace

std::vector<Finding> detect_lock_cycle(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    // A result that a thread owes is as good as a lock that it holds, beside one at least.
    bool ring_of_locks = ring.steps.size() >= 2, lock = false;
    for (const RingStep& step : ring.steps) {
      const bool held = step.resource.known() && !step.fed;
      lock = lock || held;
      ring_of_locks = ring_of_locks && (held || is_future(scene, step));
    }
    if (ring_of_locks && lock) findings.push_back(make_finding(scene, ring));
  }
  return findings;
}

}  // namespace coldcase
