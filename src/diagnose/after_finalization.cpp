// after-finalization: the interpreter is ending, and threads that asked for the GIL were cut off:
// parked for ever, or ended in the middle of what they did. Something waits for them, or their end
// killed the process.
#include <algorithm>

#include "base/text.hpp"
#include "diagnose/crash.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

constexpr std::string_view parked_by = "PyThread_hang_thread", ended_by = "PyThread_exit_thread";

std::vector<EvidenceId> fate_of(const Scene& scene, ThreadId id, std::string_view source) {
  std::vector<EvidenceId> found;
  for (std::uint32_t i = 0; i < scene.facts.evidence.size(); ++i) {
    const Evidence& evidence = scene.facts.evidence[i];
    if (evidence.thread == id && evidence.source.starts_with(source)) found.push_back({i});
  }
  return found;
}

// That the process's interpreter is ending, and on which thread, where that is known.
std::optional<EvidenceId> find_ending(const Scene& scene, ProcessId process) {
  for (std::uint32_t i = 0; i < scene.facts.evidence.size(); ++i) {
    const Evidence& evidence = scene.facts.evidence[i];
    if (evidence.process == process && evidence.source.starts_with("_PyRuntimeState.finalizing"))
      return EvidenceId{i};
  }
  return std::nullopt;
}

StoryLine tell_ending(const Scene& scene, ProcessId process) {
  const auto ending = find_ending(scene, process);
  const ThreadId by = ending ? scene.facts.evidence[ending->index].thread : ThreadId{};
  return {"The interpreter is ending (Py_FinalizeEx)" +
              (by.known() ? ", on " + scene.name_of(by) + ": no other thread"
                          : std::string(": only one thread")) +
              " may run Python code from then on.",
          ending ? std::vector<EvidenceId>{*ending} : std::vector<EvidenceId>{}};
}

Advice stop_threads_first(const Scene& scene, ThreadId id) {
  return {
      "Stop threads that use Python before the interpreter ends: tell them to, and join them, "
      "at the end of main or in an atexit function. No daemon thread and no native thread may "
      "still come for the GIL then.",
      Scene::location_of(scene.site_of(id)), ""};
}

Finding begin(const Scene& scene, ThreadId waiter, Confidence confidence) {
  Finding finding;
  finding.pattern = "after-finalization";
  finding.kind = FindingKind::hang;
  finding.confidence = confidence;
  finding.threads = {waiter};
  finding.story = {tell_ending(scene, scene.thread(waiter).process), tell_wait(scene, waiter)};
  finding.location = Scene::location_of(scene.site_of(waiter));
  return finding;
}

// Somebody waits for the end of a parked thread, or for what it holds.
std::optional<Finding> wait_for_parked(const Scene& scene, ThreadId waiter) {
  for (const Way& way : ways_on(scene.facts, waiter)) {
    const auto parked = fate_of(scene, way.thread, parked_by);
    if (parked.empty()) continue;
    Finding finding = begin(scene, waiter, way.confidence);
    finding.threads.clear();
    take_step(scene, way.step, way.thread, finding);
    finding.threads.push_back(way.thread);
    if (const auto claim = tell_claim(scene, way.step, way.thread)) finding.story.push_back(*claim);
    finding.story.push_back({scene.name_of(way.thread) + " asked for the GIL after that" +
                                 where_of(scene, way.thread) +
                                 ": the interpreter parked it, and it never comes back.",
                             parked});
    finding.headline = as_headline(site_name(scene, waiter) +
                                   " waits for a thread that the ending interpreter has parked for "
                                   "ever");
    finding.summary = {scene.name_of(waiter) + " " + wait_phrase(scene, waiter) + ".",
                       finding.story.back().text};
    finding.advice = {stop_threads_first(scene, way.thread)};
    return finding;
  }
  return std::nullopt;
}

// Ended only by other Python code.
bool is_pythons(WaitKind kind) {
  static constexpr std::array kinds{WaitKind::python_lock,      WaitKind::python_rlock,
                                    WaitKind::python_condition, WaitKind::queue,
                                    WaitKind::future,           WaitKind::import_lock};
  return std::ranges::find(kinds, kind) != kinds.end();
}

