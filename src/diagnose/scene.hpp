// What a detector reads, and the words it makes of it. Values only: no core behind them.
#pragma once

#include <coldcase/analysis.hpp>
#include <string>
#include <vector>

#include "waits/graph.hpp"

namespace coldcase {

struct Scene {
  const Facts& facts;
  const std::vector<Ring>& rings;
  const std::vector<bool>& stuck;  // by thread: can never go on

  const ThreadFact& thread(ThreadId id) const { return facts.threads[id.index]; }
  const ResourceFact& resource(ResourceId id) const { return facts.resources[id.index]; }

  // "MainThread (LWP 885)", "LWP 898".
  std::string name_of(ThreadId id) const;
  // "writer 4101", "process 4101".
  std::string name_of(ProcessId id) const;
  // Without the number: for headlines, which name no process. Empty when the thread has no name.
  std::string plain_name_of(ThreadId id) const;
  // The innermost frame of the user's own code; null when there is none.
  const Frame* site_of(ThreadId id) const;
  const Frame* frame_of(ThreadId id, std::optional<std::uint32_t> index) const;
  // "transfer at bank.py:12"; the function alone without a line; empty for null.
  static std::string text_of(const Frame* frame);
  static std::optional<Location> location_of(const Frame* frame);
  std::string label_of(ResourceId id) const { return resource(id).label; }
};

// Steps of a ring that are told one by one: nobody reads the story of 5,000 philosophers.
constexpr std::size_t most_steps_told = 6;
// "4994 more threads of the ring do alike."; nothing for a ring that was told whole.
std::optional<StoryLine> tell_untold(const Ring& ring);

// A finding's path and members from a ring.
void take_ring(const Scene& scene, const Ring& ring, Finding& finding);

// Adds one step, from its thread to `next`, to a finding's path and members.
void take_step(const Scene& scene, const RingStep& step, ThreadId next, Finding& finding);

// ", in transfer at bank.py:12"; empty when the thread has no frame with a name.
std::string where_of(const Scene& scene, ThreadId id);

// "X waits for Y, in f at a.py:3." with its evidence.
StoryLine tell_wait(const Scene& scene, ThreadId id);
// " holds ", or less where that is concluded from code alone.
std::string hold_verb(const Owner& claim);
// ", taken in f at a.py:3"; empty when the thread's holds do not tell.
std::string taken_in(const Scene& scene, ThreadId id, ResourceId resource);
// "Z holds Y." / "Z would fill Y." for the step's claim; nothing for a wait for an end.
std::optional<StoryLine> tell_claim(const Scene& scene, const RingStep& step, ThreadId next);

// The steps from a waiting thread on, by the surest way, until a thread that waits for nobody
// known or one that came before. Empty when it waits for nobody.
std::vector<Way> follow(const Facts& facts, ThreadId from);

// Threads of the user's that can never go on and reach one of these: held up behind the finding.
// Tells them in one sentence; empty when there are none.
std::string tell_behind(const Scene& scene, const std::vector<ThreadId>& behind);

// "waits for the GIL" / "waits to write-lock <label>".
std::string wait_phrase(const Scene& scene, ThreadId id);

// What a headline may be: without addresses, cut to 120 bytes.
std::string as_headline(std::string text);

}  // namespace coldcase
