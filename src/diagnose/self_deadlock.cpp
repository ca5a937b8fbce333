// self-deadlock: a thread waits for what it holds itself.
#include <algorithm>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/interruption.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

// The way from the block that holds the lock to the second attempt, where it leads through code
// that is not the user's own: who reads the two places alone does not see it.
struct Detour {
  std::vector<std::string> functions;  // outermost first
  bool logging = false;
};
Detour find_detour(const Scene& scene, ThreadId id, std::optional<std::uint32_t> held_in) {
  Detour detour;
  const ThreadFact& thread = scene.thread(id);
  bool foreign = false;
  for (std::uint32_t f = held_in.value_or(0); thread.site && f > *thread.site + 1; --f) {
    const Frame* frame = scene.frame_of(id, f - 1);
    if (frame == nullptr || frame->kind != FrameKind::python || frame->function.empty()) continue;
    foreign = foreign || !frame->in_app.value_or(false);
    detour.logging = detour.logging || frame->file.ends_with("logging/__init__.py");
    const std::string name = short_name(frame->function);
    if (detour.functions.empty() || detour.functions.back() != name)
      detour.functions.push_back(name);
  }
  return foreign ? detour : Detour{};
}

StoryLine tell_detour(const Detour& detour) {
  constexpr std::size_t most = 4;
  const std::vector<std::string>& all = detour.functions;
  std::vector<std::string> shown = all;
  if (all.size() > most) shown = {all[0], all[1], counted(all.size() - 3, "more call"), all.back()};
  return {"From there it came back to this lock through " + join(shown, ", ") + ".", {}};
}

void advise_type(const Scene& scene, const Ring& ring, bool interrupted, bool own,
                 Finding& finding) {
  const std::string& type = scene.resource(ring.steps.front().resource).implementation;
  if (type == "threading.Lock" && interrupted) {
    finding.advice.push_back(
        {"A recursive lock is no way out: what interrupts would then work on what the interrupted "
         "block has half changed.",
         std::nullopt, ""});
  } else if (type == "threading.Lock" && own) {
    finding.advice.push_back(
        {"Or use threading.RLock, which one thread may take several times.", std::nullopt, ""});
  } else if (type == "pthread_mutex_t" && !interrupted) {
    finding.advice.push_back(
        {"Or make it recursive (std::recursive_mutex, PTHREAD_MUTEX_RECURSIVE).", std::nullopt,
         ""});
  }
}

Advice advise_split(const Detour& detour, const std::optional<Location>& location) {
  if (detour.logging)
    return {
        "Do not log while a handler holds its lock, not even in what it calls: the record "
        "comes back to the same handler. Do not give it the records of the library that it "
        "sends with (a filter), or let it put them into a queue (logging.handlers."
        "QueueHandler).",
        location, ""};
  return {
      "Do not take the lock again while holding it: split the function into one that takes the "
      "lock and one that expects it to be held.",
      location, ""};
}

// A reader that wants to write: its own reading keeps the writers out.
bool is_upgrade(const Owner& owner, const Wait& wait) {
  return owner.mode == Mode::read && wait.mode == Mode::write;
}

void tell_upgrade(const Scene& scene, const Ring& ring, Finding& finding) {
  finding.headline = as_headline(site_name(scene, ring.steps.front().thread) +
                                 " wants to write-lock what its own thread holds for reading");
  finding.summary[1] =
      "A writer gets the lock when all readers have left, and it is one of them: it waits for "
      "ever.";
  finding.story.back() = {
      "A read lock cannot be upgraded: the write lock is given when every reader has left, this "
      "thread too. No timeout ends the wait.",
      {}};
  finding.advice = {
      {"Release the read lock before taking the write lock, and look again at what "
       "was read; or take the write lock from the start.",
       finding.location, ""}};
}

