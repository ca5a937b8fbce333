// Words for threads and tasks alike, and what a ring of both becomes in a finding. Internal to this
// stage.
#pragma once

#include "diagnose/scene.hpp"
#include "waits/parties.hpp"

namespace coldcase {

// "task fetch", "Task-3", "MainThread (LWP 885)".
std::string party_name(const Scene& scene, Ref party);
const Frame* party_site(const Scene& scene, Ref party);
// The function it is in, for headlines; "a task", "a thread".
std::string party_function(const Scene& scene, Ref party);
const std::optional<Wait>& party_wait(const Scene& scene, Ref party);

// "task fetch waits for asyncio.Lock gate, in fetch at app.py:12." with its evidence.
StoryLine tell_party_wait(const Scene& scene, Ref party);
// "task store holds asyncio.Lock gate, taken in store at app.py:20."; nothing for a wait for an
// end.
std::optional<StoryLine> tell_party_claim(const Scene& scene, const PartyStep& step);

// Path, members and confidence.
void take_party_ring(const Scene& scene, const PartyRing& ring, Finding& finding);

// "12 other tasks and 1 thread are held up behind it."; empty when there are none.
std::string tell_parties_behind(const Scene& scene, const std::vector<Ref>& set);

// With those that a listed task stands for.
std::uint64_t count_tasks(const Facts& facts, const std::vector<Ref>& parties);

// What blocked-holder and lost-wakeup are among loops: told by those detectors.
std::vector<Finding> find_blocked_loops(const Scene& scene);
std::vector<Finding> find_dead_loops(const Scene& scene);
std::vector<Finding> find_sleeping_loops(const Scene& scene);

}  // namespace coldcase
