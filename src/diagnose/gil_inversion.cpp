#include "diagnose/gil_inversion.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace coldcase {
namespace {

constexpr std::string_view pending = " (callback, not yet entered)";

std::string via(const ThreadFact& thread) {
  return thread.api ? " " + thread.api->name : std::string();
}

bool has_frame_in(const Scene& scene, ThreadId id, std::string_view module) {
  const StackId stack = scene.thread(id).stack;
  if (!stack.known()) return false;
  return std::ranges::any_of(scene.facts.stacks[stack.index].frames, [&](std::uint32_t f) {
    const ModuleId at = scene.facts.frames[f].module;
    return at.known() && scene.facts.modules[at.index].name.starts_with(module);
  });
}

std::string held_mode(const Scene& scene, const Inversion& inversion) {
  for (const Owner& owner : scene.resource(inversion.lock).owners) {
    if (owner.by == Ref(inversion.lock_holder) && owner.mode == Mode::write) return " for writing";
  }
  return {};
}

std::vector<EvidenceId> owner_evidence(const Scene& scene, ResourceId resource, ThreadId holder) {
  for (const Owner& owner : scene.resource(resource).owners) {
    if (owner.by == Ref(holder)) return owner.evidence;
  }
  return {};
}

// How the holder of the native lock came to need the GIL.
void tell_lock_holder(const Scene& scene, const Inversion& in, std::vector<StoryLine>& story) {
  const ThreadFact& thread = scene.thread(in.lock_holder);
  const std::string name = scene.name_of(in.lock_holder);
  const Frame* caller = find_python_frame(scene, in.lock_holder, true);
  const bool ctypes = has_frame_in(scene, in.lock_holder, "_ctypes");
  if (thread.api) {
    std::string text = name + " called" + via(thread);
    if (ctypes) text += " through ctypes";
    if (caller != nullptr) text += ", in " + Scene::text_of(caller);
    text += ".";
    if (ctypes) text += " ctypes gives the GIL away for the length of such a call.";
    story.push_back({text, find_evidence(scene, in.lock_holder, "libcuda's")});
  } else if (const Frame* site = scene.site_of(in.lock_holder)) {
    const bool native = site->kind != FrameKind::python && caller != nullptr;
    story.push_back({name + " is in " + Scene::text_of(site) +
                         (native ? ", called from " + Scene::text_of(caller) : "") + ".",
                     {}});
  }
  story.push_back({(story.empty() ? name : std::string(thread.api ? "Inside that call it" : "It")) +
                       " holds " + scene.label_of(in.lock) + held_mode(scene, in) + ".",
                   owner_evidence(scene, in.lock, in.lock_holder)});
  const Wait& wait = *thread.wait;
  const Frame* callback = find_pending_callback(scene, in.lock_holder);
  if (callback != nullptr) {
    const std::string function =
        callback->function.substr(0, callback->function.size() - pending.size());
    Frame plain = *callback;
    plain.function = function;
    std::vector<EvidenceId> known(wait.evidence.begin() + (wait.evidence.size() > 1 ? 1 : 0),
                                  wait.evidence.end());
    story.push_back(
        {std::string("Still holding it, ") + (thread.api ? "the driver" : "native code") +
             " called the Python function it had been given: " + Scene::text_of(&plain) + ".",
         known});
  }
  story.push_back(
      {"Python code may only run with the GIL (global interpreter lock), so the thread waits for "
       "it" +
           std::string(callback != nullptr ? " before the callback can begin." : "."),
       wait.evidence.empty() ? std::vector<EvidenceId>{}
                             : std::vector<EvidenceId>{wait.evidence.front()}});
}

void tell_gil_holder(const Scene& scene, const Inversion& in, std::vector<StoryLine>& story) {
  const ThreadFact& thread = scene.thread(in.gil_holder);
  const std::string name = scene.name_of(in.gil_holder);
  story.push_back({name + " has the GIL.", owner_evidence(scene, in.gil, in.gil_holder)});
  const Frame* python = find_python_frame(scene, in.gil_holder, true);
  const Frame* site = scene.site_of(in.gil_holder);
  std::string text = "It did not give the GIL up when it called native code";
  if (python != nullptr) text += ", in " + Scene::text_of(python);
  text += ".";
  const bool native = site != nullptr && site->kind != FrameKind::python;
  text += " That code" + (native ? ", " + Scene::text_of(site) + "," : std::string());
  text += thread.api ? " called the driver's" + via(thread) + ", which wants that same lock."
                     : " wants that same lock.";
  std::vector<EvidenceId> known = thread.wait->evidence;
  const auto api = find_evidence(scene, in.gil_holder, "libcuda's");
  known.insert(known.end(), api.begin(), api.end());
  story.push_back({text, known});
}

}  // namespace

