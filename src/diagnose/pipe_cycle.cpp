// pipe-cycle: each side blocks on a pipe, socket or queue that the other should read or write.
#include <algorithm>

#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

bool is_network(const Scene& scene, ThreadId id) {
  const auto& wait = scene.thread(id).wait;
  const ResourceId on =
      wait && wait->on.size() == 1 ? wait->on.front().as<RefKind::resource>() : ResourceId{};
  return on.known() && scene.label_of(on).starts_with("a TCP");
}

Finding finish(Finding finding, const Scene& scene, ThreadId first, ThreadId second) {
  const bool network = is_network(scene, first) && is_network(scene, second);
  finding.headline = as_headline(site_name(scene, first) + " and " + site_name(scene, second) +
                                 " wait for each other through " + (network ? "TCP" : "pipes") +
                                 ": neither will act first");
  finding.advice = {
      {"Decide who speaks first: one side has to write (or read) before it waits for the other.",
       finding.location, ""}};
  if (network) {
    finding.advice.push_back(
        {"Look at what ends a message: does one side wait for more of it (a line's end, a length) "
         "than the other has sent? Give the reads a timeout.",
         std::nullopt, ""});
    return finding;
  }
  finding.advice.push_back(
      {"If a side writes much before it reads, the pipe fills up (64 KiB): read while writing, for "
       "example with communicate() or poll().",
       std::nullopt, ""});
  finding.advice.push_back(
      {"Close the ends a process does not use: a pipe whose writing end is open somewhere never "
       "ends.",
       std::nullopt, ""});
  return finding;
}

bool waits_on_stream(const ThreadFact& thread) {
  if (!thread.wait || thread.wait->ends == Ends::timeout) return false;
  const std::string& call = thread.wait->syscall_name;
  static constexpr std::array<std::string_view, 6> calls{"read",  "recvfrom", "recvmsg",
                                                         "write", "sendto",   "sendmsg"};
  return std::ranges::find(calls, call) != calls.end();
}

// Waits whose end can come from inside the captured processes alone: on another of their threads,
// on a lock, or on a stream.
bool waits_inside(const Scene& scene, const ThreadFact& thread) {
  if (waits_on_stream(thread)) return true;
  if (!thread.wait || thread.wait->ends == Ends::timeout) return false;
  return std::ranges::all_of(thread.wait->on, [&](Ref on) {
    const ProcessId process = on.as<RefKind::process>();
    return !process.known() || scene.facts.processes[process.index].captured;
  });
}

// Descriptors 0 to 2 (lens/glibc/descriptors.cpp): what a process is given by whoever started it.
bool on_standard_stream(const Scene& scene, ThreadId id) {
  const auto& on = scene.thread(id).wait->on;
  const ResourceId stream = on.empty() ? ResourceId{} : on.front().as<RefKind::resource>();
  return stream.known() && scene.label_of(stream).starts_with("standard ");
}

// One of these is the parent of another: only such two can have a pipe each way without help. In a
// shell's pipeline (cat | grep | sort) all wait for the first, and that for the outside.
bool has_parent_and_child(const Scene& scene, const std::vector<ThreadId>& mains) {
  return std::ranges::any_of(mains, [&](ThreadId child) {
    const ProcessId parent = scene.facts.processes[scene.thread(child).process.index].parent;
    return parent.known() && std::ranges::any_of(mains, [&](ThreadId id) {
             return scene.thread(id).process == parent && !on_standard_stream(scene, id);
           });
  });
}