// Taken with a second thread state by the thread that has it with its first.
void tell_gil(const Scene& scene, const Ring& ring, Finding& finding) {
  const ThreadId id = ring.steps.front().thread;
  finding.headline =
      as_headline(site_name(scene, id) + " asks for the GIL that its own thread already has");
  const bool several = scene.thread(id).python.size() > 1;
  finding.story.back() = {
      "Nobody gives the GIL up but who has it" +
          std::string(several ? ": it was asked for with another thread state of the same thread, "
                                "which waits like any other."
                              : ", and that is the thread that waits for it.") +
          " No timeout ends the wait.",
      {}};
  const StackId stack = scene.thread(id).stack;
  const bool ensures =
      stack.known() &&
      std::ranges::any_of(scene.facts.stacks[stack.index].frames, [&](std::uint32_t f) {
        return scene.facts.frames[f].function == "PyGILState_Ensure";
      });
  if (ensures)
    finding.advice = {
        {"PyGILState_Ensure() knows one thread state a thread, that of the main interpreter: do "
         "not call it from code that runs in a sub-interpreter. Use PyEval_SaveThread and "
         "PyEval_RestoreThread with the state that is current there.",
         finding.location, ""}};
  else
    finding.advice = {
        {"In the native code, ask with PyGILState_Ensure(), which notices that the thread has the "
         "GIL; or give it up (PyEval_SaveThread) before PyEval_AcquireThread or "
         "PyEval_RestoreThread.",
         finding.location, ""}};
}

Finding make_finding(const Scene& scene, const Ring& ring) {
  Finding finding;
  finding.pattern = "self-deadlock";
  finding.kind = FindingKind::deadlock;
  take_ring(scene, ring, finding);
  const RingStep& step = ring.steps.front();
  const ThreadFact& thread = scene.thread(step.thread);
  const Owner& owner = scene.resource(step.resource).owners[step.owner];
  const Frame* site = scene.site_of(step.thread);
  finding.headline = as_headline(site_name(scene, step.thread) + " takes a " +
                                 scene.resource(step.resource).implementation +
                                 " that its own thread already holds");
  finding.summary = {scene.name_of(step.thread) + " " + wait_phrase(scene, step.thread) +
                         ", which it holds itself.",
                     "It is the only thread that could release it, so it waits for ever."};
  std::optional<std::uint32_t> held_in;
  for (const Hold& hold : thread.holds) {
    if (hold.resource == step.resource) held_in = hold.frame;
  }
  const auto interruption = find_interruption(scene, step.thread, held_in);
  const Detour detour = interruption ? Detour{} : find_detour(scene, step.thread, held_in);
  finding.story.push_back({scene.name_of(step.thread) + hold_verb(owner) +
                               scene.label_of(step.resource) +
                               taken_in(scene, step.thread, step.resource) + ".",
                           owner.evidence});
  if (interruption) finding.story.push_back(tell_interruption(scene, step.thread, *interruption));
  if (!detour.functions.empty()) finding.story.push_back(tell_detour(detour));
  finding.story.push_back({"Still holding it, it " + wait_phrase(scene, step.thread) + " again" +
                               (site != nullptr ? ", in " + Scene::text_of(site) : "") + ".",
                           thread.wait->evidence});
  finding.story.push_back(
      {"The lock is not recursive: the second attempt waits for the first to be released, by the "
       "same thread. No timeout ends the wait.",
       {}});
  finding.location = Scene::location_of(site);
  finding.advice.push_back(interruption ? interruption_advice(scene, step.thread, *interruption)
                                        : advise_split(detour, finding.location));
  const Frame* holder = scene.frame_of(step.thread, held_in);
  // A function that comes back to itself would, with an RLock, do so without end.
  const bool again = holder != nullptr && site != nullptr && holder->function == site->function &&
                     holder->file == site->file;
  advise_type(scene, ring, interruption.has_value(),
              holder == nullptr || (holder->in_app.value_or(true) && !again), finding);
  if (!interruption && is_upgrade(owner, *thread.wait)) tell_upgrade(scene, ring, finding);
  if (scene.resource(step.resource).kind == WaitKind::gil) tell_gil(scene, ring, finding);
  return finding;
}

}  // namespace

std::vector<Finding> detect_self_deadlock(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    const RingStep& step = ring.steps.front();
    if (ring.steps.size() == 1 && step.resource.known() && !step.fed)
      findings.push_back(make_finding(scene, ring));
  }
  return findings;
}

}  // namespace coldcase
