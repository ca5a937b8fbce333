#include "diagnose/interruption.hpp"

#include "base/text.hpp"

namespace coldcase {
namespace {

const Frame& frame_at(const Scene& scene, ThreadId id, std::size_t index) {
  return scene.facts.frames[scene.facts.stacks[scene.thread(id).stack.index].frames[index]];
}

// Python calls its handlers where it looks for signals: between two instructions, and in calls that
// a signal cut short. PyErr_CheckSignals() is exported by every version; 3.8 has the rest of it in
// _PyErr_CheckSignals, 3.9 and later in _PyErr_CheckSignalsTstate.
bool looks_for_signals(const Frame& frame) {
  return frame.kind != FrameKind::python &&
         starts_with_any(frame.function, {"PyErr_CheckSignals", "_PyErr_CheckSignals"});
}

std::optional<std::uint32_t> next_python(const Scene& scene, ThreadId id, std::size_t from,
                                         std::size_t end) {
  for (std::size_t f = from; f < end; ++f) {
    if (frame_at(scene, id, f).kind == FrameKind::python) return static_cast<std::uint32_t>(f);
  }
  return std::nullopt;
}

std::optional<Interruption> find_signal_handler(const Scene& scene, ThreadId id,
                                                std::uint32_t held_in) {
  std::optional<std::uint32_t> python;  // the last one passed on the way outwards
  const std::size_t depth = scene.facts.stacks[scene.thread(id).stack.index].frames.size();
  for (std::uint32_t f = 0; f < std::min<std::size_t>(held_in, depth); ++f) {
    const Frame& frame = frame_at(scene, id, f);
    if (frame.kind == FrameKind::python) python = f;
    if (python && looks_for_signals(frame))
      return Interruption{Interruption::Kind::signal_handler, *python,
                          next_python(scene, id, f, depth)};
  }
  return std::nullopt;
}

std::string text_at(const Scene& scene, ThreadId id, std::optional<std::uint32_t> frame) {
  return Scene::text_of(scene.frame_of(id, frame));
}

StoryLine tell_finalizer(const Scene& scene, ThreadId id, const FinalizerFact& fact,
                         const std::string& where) {
  std::string text = "On top of that" + (where.empty() ? "" : ", in " + where);
  if (fact.collection == true)
    text += fact.asked == true ? ", it asked for a garbage collection, which runs "
                               : ", a garbage collection began, as it can at any line, and runs ";
  else if (fact.collection == false)
    text += ", the last reference to an object went away, which runs ";
  else
    text += ", an object went away, which runs ";
  text += text_at(scene, id, fact.frame);
  if (!fact.role.empty()) text += ", " + fact.role;
  if (!fact.type.empty()) text += " (an object of type " + fact.type + ")";
  return {text + ".", fact.evidence};
}

}  // namespace

std::optional<Interruption> find_interruption(const Scene& scene, ThreadId id,
                                              std::optional<std::uint32_t> held_in) {
  const ThreadFact& thread = scene.thread(id);
  if (!held_in || !thread.stack.known()) return std::nullopt;
  const auto handler = find_signal_handler(scene, id, *held_in);
  if (!thread.finalizer || thread.finalizer->frame >= *held_in) return handler;
  const FinalizerFact& fact = *thread.finalizer;
  if (handler && handler->frame < fact.frame) return handler;
  return Interruption{Interruption::Kind::finalizer, fact.frame, fact.interrupted};
}

StoryLine tell_interruption(const Scene& scene, ThreadId id, const Interruption& interruption) {
  const std::string where = text_at(scene, id, interruption.on);
  if (interruption.kind == Interruption::Kind::finalizer)
    return tell_finalizer(scene, id, *scene.thread(id).finalizer, where);
  return {"On top of that" + (where.empty() ? "" : ", in " + where) +
              ", a signal came, and Python runs its handler " +
              text_at(scene, id, interruption.frame) + " there, on the same thread.",
          {}};
}

Advice interruption_advice(const Scene& scene, ThreadId id, const Interruption& interruption) {
  const auto location = Scene::location_of(scene.frame_of(id, interruption.frame));
  if (interruption.kind == Interruption::Kind::signal_handler)
    return {
        "Take no lock in a signal handler, not even a Python one: it runs between any two "
        "lines of the main thread. Set a flag, or write to a pipe (signal.set_wakeup_fd), and "
        "act on it outside.",
        location, ""};
  return {
      "Take no lock in a finalizer: it runs at any line, also where the lock is held. Let it "
      "note what is to be done (queue.SimpleQueue.put is made for this) and do it elsewhere.",
      location, ""};
}

}  // namespace coldcase