// The thread that ends the interpreter waits for what no other thread may give it any more.
std::optional<Finding> wait_for_nobody(const Scene& scene, ThreadId waiter) {
  const ThreadFact& thread = scene.thread(waiter);
  if (!thread.wait || thread.wait->ends != Ends::never || !is_pythons(thread.wait->kind) ||
      thread.wait->on.size() != 1)
    return std::nullopt;
  const ResourceId on = thread.wait->on.front().as<RefKind::resource>();
  if (!on.known() || !scene.resource(on).owners.empty()) return std::nullopt;
  // Native code may release a lock without the GIL, though hardly any does.
  Finding finding =
      begin(scene, waiter, std::min(thread.wait->confidence, Confidence::very_likely));
  finding.resources = {on};
  finding.path = {
      {waiter, Relation::waits_for, on, thread.wait->confidence, thread.wait->evidence}};
  const bool lock =
      thread.wait->kind == WaitKind::python_lock || thread.wait->kind == WaitKind::python_rlock;
  std::string text = lock ? "No living thread is known to hold it: most likely one did that was "
                            "cut off when it came for the GIL, before it could release it."
                          : "Only Python code of another thread could end that wait.";
  std::size_t parked = 0;
  std::vector<EvidenceId> known;
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    const auto fate = fate_of(scene, {i}, parked_by);
    if (scene.facts.threads[i].process != thread.process || fate.empty()) continue;
    ++parked;
    known.insert(known.end(), fate.begin(), fate.end());
  }
  if (parked > 0)
    text += " " + counted(parked, "thread") + (parked == 1 ? " is" : " are") +
            " parked for ever by the interpreter.";
  finding.story.push_back({text, known});
  finding.headline = as_headline(site_name(scene, waiter) +
                                 " waits, while the interpreter ends, for "
                                 "what no thread can give any more");
  finding.summary = {
      scene.name_of(waiter) + " " + wait_phrase(scene, waiter) + " while the interpreter ends.",
      text};
  finding.advice = {
      stop_threads_first(scene, waiter),
      {"Take no lock without a timeout in what runs at the interpreter's end (__del__, weakref "
       "callbacks, module teardown).",
       finding.location, ""}};
  return finding;
}

// Ended by pthread_exit, whose unwinding a C++ frame that lets nothing pass turns into an abort.
std::optional<Finding> killed_by_end(const Scene& scene, const CrashFact& crash) {
  const auto fate = fate_of(scene, crash.thread, ended_by);
  const SignalFact* signal = signal_of(scene, crash);
  if (fate.empty() || signal == nullptr || signal->number != 6) return std::nullopt;
  Finding finding = begin_crash(scene, crash, "after-finalization");
  finding.headline = as_headline("Aborted: " + blamed_function(scene, crash) +
                                 " asked for the GIL of an interpreter that is ending");
  finding.story.push_back(tell_ending(scene, scene.thread(crash.thread).process));
  finding.story.push_back({scene.name_of(crash.thread) + " asked for the GIL all the same, in " +
                               blamed(scene, crash) +
                               ", and the interpreter ended it with pthread_exit.",
                           fate});
  finding.story.push_back(
      {"pthread_exit unwinds the thread's stack; a C++ frame above (noexcept, a destructor, a "
       "thread object) lets nothing pass, and std::terminate aborted the process.",
       crash_evidence(scene, crash, "NT_SIGINFO")});
  finding.summary = {finding.story[1].text, finding.story[2].text};
  finding.advice = {
      stop_threads_first(scene, crash.thread),
      {"CPython 3.13.8 and newer park such a thread instead of ending it: no abort, but whoever "
       "joins it waits for ever.",
       std::nullopt, ""}};
  return finding;
}

}  // namespace

std::vector<Finding> detect_after_finalization(const Scene& scene) {
  std::vector<Finding> findings;
  for (const CrashFact& crash : scene.facts.crashes) {
    if (auto finding = killed_by_end(scene, crash)) findings.push_back(std::move(*finding));
  }
  if (!findings.empty()) return findings;
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    const ThreadFact& thread = scene.facts.threads[i];
    const auto ending = find_ending(scene, thread.process);
    if (scene.stuck[i] || !ending) continue;
    auto finding = wait_for_parked(scene, {i});
    // Daemons that wait are left alone: they are not missed.
    if (!finding && scene.facts.evidence[ending->index].thread == ThreadId{i})
      finding = wait_for_nobody(scene, {i});
    if (finding) findings.push_back(std::move(*finding));
  }
  return findings;
}

}  // namespace coldcase