std::optional<Inversion> parse_inversion(const Scene& scene, const Ring& ring) {
  // Longer rings are told as lock rings: each of their parties has to be named.
  if (ring.steps.size() != 2) return std::nullopt;
  Inversion inversion;
  inversion.ring = &ring;
  for (std::size_t i = 0; i < ring.steps.size(); ++i) {
    const RingStep& step = ring.steps[i];
    if (!step.resource.known()) return std::nullopt;
    const ThreadId next = ring.steps[(i + 1) % ring.steps.size()].thread;
    if (scene.resource(step.resource).kind == WaitKind::gil) {
      inversion.gil = step.resource;
      inversion.lock_holder = step.thread;
      inversion.gil_holder = next;
    }
  }
  if (!inversion.gil.known()) return std::nullopt;
  for (const RingStep& step : ring.steps) {
    if (step.thread == inversion.gil_holder) inversion.lock = step.resource;
  }
  return inversion;
}

std::vector<EvidenceId> find_evidence(const Scene& scene, ThreadId thread,
                                      std::string_view source) {
  std::vector<EvidenceId> found;
  for (std::uint32_t i = 0; i < scene.facts.evidence.size(); ++i) {
    const Evidence& evidence = scene.facts.evidence[i];
    if (evidence.thread == thread && evidence.source.starts_with(source)) found.push_back({i});
  }
  return found;
}

const Frame* find_pending_callback(const Scene& scene, ThreadId thread) {
  const StackId stack = scene.thread(thread).stack;
  if (!stack.known()) return nullptr;
  for (const std::uint32_t f : scene.facts.stacks[stack.index].frames) {
    const Frame& frame = scene.facts.frames[f];
    if (frame.kind == FrameKind::python && frame.function.ends_with(pending)) return &frame;
  }
  return nullptr;
}

const Frame* find_python_frame(const Scene& scene, ThreadId thread, bool in_app) {
  const StackId stack = scene.thread(thread).stack;
  if (!stack.known()) return nullptr;
  for (const std::uint32_t f : scene.facts.stacks[stack.index].frames) {
    const Frame& frame = scene.facts.frames[f];
    if (frame.kind != FrameKind::python || frame.function.ends_with(pending)) continue;
    if (!in_app || frame.in_app.value_or(false)) return &frame;
  }
  return in_app ? find_python_frame(scene, thread, false) : nullptr;
}

std::vector<StoryLine> inversion_story(const Scene& scene, const Inversion& inversion) {
  std::vector<StoryLine> story;
  tell_lock_holder(scene, inversion, story);
  tell_gil_holder(scene, inversion, story);
  const auto number = [&](ThreadId id) { return scene.name_of(id); };
  story.push_back({"So " + number(inversion.gil_holder) + " waits for " +
                       number(inversion.lock_holder) + ", and " + number(inversion.lock_holder) +
                       " waits for it. No timeout ends either wait: a thread that waits for the "
                       "GIL wakes every 5 ms, but only to ask again.",
                   {}});
  return story;
}

}  // namespace coldcase
