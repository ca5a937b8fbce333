// The two patterns in which a thread holds the GIL and waits for a native lock whose holder waits
// for the GIL share their story. Internal to this stage.
#pragma once

#include "diagnose/scene.hpp"

namespace coldcase {

// The parties of such a ring of two threads.
struct Inversion {
  ThreadId gil_holder, lock_holder;
  ResourceId gil, lock;
  const Ring* ring = nullptr;
};

std::optional<Inversion> parse_inversion(const Scene& scene, const Ring& ring);

// Evidence of this thread that was read by a source whose name begins so.
std::vector<EvidenceId> find_evidence(const Scene& scene, ThreadId thread, std::string_view source);

// The frame of a callback into Python that has not begun yet, from the thread's stack; null when
// none.
const Frame* find_pending_callback(const Scene& scene, ThreadId thread);

// The innermost Python frame of the thread that is running (no pending callback); null when none.
const Frame* find_python_frame(const Scene& scene, ThreadId thread, bool in_app);

std::vector<StoryLine> inversion_story(const Scene& scene, const Inversion& inversion);

}  // namespace coldcase
