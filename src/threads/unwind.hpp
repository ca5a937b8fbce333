// Every thread of the core unwound: our own stepper over the rules, through our memory and
// registers. A walk keeps 16 bytes a frame; the registers of a frame come back by walking the
// thread again.
#pragma once

#include <coldcase/words.hpp>
#include <functional>
#include <optional>
#include <vector>

#include "core/core.hpp"
#include "threads/context.hpp"
#include "threads/rules.hpp"

namespace coldcase {

struct WalkFrame {
  std::uint32_t row = 0;  // index into Rules
  Trust trust = Trust::context;
  std::uint64_t cfa = 0;  // canonical frame address; 0 when unknown
};

enum class StopCode : std::uint8_t {
  outermost,
  unreadable,
  did_not_advance,
  no_unwind_info,
  limit,
  no_stack
};

struct Stop {
  StopCode code = StopCode::outermost;
  std::optional<Fault> fault;  // unreadable: what could not be read
  Addr address;                // the pc where the walk stopped
};

struct Walk {
  std::vector<WalkFrame> frames;  // innermost first
  Stop stop;
};

inline constexpr std::size_t most_frames = 200'000;  // of one thread; reported when reached

class Unwinder {
 public:
  Unwinder(const MemoryImage& image, Rules& rules) : image_(image), rules_(rules) {}

  // Called for each frame, innermost first, with all registers known there; false ends the walk.
  using Visit = std::function<bool(const WalkFrame&, const Context&)>;
  Stop walk(const Registers& registers, const Visit& visit, std::size_t limit = most_frames);

  Walk unwind(const Registers& registers);

 private:
  std::optional<Stop> step(Context& context, WalkFrame& frame, bool& exact,
                           std::uint64_t& last_cfa);
  std::optional<Stop> step_by_cfi(Context& context, const Row& row, WalkFrame& frame,
                                  std::uint64_t last_cfa);
  bool step_by_frame_pointer(Context& context, Trust& trust);
  bool step_to_other_stack(Context& context);
  bool step_by_scan(Context& context, Trust& trust);
  bool plausible_return(Addr pc);
  bool begins_something(Addr pc);
  bool returns_into_made_code(Addr pc, std::uint64_t frame_pointer);
  bool leads_on(const Context& guess);

  const MemoryImage& image_;
  Rules& rules_;
  Trust next_trust_ = Trust::cfi;  // how the step just made was found
};

}  // namespace coldcase
