// Whether a function has taken one lock where it stands: its instructions followed along every way
// from its beginning (cpython.md 6.2). A pure function of bytecode and of what its calls do to the
// lock; it knows nothing of values, so a branch counts as taken both ways, unless it asks whether
// acquire() succeeded.
#pragma once

#include <map>

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

struct LockState {
  Held held = Held::no;
  std::int32_t site = -1;  // the instruction that took it; -1: held on entry
  bool released = false;   // a release was passed, on some way, since it was taken
  bool unpaired = false;   // a release was passed where it was not held: another took it
  friend bool operator==(const LockState&, const LockState&) = default;
};

// Before the instruction `at`. Nothing when it is out of reach, or the code is too large.
std::optional<LockState> state_before(const Routine& routine, const Effects& effects,
                                      LockState entry, std::size_t at);

// Where the function returns.
std::optional<LockState> state_on_return(const Routine& routine, const Effects& effects,
                                         LockState entry);

// The instruction stands in a try whose handler (a finally, an except) releases the lock.
bool is_guarded(const Routine& routine, const Effects& effects, std::size_t at);

}  // namespace coldcase::cpython
