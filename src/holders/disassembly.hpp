// One x86_64 instruction as a small value of our own: what the holders' finders ask of code. The
// library that decodes stands behind this file alone.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "bytes/view.hpp"

namespace coldcase {

enum class Opcode : std::uint8_t {
  other,  // its effect is that the registers in `written` are unknown
  idle,   // nop, pause, fences, endbr: no effect on registers, flags or memory
  move,
  zero_extend,
  sign_extend,
  address,  // lea
  push,
  pop,
  add,
  subtract,
  increment,
  decrement,
  bit_and,
  bit_or,
  bit_xor,
  compare,
  test,
  exchange,
  compare_exchange,
  set_if,
  move_if,
  jump,
  jump_if,
  call,
  ret,
  leave,
  system_call,
  trap  // ud2, hlt, int3: nothing comes after
};

enum class Condition : std::uint8_t {
  unknown,
  equal,
  not_equal,
  below,
  below_equal,
  above,
  above_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  sign,
  not_sign
};

// Registers have their DWARF numbers (threads/rules.hpp), 0 to 15; -1 is none or another kind.
struct Operand {
  enum class Kind : std::uint8_t { none, register_, number, memory, other };
  Kind kind = Kind::none;
  std::uint8_t size = 0;  // bytes
  bool high = false;      // ah, bh, ch, dh
  bool segment = false;   // fs: or gs:, or an index or base that is no general register
  bool fs = false;        // fs: with an index and base that are
  std::int32_t reg = -1;
  std::int32_t base = -1;
  std::int32_t index = -1;
  std::uint8_t scale = 1;
  // Of memory: the displacement, the address itself when rip-relative. Of a number: the number; of
  // a direct jump or call its target.
  std::uint64_t number = 0;
};

struct Instruction {
  std::uint64_t address = 0;
  std::uint8_t length = 0;
  Opcode opcode = Opcode::other;
  Condition condition = Condition::unknown;
  bool locked = false;  // changes memory atomically, by prefix or by nature
  std::array<Operand, 2> operands{};
  std::uint32_t written = 0;  // bit i: general register i is written, explicitly or not

  std::uint64_t next() const { return address + length; }
  const Operand& first() const { return operands[0]; }
  const Operand& second() const { return operands[1]; }
  // Of a jump or call to a fixed place.
  std::optional<std::uint64_t> target() const {
    if (first().kind != Operand::Kind::number) return std::nullopt;
    return first().number;
  }
};

class Disassembler {
 public:
  Disassembler();
  ~Disassembler();
  Disassembler(const Disassembler&) = delete;
  Disassembler& operator=(const Disassembler&) = delete;

  // The instruction these bytes begin with; nothing when they are none.
  std::optional<Instruction> decode(Bytes code, std::uint64_t address) const;

 private:
  struct Engine;
  std::unique_ptr<Engine> engine_;
};

}  // namespace coldcase
