// What kind of ring this is, for the detectors that share the rings among them. Internal to this
// stage.
#pragma once

#include "diagnose/scene.hpp"

namespace coldcase {

// A step whose resource has this kind.
bool has_kind(const Scene& scene, const Ring& ring, WaitKind kind);
// A step through what another party would fill, drain or answer.
bool is_fed(const Ring& ring);
// The step is a wait for a future's result.
bool is_future(const Scene& scene, const RingStep& step);
// A step that waits for a thread's or process's end.
bool has_end(const Ring& ring);

// The members every ring finding has: path, story of all waits and claims, the closing sentence,
// the place of its first thread.
Finding ring_finding(const Scene& scene, const Ring& ring, std::string_view pattern);

// "main.<locals>.Store.save" is Store.save, "bank::move(Account&, long)" bank::move: the rest is in
// the story.
std::string short_name(const std::string& function);

// Advice for locks that have one name.
std::string order_several(const std::string& label);

// The function a thread is in, for headlines; its entry or "a thread" when it has none.
std::string site_name(const Scene& scene, ThreadId id);

// What would end the wait, of what it waits for: "put an item into queue.Queue orders", "set
// threading.Event stop"; empty where the report has no words for it.
std::string awaited_act(const Scene& scene, ThreadId waiter);

}  // namespace coldcase
