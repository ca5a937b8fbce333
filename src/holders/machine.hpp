// A tiny evaluator: runs a cleanup from its first instruction with the registers and the memory of
// the dead frame, on all of its paths, and says which locks it would release. Values that cannot be
// known stay unknown; both ways are followed where a condition is. Nothing is executed: writes go
// to a notebook, calls are followed only inside the module, or taken for what their name says.
#pragma once

#include <map>
#include <vector>

#include "holders/code.hpp"
#include "threads/context.hpp"

namespace coldcase {

// What a cleanup would do to one lock.
struct Release {
  LockClass lock = LockClass::none;
  std::uint64_t address = 0;  // of the lock
  std::uint64_t at = 0;       // the instruction that does it
  bool always = false;        // on every path that ends the cleanup
  friend bool operator==(const Release&, const Release&) = default;
};

// A word somebody waits for: its address and what it holds.
struct Watched {
  std::uint64_t address = 0;
  std::uint8_t size = 0;
  std::uint64_t value = 0;
};

// What code would store to a watched word, unless it is what the word holds anyway.
struct WordStore {
  std::uint64_t address = 0;
  std::uint64_t at = 0;  // the instruction that does it
  bool always = false;   // on every path
};

struct CleanupRun {
  std::vector<Release> releases;
  std::vector<WordStore> stores;  // of run_ahead
  bool complete = false;          // every path was followed to its end
  bool touches = false;  // it calls something that releases, or changes memory as a lock's end does
  std::size_t steps = 0;
};

CleanupRun run_cleanup(Code& code, const MemoryImage& image, std::uint64_t pad,
                       const Context& frame);

// The same for the code ahead of a frame: what its function does when the call it is in returns (or
// from `at` on), up to the function's own return.
CleanupRun run_ahead(Code& code, const MemoryImage& image, std::uint64_t at, const Context& frame,
                     const std::vector<Watched>& watched);

// Below: the machine itself, for tests.

struct Value {
  enum class Kind : std::uint8_t {
    unknown,
    known,
    selector  // which handler the unwinder chose: unknown, and either way is a possible one
  };
  Kind kind = Kind::unknown;
  std::uint64_t bits = 0;
  bool known() const { return kind == Kind::known; }
  friend bool operator==(const Value&, const Value&) = default;
};

class MachineState {
 public:
  // At a landing pad.
  MachineState(const MemoryImage& image, const Context& frame);
  // A thread where it stands: every register known, and the flags.
  MachineState(const MemoryImage& image, const Registers& thread);

  Value read(const Operand& operand) const;
  void write(const Operand& operand, Value value);
  std::optional<std::uint64_t> address_of(const Operand& memory) const;

  // Everything but calls, jumps and returns.
  void execute(const Instruction& instruction);
  // The condition under the last comparison; unknown when it is not known.
  Value holds(Condition condition) const;

  void push(Value value);
  Value pop();
  void call_clobbers();
  Value& reg(std::size_t number) { return registers_[number]; }
  const Value& reg(std::size_t number) const { return registers_[number]; }
  bool wrote(std::uint64_t address, std::uint8_t size) const;

  friend bool operator==(const MachineState&, const MachineState&) = default;

 private:
  struct Stored {
    Value value;
    std::uint8_t size = 0;
    friend bool operator==(const Stored&, const Stored&) = default;
  };
  struct Flags {
    // result: of an addition, of which zero and sign are known alone; word: the processor's own.
    enum class From : std::uint8_t { unknown, compare, test, result, word } from = From::unknown;
    Value left, right;
    std::uint8_t size = 8;
    friend bool operator==(const Flags&, const Flags&) = default;
  };
  Value load(std::uint64_t address, std::uint8_t size) const;
  void arithmetic(const Instruction& instruction);
  void compare_exchange(const Instruction& instruction);
  void conditional(const Instruction& instruction);
  void other(const Instruction& instruction);

  const MemoryImage* image_;
  std::array<Value, 16> registers_{};
  Flags flags_;
  std::optional<std::uint64_t> fs_base_;
  std::map<std::uint64_t, Stored> written_;
};

}  // namespace coldcase
