// import-lock-cycle: module import locks in a ring with each other, with other locks, or with the
// end or the result of a thread that imports.
#include <algorithm>

#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

bool holds_import(const Scene& scene, const RingStep& step) {
  return step.resource.known() && !step.fed &&
         scene.resource(step.resource).kind == WaitKind::import_lock;
}

// Who imports the module that the step's thread waits for.
ThreadId importer_of(const Ring& ring, std::size_t step) {
  return ring.steps[(step + 1) % ring.steps.size()].thread;
}

void tell_step(const Scene& scene, const Ring& ring, std::size_t i, Finding& finding) {
  const RingStep& step = ring.steps[i];
  const ThreadId next = importer_of(ring, i);
  StoryLine line = tell_wait(scene, step.thread);
  if (finding.summary.size() < 4) finding.summary.push_back(line.text);
  finding.story.push_back(std::move(line));
  if (!holds_import(scene, step)) {
    if (const auto claim = tell_claim(scene, step, next)) finding.story.push_back(*claim);
    return;
  }
  const ResourceFact& lock = scene.resource(step.resource);
  finding.story.push_back({scene.name_of(next) + " holds " + lock.label +
                               ": it is in the middle of that import" + where_of(scene, next) + ".",
                           lock.owners[step.owner].evidence});
}

// What the importer does in the middle of its import, in a ring of two.
std::string headline_of(const Scene& scene, const Ring& ring, std::size_t import) {
  const RingStep& other = ring.steps[(import + 1) % ring.steps.size()];
  const std::string module = scene.label_of(ring.steps[import].resource);
  constexpr std::string_view words = "the import lock of module ";
  const std::string begin =
      "Importing " + (module.starts_with(words) ? module.substr(words.size()) : "a module");
  const std::string waiter = site_name(scene, ring.steps[import].thread);
  const bool two = ring.steps.size() == 2 && !other.process.known();
  if (two && !other.resource.known())
    return begin + " joins a thread that waits in " + waiter + " for that import";
  if (two && holds_import(scene, other))
    return begin + " imports a module whose own import waits for that one";
  if (two && is_future(scene, other))
    return begin + " waits for a result that waits in " + waiter + " for that import";
  if (two && !other.fed)
    return begin + " takes " + scene.label_of(other.resource) + ", whose holder waits in " +
           waiter + " for that import";
  return begin + " waits in " + site_name(scene, importer_of(ring, import)) + " for " + waiter +
         ", which waits for that import";
}

Finding make_finding(const Scene& scene, const Ring& ring, std::size_t import) {
  Finding finding;
  finding.pattern = "import-lock-cycle";
  finding.kind = FindingKind::deadlock;
  take_ring(scene, ring, finding);
  for (std::size_t i = 0; i < std::min(ring.steps.size(), most_steps_told); ++i)
    tell_step(scene, ring, (import + i) % ring.steps.size(), finding);
  if (const auto untold = tell_untold(ring)) finding.story.push_back(*untold);
  finding.story.push_back(
      {"The import cannot finish before that, and that cannot go on before the import is finished: "
       "no timeout ends these waits.",
       {}});
  finding.summary.push_back("Neither can go on before the other: no timeout ends these waits.");
  const ThreadId importer = importer_of(ring, import);
  finding.headline = as_headline(headline_of(scene, ring, import));
  finding.location = Scene::location_of(scene.site_of(importer));
  finding.advice = {
      {"Do not start threads and wait for them, wait for results or take locks while a module is "
       "being imported: do it in a function that is called after the import.",
       finding.location, ""},
      {"Import the module at the top of the program, before threads start: later imports of it "
       "wait "
       "for nothing.",
       Scene::location_of(scene.site_of(ring.steps[import].thread)), ""}};
  return finding;
}

}  // namespace

std::vector<Finding> detect_import_lock_cycle(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    const auto at = std::ranges::find_if(
        ring.steps, [&](const RingStep& step) { return holds_import(scene, step); });
    if (at != ring.steps.end())
      findings.push_back(
          make_finding(scene, ring, static_cast<std::size_t>(at - ring.steps.begin())));
  }
  return findings;
}

}  // namespace coldcase
