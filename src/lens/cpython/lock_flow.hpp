// Whether a function has taken one lock where it stands: its instructions followed along every way
// from its beginning (cpython.md 6.2). A pure function of bytecode and of what its calls do to the
// lock; it knows nothing of values, so a branch counts as taken both ways, unless it asks whether
// acquire() succeeded.
#pragma once

#include <map>
#include <tuple>

#include "lens/cpython/bytecode.hpp"

namespace coldcase::cpython {

enum class Held : std::uint8_t { no, maybe, yes };

// What one instruction does to the lock.
struct Effect {
  enum class Kind : std::uint8_t { acquire, try_acquire, release, maybe_release } kind;
  // The name the lock was reached by: when something else is stored there, what is known of the
  // lock goes with the old value.
  Op root = Op::other;
  std::uint32_t index = 0;
};
using Effects = std::map<std::uint32_t, Effect>;  // by instruction

struct FlowState {
  Held held = Held::no;
  std::int32_t site = -1;  // the instruction that took it; -1: held on entry
  bool released = false;   // a release was passed, on some way, since it was taken
  bool unpaired = false;   // a release was passed where it was not held: another took it
  friend bool operator==(const FlowState&, const FlowState&) = default;
};

// Before the instruction `at`. Nothing when it is out of reach, or the code is too large.
std::optional<FlowState> state_before(const Routine& routine, const Effects& effects,
                                      FlowState entry, std::size_t at);

// Where the function returns.
std::optional<FlowState> state_on_return(const Routine& routine, const Effects& effects,
                                         FlowState entry);

// The instruction stands in a try whose handler (a finally, an except) releases the lock.
bool is_guarded(const Routine& routine, const Effects& effects, std::size_t at);

// Answers kept: recursion asks the same of the same code many times.
class LockFlows {
 public:
  struct Answer {
    std::optional<FlowState> state;  // state_before()
    bool guarded = false;            // is_guarded(), where the function itself took it
  };
  const Answer& ask(const Routine& routine, const Effects& effects, const FlowState& entry,
                    std::size_t at);

 private:
  using Question = std::tuple<const Routine*, std::size_t, Held, bool, std::vector<std::uint64_t>>;
  std::map<Question, Answer> answers_;
};

}  // namespace coldcase::cpython
