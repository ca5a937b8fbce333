// What ran on top of a thread's own code without being called by it: a finalizer, a handler of
// Python's for a signal. Rings and self-deadlocks through it are told with it. Internal to this
// stage.
#pragma once

#include "diagnose/scene.hpp"

namespace coldcase {

struct Interruption {
  enum class Kind : std::uint8_t { finalizer, signal_handler };
  Kind kind = Kind::finalizer;
  std::uint32_t frame = 0;          // its outermost, an index into the thread's stack
  std::optional<std::uint32_t> on;  // the Python frame on top of which it began
};

// The innermost that began on top of the frame `held_in`, in which the thread took something.
std::optional<Interruption> find_interruption(const Scene& scene, ThreadId id,
                                              std::optional<std::uint32_t> held_in);

// "On top of that, in f at a.py:3, a garbage collection began by itself and ran Entry.__del__ ..."
StoryLine tell_interruption(const Scene& scene, ThreadId id, const Interruption& interruption);

Advice interruption_advice(const Scene& scene, ThreadId id, const Interruption& interruption);

}  // namespace coldcase
