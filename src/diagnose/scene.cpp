#include "diagnose/scene.hpp"

#include "base/text.hpp"

namespace coldcase {

std::string Scene::plain_name_of(ThreadId id) const {
  const ThreadFact& fact = thread(id);
  if (!fact.name.empty()) return fact.name;
  return fact.entry;
}

std::string Scene::name_of(ThreadId id) const {
  const ThreadFact& fact = thread(id);
  const std::string number = fact.tid ? "LWP " + std::to_string(*fact.tid) : "a thread";
  const std::string name = plain_name_of(id);
  return name.empty() ? number : name + " (" + number + ")";
}

const Frame* Scene::frame_of(ThreadId id, std::optional<std::uint32_t> index) const {
  const StackId stack = thread(id).stack;
  if (!stack.known() || !index || *index >= facts.stacks[stack.index].frames.size()) return nullptr;
  return &facts.frames[facts.stacks[stack.index].frames[*index]];
}

const Frame* Scene::site_of(ThreadId id) const {
  return frame_of(id, thread(id).site);
}

std::string Scene::text_of(const Frame* frame) {
  if (frame == nullptr) return {};
  std::string text = frame->function.empty() ? "a function without a name" : frame->function;
  if (frame->file.empty()) return text;
  text += " at " + std::string(base_name(frame->file));
  if (frame->line) text += ":" + std::to_string(*frame->line);
  return text;
}

std::optional<Location> Scene::location_of(const Frame* frame) {
  if (frame == nullptr) return std::nullopt;
  Location location;
  location.file = frame->file;
  location.line = frame->line;
  location.function = frame->function;
  location.module = frame->module;
  if (frame->module.known()) location.module_offset = frame->module_offset;
  return location;
}

void take_ring(const Scene& scene, const Ring& ring, Finding& finding) {
  finding.cyclic = true;
  finding.confidence = ring.confidence;
  for (std::size_t i = 0; i < ring.steps.size(); ++i) {
    const RingStep& step = ring.steps[i];
    const ThreadId next = ring.steps[(i + 1) % ring.steps.size()].thread;
    finding.threads.push_back(step.thread);
    const Wait& wait = *scene.thread(step.thread).wait;
    if (!step.resource.known()) {
      finding.path.push_back(
          {step.thread, Relation::waits_for, next, wait.confidence, wait.evidence});
      continue;
    }
    finding.resources.push_back(step.resource);
    const Owner& owner = scene.resource(step.resource).owners[step.owner];
    finding.path.push_back(
        {step.thread, Relation::waits_for, step.resource, wait.confidence, wait.evidence});
    finding.path.push_back(
        {step.resource, Relation::held_by, next, owner.confidence, owner.evidence});
  }
}

std::string wait_phrase(const Scene& scene, ThreadId id) {
  const Wait& wait = *scene.thread(id).wait;
  const ResourceId resource = wait.on.front().as<RefKind::resource>();
  if (!resource.known())
    return "waits for the end of " + scene.name_of(wait.on.front().as<RefKind::thread>());
  const std::string mode = wait.mode == Mode::write  ? "waits to write-lock "
                           : wait.mode == Mode::read ? "waits to read-lock "
                                                     : "waits for ";
  return mode + scene.label_of(resource);
}

std::string as_headline(std::string text) {
  constexpr std::size_t longest = 120;
  // Messages of the program may hold addresses: a headline is the same for every run.
  for (auto at = text.find("0x"); at != std::string::npos; at = text.find("0x", at + 1)) {
    const auto end = text.find_first_not_of("0123456789abcdefABCDEF", at + 2);
    if (end != at + 2)
      text.replace(at, (end == std::string::npos ? text.size() : end) - at, "(address)");
  }
  if (text.size() <= longest) return text;
  return clean_text(text, longest - 4);  // at a character; ends in an ellipsis of three bytes
}

}  // namespace coldcase
