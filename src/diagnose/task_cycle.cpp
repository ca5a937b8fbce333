// task-cycle: tasks of an event loop wait for each other, through locks or by awaiting each other,
// while the loop idles; threads of an executor may stand between them.
#include <algorithm>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/party_story.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

std::string headline_of(const Scene& scene, const PartyRing& ring) {
  std::vector<std::string> names;
  bool locks = true;
  for (const PartyStep& step : ring.steps) {
    names.push_back(party_function(scene, step.from));
    const ResourceId id = step.on.as<RefKind::resource>();
    locks = locks && id.known() && scene.resource(id).kind == WaitKind::asyncio_lock;
  }
  if (names.size() == 1) {
    const ResourceId id = ring.steps.front().on.as<RefKind::resource>();
    return names[0] + " waits for " +
           (id.known() ? "an " + scene.resource(id).implementation : "a task") +
           (id.known() ? " that its own task already holds" : ": itself");
  }
  if (names.size() == 2 && locks)
    return "Task ring: " + names[0] + " and " + names[1] +
           " each hold the asyncio.Lock that the other waits for";
  if (names.size() == 2)
    return "Task ring: " + names[0] + " and " + names[1] + " wait for each other";
  return "Ring of " + std::to_string(names.size()) + ": " + names[0] + ", " + names[1] +
         " and others wait for each other while the event loop idles";
}

std::optional<Location> taken_at(const Scene& scene, const PartyStep& step) {
  const ResourceId id = step.on.as<RefKind::resource>();
  if (step.to.kind != RefKind::task || !id.known()) return std::nullopt;
  const TaskFact& holder = scene.facts.tasks[step.to.index];
  for (const Hold& hold : holder.holds) {
    if (hold.resource == id && hold.frame && holder.stack.known())
      return Scene::location_of(
          &scene.facts.frames[scene.facts.stacks[holder.stack.index].frames[*hold.frame]]);
  }
  return std::nullopt;
}

std::vector<Advice> advice_for(const Scene& scene, const PartyRing& ring) {
  const auto lock = std::ranges::find_if(ring.steps, [&](const PartyStep& step) {
    const ResourceId id = step.on.as<RefKind::resource>();
    return id.known() && !step.fed;
  });
  const auto site = Scene::location_of(party_site(scene, ring.steps.front().from));
  if (lock == ring.steps.end())
    return {
        {"Let one of them not await the other: hand over a value through a future or a queue "
         "that somebody else fills.",
         site, ""}};
  const std::string label = scene.label_of(lock->on.as<RefKind::resource>());
  if (ring.steps.size() == 1)
    return {{"asyncio.Lock is not reentrant: split the coroutine into one that takes " + label +
                 " and one that expects it to be held.",
             site, ""}};
  const bool all_locks = std::ranges::all_of(ring.steps, [](const PartyStep& step) {
    return step.on.kind == RefKind::resource && !step.fed;
  });
  if (all_locks) {
    const std::string first = scene.label_of(ring.steps.back().on.as<RefKind::resource>());
    const std::string second = scene.label_of(ring.steps.front().on.as<RefKind::resource>());
    return {{first == second ? order_several(first)
                             : "Take these locks in one order everywhere, for example always " +
                                   first + " before " + second + ".",
             site, ""},
            {"Or leave the first lock's async with block before taking the second.",
             taken_at(scene, *lock), ""}};
  }
  return {{"Leave the async with block of " + label +
               " before awaiting what needs that lock, or let it work without the lock.",
           taken_at(scene, *lock), ""}};
}

Finding make_finding(const Scene& scene, const PartyRing& ring) {
  Finding finding;
  finding.pattern = "task-cycle";
  finding.kind = FindingKind::deadlock;
  take_party_ring(scene, ring, finding);
  finding.headline = as_headline(headline_of(scene, ring));
  for (std::size_t i = 0; i < std::min(ring.steps.size(), most_steps_told); ++i) {
    const PartyStep& step = ring.steps[i];
    finding.story.push_back(tell_party_wait(scene, step.from));
    if (finding.summary.size() < 4) finding.summary.push_back(finding.story.back().text);
    if (auto claim = tell_party_claim(scene, step)) finding.story.push_back(std::move(*claim));
  }
  if (ring.steps.size() > most_steps_told)
    finding.story.push_back({"So do " + counted(ring.steps.size() - most_steps_told, "more") +
                                 ", up to the first one again.",
                             {}});
  finding.story.push_back({ring.steps.size() == 1
                               ? "Nobody else can release it, and no timeout ends the wait."
                               : "Each waits for what only the next can give, and no timeout ends "
                                 "these waits: the event loop idles and none goes on.",
                           {}});
  std::vector<Ref> members;
  for (const PartyStep& step : ring.steps) members.push_back(step.from);
  if (std::string behind = tell_parties_behind(scene, members); !behind.empty())
    finding.story.push_back({std::move(behind), {}});
  finding.summary.push_back("No timeout ends these waits: none of them can ever go on.");
  finding.location = Scene::location_of(party_site(scene, ring.steps.front().from));
  finding.advice = advice_for(scene, ring);
  return finding;
}

}  // namespace

std::vector<Finding> detect_task_cycle(const Scene& scene) {
  std::vector<Finding> findings;
  for (const PartyRing& ring : find_party_rings(scene.facts)) {
    if (!blocks_loop(scene.facts, ring)) findings.push_back(make_finding(scene, ring));
  }
  return findings;
}

}  // namespace coldcase
