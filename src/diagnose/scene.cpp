#include "diagnose/scene.hpp"

#include <algorithm>

#include "base/function_name.hpp"
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
  std::string full = name.empty() ? number : name + " (" + number + ")";
  if (!has_several_processes(facts) || !fact.process.known()) return full;
  return full + " of " + name_of(fact.process);
}

std::string Scene::name_of(ProcessId id) const {
  if (!id.known()) return "an unknown process";
  const ProcessFact& process = facts.processes[id.index];
  const std::string name = process.label.empty() ? "process" : process.label;
  return process.pid ? name + " " + std::to_string(*process.pid) : name;
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
  std::string text =
      frame->kind == FrameKind::python ? frame->function : spoken_function(frame->function);
  if (text.empty()) text = "a function without a name";
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

void take_step(const Scene& scene, const RingStep& step, ThreadId next, Finding& finding) {
  finding.threads.push_back(step.thread);
  const Wait& wait = *scene.thread(step.thread).wait;
  const auto add = [&](Ref from, Relation relation, Ref to, Confidence sure,
                       const std::vector<EvidenceId>& evidence) {
    const bool told = std::ranges::any_of(finding.path, [&](const Edge& edge) {
      return edge.from == from && edge.relation == relation && edge.to == to;
    });
    if (!told) finding.path.push_back({from, relation, to, sure, evidence});
  };
  if (!step.resource.known()) {
    const Ref target = step.process.known() ? Ref(step.process) : Ref(next);
    add(step.thread, Relation::waits_for, target, wait.confidence, wait.evidence);
  } else {
    if (std::ranges::find(finding.resources, step.resource) == finding.resources.end())
      finding.resources.push_back(step.resource);
    const ResourceFact& resource = scene.resource(step.resource);
    const Owner& claim = (step.fed ? resource.feeders : resource.owners)[step.owner];
    const Relation relation = step.fed ? Relation::fed_by : Relation::held_by;
    add(step.thread, Relation::waits_for, step.resource, wait.confidence, wait.evidence);
    add(step.resource, relation, step.process.known() ? Ref(step.process) : Ref(next),
        claim.confidence, claim.evidence);
  }
  if (!step.process.known()) return;
  if (std::ranges::find(finding.processes, step.process) == finding.processes.end())
    finding.processes.push_back(step.process);
  add(step.process, Relation::runs, next, Confidence::proved, {});
}

void take_ring(const Scene& scene, const Ring& ring, Finding& finding) {
  finding.cyclic = true;
  finding.confidence = ring.confidence;
  for (std::size_t i = 0; i < ring.steps.size(); ++i)
    take_step(scene, ring.steps[i], ring.steps[(i + 1) % ring.steps.size()].thread, finding);
}

std::optional<StoryLine> tell_untold(const Ring& ring) {
  if (ring.steps.size() <= most_steps_told) return std::nullopt;
  const std::size_t untold = ring.steps.size() - most_steps_told;
  return StoryLine{"So " + std::string(untold == 1 ? "does " : "do ") +
                       counted(untold, "more thread") + ", up to the first one again.",
                   {}};
}

std::string where_of(const Scene& scene, ThreadId id) {
  const Frame* site = scene.site_of(id);
  return site != nullptr ? ", in " + Scene::text_of(site) : "";
}

namespace {

// "; it ran 4.1 s of CPU, no system call"
std::string cpu_phrase(const ThreadFact& thread) {
  if (thread.state != ThreadState::spinning || !thread.cpu_ms) return {};
  const bool shared = thread.cpu_from == CpuFrom::core_remainder;
  return std::string(shared ? "; it and threads that have ended" : "; it") + " ran " +
         seconds_text(*thread.cpu_ms) + " of CPU" +
         (thread.in_syscall.value_or(true) ? "" : ", no system call");
}

}  // namespace

StoryLine tell_wait(const Scene& scene, ThreadId id) {
  return {scene.name_of(id) + " " + wait_phrase(scene, id) + where_of(scene, id) +
              cpu_phrase(scene.thread(id)) + ".",
          scene.thread(id).wait->evidence};
}

std::string hold_verb(const Owner& claim) {
  if (claim.basis != Basis::inference) return " holds ";
  return claim.confidence >= Confidence::likely ? " seems to hold " : " may hold ";
}

// A function of the standard library that has the user's inlined in it: the outermost of those.
static const Frame* users_frame(const Scene& scene, ThreadId id, std::uint32_t at) {
  const Frame* found = scene.frame_of(id, at);
  if (found == nullptr || found->in_app.value_or(false)) return found;
  for (std::uint32_t f = at; f-- > 0;) {
    const Frame* frame = scene.frame_of(id, f);
    if (frame == nullptr || frame->kind != FrameKind::inline_) break;
    if (frame->in_app.value_or(false)) return frame;
  }
  return found;
}

std::string taken_in(const Scene& scene, ThreadId id, ResourceId resource) {
  for (const Hold& hold : scene.thread(id).holds) {
    const Frame* frame =
        hold.resource == resource && hold.frame ? users_frame(scene, id, *hold.frame) : nullptr;
    if (frame == nullptr) continue;
    Frame taking = *frame;
    if (hold.line) taking.line = hold.line;  // else the line it is in now, inside the block
    return (hold.line ? ", taken in " : ", in ") + Scene::text_of(&taking);
  }
  return {};
}

// The number in its label is that of the descriptor in the waiter's process.
static std::string other_end_of(const ResourceFact& resource) {
  const std::string& label = resource.label;
  if (label.starts_with("a pipe (")) return "that pipe";
  if (label.starts_with("a socket (")) return "that socket";
  return label.starts_with("a TCP socket ") ? "that connection" : label;
}

std::optional<StoryLine> tell_claim(const Scene& scene, const RingStep& step, ThreadId next) {
  if (!step.resource.known()) return std::nullopt;
  const ResourceFact& resource = scene.resource(step.resource);
  const Owner& claim = (step.fed ? resource.feeders : resource.owners)[step.owner];
  const std::string who = step.process.known() ? scene.name_of(step.process) : scene.name_of(next);
  const bool gil = resource.kind == WaitKind::gil;  // taken and given back all the time
  std::string does = hold_verb(claim);
  if (step.fed && resource.kind == WaitKind::future) {
    const bool collects = resource.details.find("ProcessPoolExecutor") != std::string::npos;
    does = is_queued(scene.facts, resource) ? " is a worker that could run "
           : collects                       ? " takes the result from the pool's processes for "
                                            : " runs ";
  } else if (step.fed) {
    const bool room = scene.thread(step.thread).wait->mode == Mode::write;
    does = resource.kind == WaitKind::polled_word ? " would change "
           : room                                 ? " is the one to read from "
                                                  : " is the one to write to ";
  }
  const std::string where = gil ? std::string() : taken_in(scene, next, step.resource);
  const std::string what =
      step.fed && step.process.known() ? other_end_of(resource) : resource.label;
  return StoryLine{who + does + what + where + ".", claim.evidence};
}

std::vector<Way> follow(const Facts& facts, ThreadId from) {
  std::vector<Way> path;
  std::vector<bool> seen(facts.threads.size());
  for (ThreadId at = from; !seen[at.index];) {
    seen[at.index] = true;
    const std::vector<Way> ways = ways_on(facts, at);
    if (ways.empty()) break;
    // Of equals not to its own process: many pools have a pipe to wake their own threads.
    const auto rank = [&](const Way& way) {
      const bool own = way.step.process == facts.threads[at.index].process;
      return std::pair{way.confidence, !own && !seen[way.thread.index]};
    };
    const auto best = std::ranges::max_element(ways, {}, rank);
    path.push_back(*best);
    at = best->thread;
  }
  return path;
}

std::string tell_behind(const Scene& scene, const std::vector<ThreadId>& behind) {
  if (behind.empty()) return {};
  if (behind.size() == 1) return scene.name_of(behind.front()) + " is held up behind it.";
  return counted(behind.size(), "other thread") + " are held up behind it, directly or not.";
}

namespace {

// What the standard library's objects wait for, in its own terms; empty for others.
std::string object_phrase(const ResourceFact& resource, const Wait& wait) {
  const auto is = [&](std::string_view type) {
    return resource.implementation.find(type) != std::string::npos;
  };
  std::string text;
  if (is("Executor")) {
    text = "waits for work of " + resource.label;
  } else if (is("queue.")) {
    text = wait.mode == Mode::read    ? "waits for an item of " + resource.label
           : wait.mode == Mode::write ? "waits for room in " + resource.label
                                      : "waits until all items of " + resource.label + " are done";
  } else if (is("threading.Event")) {
    text = "waits for " + resource.label + " to be set";
  } else if (is("threading.Condition")) {
    text = "waits to be notified of " + resource.label;
  } else if (is("threading.Barrier")) {
    text = "waits for the other parties of " + resource.label;
  } else if (is("multiprocessing.Pool")) {
    text = "waits until all work of " + resource.label + " is done";
  } else if (resource.kind == WaitKind::future) {
    text =
        (resource.label.starts_with("the result of") ? "waits for " : "waits for the result of ") +
        resource.label;
  } else {
    return {};
  }
  return resource.details.empty() ? text : text + " (" + resource.details + ")";
}

// ", no data received for 12.3 s".
std::string since_phrase(const ConnectionFact& connection, const Wait& wait) {
  const bool writes = wait.mode == Mode::write;
  const auto& ms = writes ? connection.sent_ms : connection.received_ms;
  if (!ms) return {};
  const bool never = (writes ? connection.sent_bytes : connection.received_bytes) == 0;
  return std::string(writes ? ", no data sent for " : ", no data received for ") +
         seconds_text(*ms) + (never ? ", since it was connected" : "");
}

std::string target_phrase(const Scene& scene, const Wait& wait) {
  const Ref on = wait.on.front();
  if (const auto thread = on.as<RefKind::thread>(); thread.known())
    return "waits for the end of " + scene.name_of(thread);
  if (const auto process = on.as<RefKind::process>(); process.known())
    return (wait.kind == WaitKind::process_exit ? "waits for the end of "
                                                : "waits for a message with ") +
           scene.name_of(process);
  const ResourceId resource = on.as<RefKind::resource>();
  if (!resource.known()) return "waits for something unknown";
  if (std::string text = object_phrase(scene.resource(resource), wait); !text.empty()) return text;
  const WaitKind kind = wait.kind;
  const bool stream = kind == WaitKind::io || kind == WaitKind::pipe || kind == WaitKind::socket ||
                      kind == WaitKind::queue;
  std::string verb = kind == WaitKind::polled_word ? "polls " : "waits for ";
  if (kind == WaitKind::spinlock) verb = "spins for ";
  if (wait.mode == Mode::write) verb = stream ? "waits to write to " : "waits to write-lock ";
  if (wait.mode == Mode::read) verb = stream ? "waits to read from " : "waits to read-lock ";
  const auto& connection = scene.resource(resource).connection;
  if (!connection) return verb + scene.label_of(resource);
  const bool asked = connection->sent_bytes.value_or(0) > 0 && connection->sent_ms &&
                     connection->received_ms && *connection->sent_ms <= *connection->received_ms;
  if (asked && wait.mode == Mode::read) verb = "waits for a reply on ";
  return verb + scene.label_of(resource) + since_phrase(*connection, wait);
}

}  // namespace

std::string wait_phrase(const Scene& scene, ThreadId id) {
  const Wait& wait = *scene.thread(id).wait;
  if (wait.on.empty()) {
    if (wait.kind == WaitKind::sleep) {
      if (!wait.timeout_ms) return "sleeps";
      return "sleeps for " + std::to_string(*wait.timeout_ms / 1000) + " s";
    }
    if (wait.kind == WaitKind::process_exit) return "waits for a child process";
    if (wait.kind == WaitKind::thread_exit) return "waits for the end of a thread";
    return wait.syscall_name.empty() ? "is asleep in the kernel"
                                     : "is asleep in " + wait.syscall_name;
  }
  std::string text = target_phrase(scene, wait);
  if (wait.on.size() > 1) text += " or any of " + counted(wait.on.size() - 1, "other");
  return text;
}

std::string as_headline(std::string text) {
  constexpr std::size_t longest = 120;
  // Messages of the program may hold addresses: a headline is the same for every run. What has no
  // name is told by its kind alone.
  constexpr std::string_view place = " at 0x";
  for (auto at = text.find(place); at != std::string::npos; at = text.find(place, at)) {
    const auto end = text.find_first_not_of("0123456789abcdefABCDEF", at + place.size());
    text.erase(at, (end == std::string::npos ? text.size() : end) - at);
  }
  for (auto at = text.find("0x"); at != std::string::npos; at = text.find("0x", at + 1)) {
    const auto end = text.find_first_not_of("0123456789abcdefABCDEF", at + 2);
    if (end != at + 2)
      text.replace(at, (end == std::string::npos ? text.size() : end) - at, "(address)");
  }
  if (text.size() <= longest) return text;
  return clean_text(text, longest - 4);  // at a character; ends in an ellipsis of three bytes
}

}  // namespace coldcase
