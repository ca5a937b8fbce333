// async-signal-reentry: a signal handler takes what the code it interrupted holds.
#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

// The innermost signal frame of the thread, as an index into its stack.
std::optional<std::uint32_t> signal_frame(const Scene& scene, ThreadId id) {
  const StackId stack = scene.thread(id).stack;
  if (!stack.known()) return std::nullopt;
  const auto& frames = scene.facts.stacks[stack.index].frames;
  for (std::uint32_t f = 0; f < frames.size(); ++f) {
    if (scene.facts.frames[frames[f]].kind == FrameKind::signal) return f;
  }
  return std::nullopt;
}

// What the signal interrupted: the next frame outside `from` of the user's own code, or the next
// with a name.
const Frame* interrupted_at(const Scene& scene, ThreadId id, std::uint32_t from) {
  const auto& frames = scene.facts.stacks[scene.thread(id).stack.index].frames;
  const Frame* named = nullptr;
  for (std::size_t f = from; f < frames.size(); ++f) {
    const Frame& frame = scene.facts.frames[frames[f]];
    if (frame.function.empty() || frame.kind == FrameKind::signal) continue;
    if (frame.in_app.value_or(false)) return &frame;
    if (named == nullptr) named = &frame;
  }
  return named;
}

std::string interruption(const std::string& where, const std::string& label) {
  return "A signal interrupted " + where + " while it held " + label +
         "; the handler runs on top of it and wants the same. The code below cannot go on before "
         "the handler returns, and the handler never does.";
}

}  // namespace

std::vector<Finding> detect_async_signal_reentry(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    const RingStep& step = ring.steps.front();
    if (ring.steps.size() != 1 || !step.resource.known() || step.fed) continue;
    const auto handler = signal_frame(scene, step.thread);
    if (!handler) continue;
    // Held from inside the handler: an ordinary second attempt.
    bool inside = false;
    for (const Hold& hold : scene.thread(step.thread).holds)
      inside = inside || (hold.resource == step.resource && hold.frame && *hold.frame < *handler);
    if (inside) continue;
    Finding finding = ring_finding(scene, ring, "async-signal-reentry");
    const std::string label = scene.label_of(step.resource);
    const Frame* interrupted = interrupted_at(scene, step.thread, *handler);
    const std::string where = interrupted != nullptr ? Scene::text_of(interrupted) : "the thread";
    finding.headline =
        as_headline("A signal handler takes what the code it interrupted holds, in " +
                    site_name(scene, step.thread));
    finding.story.pop_back();
    finding.story.push_back({interruption(where, label), {}});
    finding.summary = {scene.name_of(step.thread) + " " + wait_phrase(scene, step.thread) +
                           " in a signal handler, and holds it itself, below the handler.",
                       "No timeout ends the wait."};
    finding.advice = {
        {"Call only async-signal-safe functions in a signal handler (man 7 signal-safety): no "
         "malloc, no stdio, no locks. Set a flag or write to a pipe, and act on it outside.",
         finding.location, ""}};
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
