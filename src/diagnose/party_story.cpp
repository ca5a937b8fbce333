#include "diagnose/party_story.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

const TaskFact& task_at(const Scene& scene, Ref party) {
  return scene.facts.tasks[party.index];
}

const Frame* task_frame(const Scene& scene, Ref party, std::optional<std::uint32_t> index) {
  const StackId stack = task_at(scene, party).stack;
  if (!stack.known() || !index || *index >= scene.facts.stacks[stack.index].frames.size())
    return nullptr;
  return &scene.facts.frames[scene.facts.stacks[stack.index].frames[*index]];
}

std::string task_target(const Scene& scene, const Wait& wait) {
  if (wait.on.empty()) return "waits";
  const Ref on = wait.on.front();
  const std::string others = wait.on.size() < 2 ? ""
                                                : (wait.all == true ? " and " : " or ") +
                                                      counted(wait.on.size() - 1, "other");
  if (on.kind == RefKind::task || on.kind == RefKind::thread)
    return "waits for the end of " + party_name(scene, on) + others;
  const ResourceId resource = on.as<RefKind::resource>();
  return resource.known() ? "waits for " + scene.label_of(resource) + others : "waits";
}

const std::vector<Hold>& holds_of(const Scene& scene, Ref party) {
  return party.kind == RefKind::task ? task_at(scene, party).holds
                                     : scene.thread(party.as<RefKind::thread>()).holds;
}

const Frame* frame_of(const Scene& scene, Ref party, std::optional<std::uint32_t> index) {
  return party.kind == RefKind::task ? task_frame(scene, party, index)
                                     : scene.frame_of(party.as<RefKind::thread>(), index);
}

}  // namespace

std::string party_name(const Scene& scene, Ref party) {
  if (const ThreadId id = party.as<RefKind::thread>(); id.known()) return scene.name_of(id);
  const TaskFact& task = task_at(scene, party);
  std::string name = task.name.empty() ? "a task" : task.name;
  if (!task.name.empty() && !name.starts_with("Task-")) name.insert(0, "task ");
  if (task.alike) name += " (and " + std::to_string(*task.alike) + " alike)";
  return name;
}

const Frame* party_site(const Scene& scene, Ref party) {
  if (party.kind == RefKind::thread) return scene.site_of(party.as<RefKind::thread>());
  const Frame* site = task_frame(scene, party, task_at(scene, party).site);
  return site != nullptr ? site : task_frame(scene, party, 0);
}

std::string party_function(const Scene& scene, Ref party) {
  const Frame* site = party_site(scene, party);
  if (site != nullptr && !site->function.empty()) return short_name(site->function);
  return party.kind == RefKind::task ? "a task" : "a thread";
}

const std::optional<Wait>& party_wait(const Scene& scene, Ref party) {
  return party.kind == RefKind::task ? task_at(scene, party).wait
                                     : scene.thread(party.as<RefKind::thread>()).wait;
}

StoryLine tell_party_wait(const Scene& scene, Ref party) {
  if (party.kind == RefKind::thread) return tell_wait(scene, party.as<RefKind::thread>());
  const Wait& wait = *task_at(scene, party).wait;
  const Frame* site = party_site(scene, party);
  return {party_name(scene, party) + " " + task_target(scene, wait) +
              (site != nullptr ? ", in " + Scene::text_of(site) : "") + ".",
          wait.evidence};
}

std::optional<StoryLine> tell_party_claim(const Scene& scene, const PartyStep& step) {
  const std::string who = party_name(scene, step.to);
  if (!step.on.known())
    return StoryLine{party_name(scene, step.from) + " goes on only when " + who +
                         " comes back to its event loop.",
                     {}};
  const ResourceId id = step.on.as<RefKind::resource>();
  if (!id.known()) return std::nullopt;
  const ResourceFact& resource = scene.resource(id);
  if (step.fed) {
    const bool loop = step.to.kind == RefKind::thread && resource.part_of.known();
    return StoryLine{(loop ? "The event loop that " + who + " runs would have to produce that"
                           : who + " would have to produce that") +
                         ".",
                     resource.feeders[step.owner].evidence};
  }
  std::string where;
  for (const Hold& hold : holds_of(scene, step.to)) {
    const Frame* frame = hold.resource == id ? frame_of(scene, step.to, hold.frame) : nullptr;
    if (frame == nullptr) continue;
    Frame taking = *frame;
    if (hold.line) taking.line = hold.line;
    where = (hold.line ? ", taken in " : ", in ") + Scene::text_of(&taking);
  }
  return StoryLine{who + " holds " + resource.label + where + ".",
                   resource.owners[step.owner].evidence};
}

void take_party_ring(const Scene& scene, const PartyRing& ring, Finding& finding) {
  finding.cyclic = true;
  finding.confidence = ring.confidence;
  const auto add = [](auto& list, auto id) {
    if (id.known() && std::ranges::find(list, id) == list.end()) list.push_back(id);
  };
  for (const PartyStep& step : ring.steps) {
    add(finding.threads, step.from.as<RefKind::thread>());
    add(finding.tasks, step.from.as<RefKind::task>());
    if (!step.on.known()) {
      finding.path.push_back({step.to, Relation::runs, step.from, step.confidence, {}});
      continue;
    }
    const Wait& wait = *party_wait(scene, step.from);
    finding.path.push_back(
        {step.from, Relation::waits_for, step.on, wait.confidence, wait.evidence});
    const ResourceId id = step.on.as<RefKind::resource>();
    if (!id.known()) continue;
    add(finding.resources, id);
    const ResourceFact& resource = scene.resource(id);
    const Owner& claim = (step.fed ? resource.feeders : resource.owners)[step.owner];
    finding.path.push_back({step.on, step.fed ? Relation::fed_by : Relation::held_by, step.to,
                            claim.confidence, claim.evidence});
  }
}

std::uint64_t count_tasks(const Facts& facts, const std::vector<Ref>& parties) {
  std::uint64_t count = 0;
  for (const Ref party : parties) {
    if (party.kind == RefKind::task) count += 1 + facts.tasks[party.index].alike.value_or(0);
  }
  return count;
}

std::string tell_parties_behind(const Scene& scene, const std::vector<Ref>& set) {
  const std::vector<Ref> behind = find_parties_behind(scene.facts, set);
  const std::uint64_t tasks = count_tasks(scene.facts, behind);
  const auto threads =
      static_cast<std::uint64_t>(std::ranges::count(behind, RefKind::thread, &Ref::kind));
  std::vector<std::string> parts;
  if (tasks > 0) parts.push_back(counted(tasks, "other task"));
  if (threads > 0) parts.push_back(counted(threads, "other thread"));
  if (parts.empty()) return {};
  return join(parts, " and ") + (tasks + threads == 1 ? " is" : " are") + " held up behind it.";
}

}  // namespace coldcase
