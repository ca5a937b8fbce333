#include "diagnose/orphan.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_chains = 4;  // told one by one

// The chain from a thread that is held up to the lock: main -> child -> queue -> feeder.
void take_chain(const Scene& scene, ThreadId from, const std::set<ThreadId>& waiters,
                std::set<ThreadId>& told, Finding& finding) {
  for (const Way& way : follow(scene.facts, from)) {
    const ThreadId at = way.step.thread;
    if (waiters.contains(at) || !told.insert(at).second) return;
    take_step(scene, way.step, way.thread, finding);
    finding.story.push_back(tell_wait(scene, at));
    if (const auto claim = tell_claim(scene, way.step, way.thread)) finding.story.push_back(*claim);
  }
}

}  // namespace

std::vector<Orphan> find_orphans(const Scene& scene,
                                 std::initializer_list<std::string_view> codes) {
  std::vector<Orphan> orphans;
  for (std::uint32_t r = 0; r < scene.facts.resources.size(); ++r) {
    const ResourceFact& resource = scene.facts.resources[r];
    if (!is_orphaned(resource) ||
        std::ranges::find(codes, resource.owner_unknown_code) == codes.end())
      continue;
    Orphan orphan;
    orphan.lock = {r};
    for (const Ref waiter : resource.waiters) {
      const ThreadId id = waiter.as<RefKind::thread>();
      if (id.known() && scene.stuck[id.index]) orphan.waiters.push_back(id);
    }
    if (orphan.waiters.empty()) continue;
    orphan.behind = find_behind(scene.facts, orphan.waiters);
    orphans.push_back(std::move(orphan));
  }
  return orphans;
}

std::string lock_word(const ResourceFact& lock) {
  const bool python = lock.implementation.starts_with("threading.") ||
                      lock.implementation.starts_with("multiprocessing.");
  if (python) return lock.implementation;
  if (lock.implementation.starts_with("_io.")) return lock.implementation.substr(1) + "'s lock";
  std::string text(word(lock.kind));
  std::ranges::replace(text, '_', ' ');
  return text;
}

std::string with_article(const std::string& noun) {
  const bool vowel =
      !noun.empty() && std::string_view("aeiouAEIOU").find(noun.front()) != std::string_view::npos;
  return (vowel ? "an " : "a ") + noun;
}

Finding orphan_finding(const Scene& scene, const Orphan& orphan, std::string_view pattern,
                       Confidence confidence) {
  Finding finding;
  finding.pattern = std::string(pattern);
  finding.kind = FindingKind::deadlock;
  finding.confidence = confidence;
  finding.resources.push_back(orphan.lock);
  for (const ThreadId waiter : orphan.waiters) {
    const Wait& wait = *scene.thread(waiter).wait;
    finding.confidence = std::min(finding.confidence, wait.confidence);
    finding.threads.push_back(waiter);
    finding.path.push_back(
        {waiter, Relation::waits_for, orphan.lock, wait.confidence, wait.evidence});
    if (finding.story.size() < most_chains) finding.story.push_back(tell_wait(scene, waiter));
  }
  const std::set<ThreadId> waiters(orphan.waiters.begin(), orphan.waiters.end());
  std::set<ThreadId> told;
  for (const ThreadId behind : orphan.behind) {
    if (told.size() < most_chains) take_chain(scene, behind, waiters, told, finding);
  }
  const std::size_t untold = orphan.behind.size() - std::min(orphan.behind.size(), told.size());
  if (untold > 0)
    finding.story.push_back({counted(untold, "more thread") + " held up behind these.", {}});
  finding.location = Scene::location_of(scene.site_of(orphan.waiters.front()));
  return finding;
}

}  // namespace coldcase
