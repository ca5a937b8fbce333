// blocked-holder: no ring; everyone waits, directly or not, for one holder that is itself blocked
// outside the process. And lock-convoy: the holder runs.
#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/party_story.hpp"
#include "diagnose/ring_kinds.hpp"
#include "waits/work_queue.hpp"

namespace coldcase {
namespace {

constexpr std::uint64_t long_ms = 1000;  // a shorter sleep is work in progress
constexpr std::size_t convoy = 3;        // waiters that make one
constexpr std::size_t most_told = 4;
constexpr std::size_t few = 8;  // waiters told one by one though they are alike

// Blocked outside the process; for a signal from inside; or it may go on by itself, or nobody
// knows.
enum class Holder : std::uint8_t { outside, inside, open };

// What the thread at the end of the chain does.
Holder judge(const ThreadFact& thread) {
  if (thread.state == ThreadState::running || !thread.wait) return Holder::open;
  const Wait& wait = *thread.wait;
  if (wait.ends == Ends::timeout && wait.timeout_ms && *wait.timeout_ms < long_ms)
    return Holder::open;
  // Until a point in time: the core has no clock that says how far off it is.
  if (wait.kind == WaitKind::sleep && !wait.timeout_ms) return Holder::open;
  switch (wait.kind) {
    case WaitKind::io:
    case WaitKind::pipe:
    case WaitKind::socket:
    case WaitKind::sleep:
    case WaitKind::process_exit:
    case WaitKind::file_lock:
    case WaitKind::event_loop:
    case WaitKind::zmq_context:
    case WaitKind::gpu_work:
    case WaitKind::collective:
      return Holder::outside;
    case WaitKind::condition:
    case WaitKind::semaphore:
    case WaitKind::queue:
    case WaitKind::future:
    case WaitKind::barrier:
    case WaitKind::python_condition:
      return wait.ends == Ends::timeout ? Holder::open : Holder::inside;
    default:
      return Holder::open;
  }
}

// The GIL goes from hand to hand: waiting for it behind a thread that runs is everyday life.
bool waits_for_gil(const Scene& scene, const Root& root) {
  return std::ranges::all_of(root.behind, [&](ThreadId id) {
    return scene.thread(id).wait && scene.thread(id).wait->kind == WaitKind::gil;
  });
}

// Its own SO_RCVTIMEO or SO_SNDTIMEO is the kernel's: no core shows it.
bool may_have_own_timeout(const Wait& wait) {
  static constexpr std::array<std::string_view, 10> calls{
      "read",   "write",   "recvfrom", "recvmsg", "recvmmsg",
      "sendto", "sendmsg", "connect",  "accept",  "accept4"};
  return wait.kind != WaitKind::pipe && std::ranges::find(calls, wait.syscall_name) != calls.end();
}

// Workers take turns at a shared queue: one reads its pipe and holds the read lock, as it should,
// while nobody puts anything.
bool takes_turns(const Scene& scene, const Root& root) {
  const auto for_work = [&](ThreadId id) { return gets_next_item(scene.facts, id); };
  const bool for_items = std::ranges::all_of(root.behind, for_work);
  if (for_items && (for_work(root.thread) || has_nothing_to_feed(scene.facts, root.thread)))
    return true;
  const auto& wait = scene.thread(root.thread).wait;
  if (!wait || wait->kind != WaitKind::queue) return false;
  return std::ranges::all_of(scene.thread(root.thread).holds, [&](const Hold& hold) {
    return scene.label_of(hold.resource).starts_with("the read lock of ");
  });
}

// A child whose core is not here may be at work.
bool waits_for_unseen_child(const Scene& scene, const Wait& wait) {
  if (wait.kind != WaitKind::process_exit) return false;
  return std::ranges::none_of(wait.on, [&](Ref on) {
    const ProcessId process = on.as<RefKind::process>();
    return process.known() && scene.facts.processes[process.index].captured;
  });
}

std::string what_it_does(const Scene& scene, ThreadId id) {
  const Wait& wait = *scene.thread(id).wait;
  std::string text = wait_phrase(scene, id);
  if (!wait.syscall_name.empty() && text.find(wait.syscall_name) == std::string::npos &&
      wait.syscall_name != "futex")
    text += " (" + wait.syscall_name + ")";
  if (wait.ends == Ends::never)
    text += may_have_own_timeout(wait) ? ", with no timeout in the call" : ", without a timeout";
  return text;
}

void tell_waiter(const Scene& scene, const Way& way, Finding& finding) {
  take_step(scene, way.step, way.thread, finding);
  if (const auto claim = tell_claim(scene, way.step, way.thread)) {
    const auto& story = finding.story;
    if (std::ranges::find(story, claim->text, &StoryLine::text) == story.end())
      finding.story.push_back(*claim);
  }
  finding.story.push_back(tell_wait(scene, way.step.thread));
}

bool waits_for_lock(const Way& way) {
  return way.step.resource.known() && !way.step.fed;
}

// Of many that wait for the same thing in the same place one is told. From the root outwards, and
// of those next to each other who waits for a lock before who waits for an end.
void tell_waiters(const Scene& scene, const Root& root, Finding& finding) {
  std::vector<ThreadId> told{root.thread};
  std::set<std::pair<ResourceId, const Frame*>> alike;
  for (std::size_t at = 0; at < told.size(); ++at) {
    for (const bool locks : {true, false}) {
      for (const ThreadId waiter : root.behind) {
        if (told.size() > most_told) return;
        if (std::ranges::find(told, waiter) != told.end()) continue;
        const std::vector<Way> ways = ways_on(scene.facts, waiter);
        const auto way = std::ranges::find(ways, told[at], &Way::thread);
        if (way == ways.end() || waits_for_lock(*way) != locks) continue;
        const bool fresh = alike.emplace(way->step.resource, scene.site_of(waiter)).second;
        if (!fresh && root.behind.size() > few) continue;
        told.push_back(waiter);
        tell_waiter(scene, *way, finding);
      }
    }
  }
}

// Who waits for a lock that the root itself holds, and how sure the surest of them is.
struct LockWaiters {
  std::size_t count = 0;
  Confidence confidence = Confidence::hypothesis;
  bool gil = true;  // all of them for the GIL
};
LockWaiters lock_waiters(const Scene& scene, const Root& root) {
  LockWaiters found;
  for (const ThreadId waiter : root.behind) {
    bool waits = false;
    for (const Way& way : ways_on(scene.facts, waiter)) {
      if (way.thread != root.thread || !waits_for_lock(way)) continue;
      waits = true;
      found.gil = found.gil && scene.resource(way.step.resource).kind == WaitKind::gil;
      found.confidence = std::max(found.confidence, way.confidence);
    }
    found.count += waits ? 1 : 0;
  }
  return found;
}

// The process at the other end of a socket, where that is on this machine and has no core here.
void tell_other_end(const Scene& scene, const Wait& wait, Finding& finding) {
  const ResourceId id =
      wait.on.size() == 1 ? wait.on.front().as<RefKind::resource>() : ResourceId{};
  if (!id.known()) return;
  for (const Owner& feeder : scene.resource(id).feeders) {
    const ProcessId process = feeder.by.as<RefKind::process>();
    if (!process.known() || scene.facts.processes[process.index].captured) continue;
    finding.story.push_back(
        {scene.name_of(process) + " has the other end; it has no core here.", feeder.evidence});
    finding.path.push_back({id, Relation::fed_by, process, feeder.confidence, feeder.evidence});
    finding.processes.push_back(process);
  }
}

// What the one at the end of the chain waits for itself.
void add_root_wait(const Scene& scene, ThreadId id, Finding& finding) {
  const Wait& wait = *scene.thread(id).wait;
  const ResourceId on =
      wait.on.size() == 1 ? wait.on.front().as<RefKind::resource>() : ResourceId{};
  if (!on.known() || !scene.resource(on).connection) return;
  finding.path.push_back({id, Relation::waits_for, on, wait.confidence, wait.evidence});
  if (std::ranges::find(finding.resources, on) == finding.resources.end())
    finding.resources.push_back(on);
  tell_other_end(scene, wait, finding);
}

Finding make_finding(const Scene& scene, const Root& root) {
  const ThreadFact& holder = scene.thread(root.thread);
  Finding finding;
  finding.pattern = "blocked-holder";
  finding.kind = FindingKind::hang;
  finding.confidence = std::min(root.confidence, holder.wait->confidence);
  if (holder.wait->ends == Ends::timeout || judge(holder) == Holder::inside ||
      may_have_own_timeout(*holder.wait) || waits_for_unseen_child(scene, *holder.wait))
    finding.confidence = std::min(finding.confidence, Confidence::likely);
  finding.threads.push_back(root.thread);
  tell_waiters(scene, root, finding);
  finding.story.insert(finding.story.begin(),
                       {scene.name_of(root.thread) + " " + what_it_does(scene, root.thread) +
                            where_of(scene, root.thread) + ".",
                        holder.wait->evidence});
  if (root.behind.size() + 1 > finding.threads.size())
    finding.story.push_back(
        {counted(root.behind.size(), "thread") + " in all are held up behind it.", {}});
  add_root_wait(scene, root.thread, finding);
  const std::string& call = holder.wait->syscall_name;
  const bool gil = std::ranges::any_of(
      finding.resources, [&](ResourceId id) { return scene.resource(id).kind == WaitKind::gil; });
  const bool sleeps = holder.wait->kind == WaitKind::sleep;
  finding.headline = as_headline(counted(root.behind.size(), "thread") +
                                 (root.behind.size() == 1 ? " is" : " are") + " held up by " +
                                 site_name(scene, root.thread) + ", which " +
                                 (gil          ? "holds the GIL and "
                                  : root.holds ? "holds a lock and "
                                               : "") +
                                 (sleeps                            ? std::string("sleeps")
                                  : call.empty() || call == "futex" ? std::string("waits itself")
                                                                    : "waits in " + call));
  finding.summary = {finding.story.front().text, finding.story[1].text,
                     counted(root.behind.size(), "thread") +
                         (root.behind.size() == 1 ? " waits" : " wait") +
                         " for it, directly or through others. There is no ring: they go on as "
                         "soon as it does."};
  finding.location = Scene::location_of(scene.site_of(root.thread));
  finding.advice = {{gil ? "Release the GIL around calls that may block: Py_BEGIN_ALLOW_THREADS, "
                           "pybind11::gil_scoped_release, Cython's nogil, ctypes.CDLL instead of "
                           "ctypes.PyDLL."
                         : "Do not wait for the outside (I/O, a child, a sleep) while holding a "
                           "lock: copy what is needed, release the lock, then wait.",
                     finding.location, ""}};
  if (!sleeps)
    finding.advice.push_back(
        {"Give the wait a timeout, and look at its other end: why does nothing come?",
         finding.location, ""});
  return finding;
}

Finding make_convoy(const Scene& scene, const Root& root, const LockWaiters& waiters) {
  Finding finding;
  finding.pattern = "lock-convoy";
  finding.kind = FindingKind::info;
  finding.confidence = waiters.confidence;
  finding.threads.push_back(root.thread);
  tell_waiters(scene, root, finding);
  finding.story.push_back({scene.name_of(root.thread) + " runs" + where_of(scene, root.thread) +
                               ": it may release it at any moment.",
                           {}});
  finding.headline = as_headline(counted(waiters.count, "thread") + " wait for " +
                                 (waiters.gil ? "the GIL, which " : "a lock that ") +
                                 site_name(scene, root.thread) + " holds; it is running");
  finding.summary = {
      "No deadlock: the holder runs. If this picture is common, the lock is held "
      "too long or too often."};
  finding.location = Scene::location_of(scene.site_of(root.thread));
  finding.advice = {
      {"Take a second core some seconds later: the same holder at the same place "
       "means it does not make progress.",
       finding.location, ""}};
  return finding;
}

// Calls that wait for one answer, not for whatever comes next.
bool waits_for_answer(const ThreadFact& thread) {
  if (!thread.wait || thread.wait->ends == Ends::timeout || thread.wait->on.size() != 1)
    return false;
  static constexpr std::array<std::string_view, 6> calls{"recvfrom", "recvmsg", "recvmmsg",
                                                         "connect",  "sendto",  "sendmsg"};
  return std::ranges::find(calls, thread.wait->syscall_name) != calls.end();
}

// Somebody else of this incident has the other end.
bool is_fed_inside(const Scene& scene, ResourceId id, ProcessId own) {
  return std::ranges::any_of(scene.resource(id).feeders, [&](const Owner& feeder) {
    const ProcessId process = feeder.by.as<RefKind::process>();
    return !process.known() || (process != own && scene.facts.processes[process.index].captured);
  });
}

// Its own process has: a program that calls itself.
bool is_fed_by(const Scene& scene, ResourceId id, ProcessId own) {
  return std::ranges::any_of(scene.resource(id).feeders, [&](const Owner& feeder) {
    return feeder.by.as<RefKind::process>() == own;
  });
}

bool idles_or_waits(const ThreadFact& thread) {
  if (thread.state == ThreadState::running || thread.state == ThreadState::spinning) return false;
  static constexpr std::array<std::string_view, 11> sources{
      "accept", "accept4",    "poll",        "ppoll",           "select",       "pselect6",
      "pause",  "epoll_wait", "epoll_pwait", "rt_sigtimedwait", "rt_sigsuspend"};
  return !thread.wait || (thread.wait->ends != Ends::timeout &&
                          std::ranges::find(sources, thread.wait->syscall_name) == sources.end());
}

// A process whose only unfinished work waits outside, in the user's own code, with no timeout.
std::optional<Finding> lone_waiter(const Scene& scene, ProcessId process) {
  ThreadId waiter;
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    const ThreadFact& thread = scene.facts.threads[i];
    if (thread.process != process) continue;
    if (!idles_or_waits(thread)) return std::nullopt;
    if (waits_for_answer(thread) && !waiter.known()) waiter = {i};
  }
  if (!waiter.known()) return std::nullopt;
  const Frame* site = scene.site_of(waiter);
  const ThreadFact& thread = scene.thread(waiter);
  const ResourceId other_end = thread.wait->on.front().as<RefKind::resource>();
  const bool inside = other_end.known() && is_fed_inside(scene, other_end, process);
  const bool told_end = other_end.known() && (scene.resource(other_end).connection ||
                                              !scene.resource(other_end).feeders.empty());
  if (site == nullptr || !site->in_app.value_or(false) || inside) return std::nullopt;
  Finding finding;
  finding.pattern = "blocked-holder";
  finding.kind = FindingKind::hang;
  finding.confidence = Confidence::likely;
  finding.threads = {waiter};
  finding.path = {{waiter, Relation::waits_for, thread.wait->on.front(), thread.wait->confidence,
                   thread.wait->evidence}};
  if (other_end.known()) finding.resources.push_back(other_end);
  finding.story = {
      {scene.name_of(waiter) + " " + what_it_does(scene, waiter) + where_of(scene, waiter) + ".",
       thread.wait->evidence}};
  tell_other_end(scene, *thread.wait, finding);
  if (other_end.known() && is_fed_by(scene, other_end, process))
    finding.story.push_back(
        {"The other end is open in this process itself: it waits for its own answer.", {}});
  finding.story.push_back(
      {"No other thread of the process runs: it goes on when the other end answers, and waits for "
       "ever when that never happens.",
       {}});
  finding.headline = as_headline(short_name(site->function) + " waits in " +
                                 thread.wait->syscall_name + " for an answer, without a timeout");
  finding.summary = {finding.story[0].text, finding.story.back().text};
  finding.location = Scene::location_of(site);
  finding.advice = {
      {"Give it a timeout (settimeout, SO_RCVTIMEO, poll) and say what happens when it runs out.",
       finding.location, ""},
      {told_end
           ? "Look at the other end: is it alive, and did it answer?"
           : "Look at the other end: is it alive, and did it answer? Who that is (it may be this "
             "process) coldcase capture writes down beside the core.",
       std::nullopt, ""}};
  return finding;
}

}  // namespace

std::vector<Finding> detect_blocked_holder(const Scene& scene) {
  std::vector<Finding> findings = find_blocked_loops(scene);
  for (const Root& root : find_roots(scene.facts)) {
    const ThreadFact& holder = scene.thread(root.thread);
    if (scene.stuck[root.thread.index] || !root.blocks || judge(holder) == Holder::open ||
        takes_turns(scene, root))
      continue;
    findings.push_back(make_finding(scene, root));
  }
  if (!findings.empty()) return findings;
  for (std::uint32_t p = 0; p < scene.facts.processes.size(); ++p) {
    if (auto finding = lone_waiter(scene, {p})) findings.push_back(std::move(*finding));
  }
  return findings;
}

std::vector<Finding> detect_lock_convoy(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Root& root : find_roots(scene.facts)) {
    const ThreadFact& holder = scene.thread(root.thread);
    if (holder.state != ThreadState::running || waits_for_gil(scene, root)) continue;
    const LockWaiters waiters = lock_waiters(scene, root);
    if (waiters.count >= convoy) findings.push_back(make_convoy(scene, root, waiters));
  }
  return findings;
}

}  // namespace coldcase
