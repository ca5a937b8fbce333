// exit-blocked: the program has finished but cannot exit.
#include <algorithm>

#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

// The outermost frame of what runs at exit, on this thread's stack; null when it is not exiting.
const Frame* exit_frame(const Scene& scene, ThreadId id) {
  const StackId stack = scene.thread(id).stack;
  if (!stack.known()) return nullptr;
  for (const std::uint32_t f : scene.facts.stacks[stack.index].frames) {
    const Frame& frame = scene.facts.frames[f];
    const std::string_view name = frame.function;
    const bool python = frame.kind == FrameKind::python;
    if (python && name == "_shutdown" && frame.file.ends_with("threading.py")) return &frame;
    if (python && name == "_python_exit" && frame.file.ends_with("concurrent/futures/thread.py"))
      return &frame;
    if (python && name == "_exit_function" && frame.file.ends_with("multiprocessing/util.py"))
      return &frame;
    if (!python && (name == "exit" || name == "__run_exit_handlers" || name == "Py_FinalizeEx"))
      return &frame;
  }
  return nullptr;
}

// Waits for work that only the part of the program that has ended could hand in.
bool waits_for_work(const ThreadFact& thread) {
  if (!thread.wait || thread.wait->ends == Ends::timeout) return false;
  switch (thread.wait->kind) {
    case WaitKind::condition:
    case WaitKind::semaphore:
    case WaitKind::queue:
    case WaitKind::python_condition:
    case WaitKind::future:
    case WaitKind::barrier:
    case WaitKind::futex:
    case WaitKind::python_lock:
    case WaitKind::semlock:
      return true;
    case WaitKind::socket:
    case WaitKind::pipe:
    case WaitKind::io: {
      static constexpr std::array<std::string_view, 3> calls{"read", "recvfrom", "recvmsg"};
      return std::ranges::find(calls, thread.wait->syscall_name) != calls.end();
    }
    default:
      return false;
  }
}

Finding make_finding(const Scene& scene, const Way& way, const Frame& frame) {
  const ThreadId main = way.step.thread;
  Finding finding;
  finding.pattern = "exit-blocked";
  finding.kind = FindingKind::hang;
  finding.confidence = Confidence::likely;  // that nobody else hands in work is not proved
  take_step(scene, way.step, way.thread, finding);
  finding.threads.push_back(way.thread);
  const Wait& other = *scene.thread(way.thread).wait;
  if (!other.on.empty())
    finding.path.push_back(
        {way.thread, Relation::waits_for, other.on.front(), other.confidence, other.evidence});
  finding.story = {{"The program has finished: " + scene.name_of(main) + " is in " +
                        Scene::text_of(&frame) + ".",
                    {}},
                   tell_wait(scene, main),
                   tell_wait(scene, way.thread)};
  finding.story.push_back(
      {"What that waits for would have to come from the part of the program that has ended.", {}});
  const bool process = way.step.process.known();
  finding.headline = as_headline(
      std::string("The program has finished but cannot exit: it waits for ") +
      (process ? "a child process" : "a thread") + " in " + site_name(scene, way.thread));
  finding.summary = {finding.story[0].text + " " + finding.story[1].text, finding.story[2].text,
                     finding.story[3].text};
  finding.location = Scene::location_of(scene.site_of(way.thread));
  finding.advice = {
      {process ? "Tell the child to end before the program does (a sentinel in its queue, an "
                 "event), and join it."
               : "Tell the thread to end before the program does (a sentinel in its queue, an "
                 "event, shutdown() of its executor), and join it.",
       finding.location, ""},
      {"Or make it a daemon, when it may be cut off anywhere.", std::nullopt, ""}};
  return finding;
}

}  // namespace

std::vector<Finding> detect_exit_blocked(const Scene& scene) {
  std::vector<Finding> findings;
  for (std::uint32_t p = 0; p < scene.facts.processes.size(); ++p) {
    const ThreadId main = main_thread(scene.facts, {p});
    const Frame* frame = main.known() ? exit_frame(scene, main) : nullptr;
    if (frame == nullptr || scene.stuck[main.index]) continue;
    for (const Way& way : ways_on(scene.facts, main)) {
      const bool end = !way.step.resource.known();
      if (!end || !waits_for_work(scene.thread(way.thread))) continue;
      findings.push_back(make_finding(scene, way, *frame));
      break;
    }
  }
  return findings;
}

}  // namespace coldcase
