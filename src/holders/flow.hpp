// The control flow of one function, and whether a lock is held at a place in it: a walk over all
// ways from its entry, where calls that lock and unlock change the state. Addresses of the process.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "holders/code.hpp"
#include "threads/context.hpp"

namespace coldcase {

// What may be true at a place, over all ways there.
struct FlowState {
  bool reached = false;
  bool free = false;            // there is a way on which the lock is not held
  bool held = false;            // ... on which this lock was taken and not released
  bool held_unknown = false;    // ... on which a lock was taken that could be this one
  bool released_after = false;  // a release of this lock lies ahead
  bool handles = false;         // the function locks or unlocks this very lock

  bool surely() const { return held && !free && !held_unknown; }
  bool surely_not() const { return reached && handles && !held && !held_unknown; }
};

struct FlowNode {
  Instruction instruction;
  Role role;  // of the function it calls
  std::array<std::int32_t, 2> next{-1, -1};
  std::vector<std::int32_t> before;  // what may run right before it
  bool scatters = false;             // jumps to a place that is not known
  bool jumped_to = false;
};

class Flow {
 public:
  // Of the function (by its unwind entry). Bounded: a limit that is reached, or bytes that are no
  // code, end it, and nothing is said of it.
  Flow(Code& code, const CodeRange& range);

  // The state before the instruction that begins at, or (for a return address) ends at `pc`.
  // `memory` reads eight bytes of the dead process.
  using Memory = std::function<std::optional<std::uint64_t>(std::uint64_t)>;
  struct Asked {
    std::uint64_t pc = 0;
    bool after_call = false;
    LockClass lock = LockClass::none;
    std::uint64_t address = 0;  // of the lock
    const Context& frame;
    const Memory& memory;
    Work& work;
  };
  FlowState state_at(const Asked& asked) const;

  bool locks() const { return locks_; }
  std::size_t size() const { return nodes_.size(); }

 private:
  struct Resolved {
    std::optional<std::uint64_t> value;
    std::uint32_t registers = 0;  // of the frame, on which the value rests
  };
  struct Event;

  std::int32_t add(Code& code, std::uint64_t at);
  void add_jump(Code& code, std::int32_t node, std::vector<std::int32_t>& work);
  void join_scattered(Code& code, const CodeRange& range);
  void grow(Code& code, std::vector<std::int32_t> work);
  void find_predecessors();
  struct Definitions {
    std::vector<std::int32_t> nodes;
    bool unwritten = false;  // there is a way from the entry on which nothing writes it
  };
  Definitions definitions_of(std::int32_t node, int reg, Work& work) const;
  std::vector<bool> reach(std::int32_t from, bool backward, Work& work) const;
  Resolved resolve(std::int32_t node, int reg, const Asked& asked, int depth) const;
  Resolved resolve_write(std::int32_t node, int reg, const Asked& asked, int depth) const;
  bool outdated(std::int32_t node, std::uint32_t rests_on, const std::vector<bool>& leads_to_site,
                Work& work) const;
  std::vector<Event> events_of(const Asked& asked, std::int32_t site,
                               std::uint32_t& registers) const;
  std::int32_t find_site(const Asked& asked) const;
  std::vector<unsigned> states_before(const std::vector<Event>& events,
                                      std::uint32_t registers) const;
  bool release_ahead(std::int32_t from, const std::vector<Event>& events) const;

  std::vector<FlowNode> nodes_;
  std::unordered_map<std::uint64_t, std::int32_t> at_;
  bool whole_ = true;
  bool locks_ = false;
};

// The flows of a process, made once for each function that locks anything.
class Flows {
 public:
  explicit Flows(Code& code) : code_(code) {}
  // Null when the function locks nothing.
  const Flow* of(std::uint64_t inside);

 private:
  Code& code_;
  std::map<std::uint64_t, std::optional<Flow>> flows_;  // by where the function begins
};

}  // namespace coldcase