// Without side-cars nobody says whose pipe it is. But when every thread of every process here waits
// without a timeout, and the main threads of related ones do so on descriptors, then whoever should
// write is among them - unless it is somebody outside.
std::vector<Finding> by_exclusion(const Scene& scene) {
  const Facts& facts = scene.facts;
  std::vector<ThreadId> mains;
  for (std::uint32_t p = 0; p < facts.processes.size(); ++p) {
    if (!facts.processes[p].captured) return {};
    const ThreadId main = main_thread(facts, {p});
    if (main.known() && waits_on_stream(scene.thread(main))) mains.push_back(main);
  }
  const bool all = std::ranges::all_of(
      facts.threads, [&](const ThreadFact& thread) { return waits_inside(scene, thread); });
  const bool known = std::ranges::any_of(facts.resources, [](const ResourceFact& resource) {
    return !resource.feeders.empty() && resource.kind != WaitKind::queue;
  });
  if (!all || known || !has_parent_and_child(scene, mains)) return {};
  Finding finding;
  finding.pattern = "pipe-cycle";
  finding.kind = FindingKind::deadlock;
  // A child that reads its standard input may do so from a terminal: x=$(cat) looks no different.
  const bool outside =
      std::ranges::any_of(mains, [&](ThreadId main) { return on_standard_stream(scene, main); });
  finding.confidence = outside ? Confidence::hypothesis : Confidence::likely;
  finding.threads = mains;
  for (const ThreadId main : mains) {
    const Wait& wait = *scene.thread(main).wait;
    finding.story.push_back(tell_wait(scene, main));
    finding.summary.push_back(finding.story.back().text);
    if (finding.summary.size() == 4) break;
    if (!wait.on.empty())
      finding.path.push_back(
          {main, Relation::waits_for, wait.on.front(), wait.confidence, wait.evidence});
  }
  finding.story.push_back(
      {"Every thread of these related processes waits, and none with a timeout: whoever should act "
       "at the other end is among them, or outside. The cores do not say which descriptor leads "
       "where; coldcase capture takes that beside them.",
       {}});
  finding.location = Scene::location_of(scene.site_of(mains.front()));
  std::vector<Finding> findings;
  findings.push_back(finish(std::move(finding), scene, mains.front(), mains.back()));
  return findings;
}

// A process that has kept both ends of its pipe, as most do: that it could answer itself is no
// story where another process should.
bool could_others(const Scene& scene, const Ring& ring) {
  const RingStep& step = ring.steps.front();
  return ring.steps.size() == 1 && scene.resource(step.resource).feeders.size() > 1;
}

// On the way round, what a thread waits for could come from its own process alone: that is told by
// itself, and who else waits for that thread is held up behind it.
bool goes_round_at_home(const Scene& scene, const Ring& ring) {
  return ring.steps.size() > 1 && std::ranges::any_of(ring.steps, [&](const RingStep& step) {
           if (!step.fed || !step.process.known()) return false;
           const auto own = [&](const Owner& feeder) {
             return feeder.by.as<RefKind::process>() == scene.thread(step.thread).process;
           };
           return std::ranges::all_of(scene.resource(step.resource).feeders, own);
         });
}

Finding alone(const Scene& scene, const Ring& ring) {
  Finding finding = ring_finding(scene, ring, "pipe-cycle");
  finding.headline = as_headline(site_name(scene, ring.steps.front().thread) +
                                 " waits for what only its own process could send");
  finding.story.pop_back();
  finding.story.push_back(
      {"No other process here has the other end open, and every thread of its own waits, too.",
       {}});
  // A child that fork made has its parent's ends: without the parent nobody knows who else has
  // them.
  const ProcessId own = scene.thread(ring.steps.front().thread).process;
  const ProcessId parent = scene.facts.processes[own.index].parent;
  if (!parent.known() || !scene.facts.processes[parent.index].captured)
    finding.confidence = std::min(finding.confidence, Confidence::likely);
  const auto& wait = scene.thread(ring.steps.front().thread).wait;
  const bool network = is_network(scene, ring.steps.front().thread);
  finding.advice = {
      {network
           ? "A program that asks its own server needs a thread that is free to answer: let the "
             "server take requests in threads of its own, and give the call a timeout."
       : wait && wait->mode == Mode::write
           ? "Let another thread or process read it, and close the reading end where nobody does: "
             "then a write fails (EPIPE) instead of waiting for ever."
           : "Close the end of a pipe or socket pair that the process does not use: then a read "
             "returns when the other side is gone, instead of waiting for ever.",
       finding.location, ""}};
  return finding;
}

}  // namespace

std::vector<Finding> detect_pipe_cycle(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    const bool futures = std::ranges::any_of(
        ring.steps, [&](const RingStep& step) { return is_future(scene, step); });
    if (!is_fed(ring) || has_end(ring) || futures || could_others(scene, ring) ||
        goes_round_at_home(scene, ring))
      continue;
    if (ring.steps.size() == 1)
      findings.push_back(alone(scene, ring));
    else
      findings.push_back(finish(ring_finding(scene, ring, "pipe-cycle"), scene,
                                ring.steps.front().thread, ring.steps.back().thread));
  }
  if (findings.empty() && scene.rings.empty()) return by_exclusion(scene);
  return findings;
}

}  // namespace coldcase
