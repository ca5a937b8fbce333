#include "holders/machine.hpp"

#include <algorithm>

namespace coldcase {
namespace {

constexpr std::uint64_t mask_of(std::uint8_t size) {
  return size >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (size * 8)) - 1;
}

std::int64_t extended(std::uint64_t bits, std::uint8_t size) {
  const unsigned unused = size >= 8 ? 0 : 64 - size * 8u;
  return static_cast<std::int64_t>(bits << unused) >> unused;
}

Value known(std::uint64_t bits) {
  return {Value::Kind::known, bits};
}

bool compares(Condition condition, std::uint64_t left, std::uint64_t right, std::uint8_t size) {
  const std::int64_t l = extended(left, size);
  const std::int64_t r = extended(right, size);
  switch (condition) {
    case Condition::equal:
      return left == right;
    case Condition::not_equal:
      return left != right;
    case Condition::below:
      return left < right;
    case Condition::below_equal:
      return left <= right;
    case Condition::above:
      return left > right;
    case Condition::above_equal:
      return left >= right;
    case Condition::less:
      return l < r;
    case Condition::less_equal:
      return l <= r;
    case Condition::greater:
      return l > r;
    case Condition::greater_equal:
      return l >= r;
    case Condition::sign:
      return extended(left - right, size) < 0;
    case Condition::not_sign:
      return extended(left - right, size) >= 0;
    case Condition::unknown:
      break;
  }
  return false;
}

// Bits of the flags register: CF 0, ZF 6, SF 7, OF 11.
bool holds_in(Condition condition, std::uint64_t flags) {
  const bool carry = (flags & 1) != 0, zero = (flags >> 6 & 1) != 0, sign = (flags >> 7 & 1) != 0;
  const bool less = sign != ((flags >> 11 & 1) != 0);
  switch (condition) {
    case Condition::equal:
      return zero;
    case Condition::not_equal:
      return !zero;
    case Condition::below:
      return carry;
    case Condition::below_equal:
      return carry || zero;
    case Condition::above:
      return !carry && !zero;
    case Condition::above_equal:
      return !carry;
    case Condition::less:
      return less;
    case Condition::less_equal:
      return less || zero;
    case Condition::greater:
      return !less && !zero;
    case Condition::greater_equal:
      return !less;
    case Condition::sign:
      return sign;
    case Condition::not_sign:
      return !sign;
    case Condition::unknown:
      break;
  }
  return false;
}

}  // namespace

MachineState::MachineState(const MemoryImage& image, const Context& frame) : image_(&image) {
  for (const std::size_t kept : {dw_rbx, dw_rbp, dw_rsp, dw_r12, dw_r13, dw_r14, dw_r15}) {
    if (const auto value = frame.get(kept)) registers_[kept] = known(*value);
  }
  // The unwinder passes the exception in rax and the handler's number in rdx (Itanium C++ ABI).
  registers_[dw_rdx] = {Value::Kind::selector, 0};
}

MachineState::MachineState(const MemoryImage& image, const Registers& thread) : image_(&image) {
  const Context context = context_of(thread);
  for (std::size_t i = 0; i < registers_.size(); ++i) registers_[i] = known(context.values[i]);
  flags_ = {Flags::From::word, known(thread[Registers::eflags]), known(0), 8};
  fs_base_ = thread[Registers::fs_base];
}

std::optional<std::uint64_t> MachineState::address_of(const Operand& memory) const {
  if (memory.kind != Operand::Kind::memory) return std::nullopt;
  const bool in_thread_block = memory.fs && fs_base_;
  if (memory.segment && !in_thread_block) return std::nullopt;
  std::uint64_t address = memory.number + (in_thread_block ? *fs_base_ : 0);
  if (memory.base >= 0) {
    const Value& base = registers_[static_cast<std::size_t>(memory.base)];
    if (!base.known()) return std::nullopt;
    address += base.bits;
  }
  if (memory.index >= 0) {
    const Value& index = registers_[static_cast<std::size_t>(memory.index)];
    if (!index.known()) return std::nullopt;
    address += index.bits * memory.scale;
  }
  return address;
}

Value MachineState::load(std::uint64_t address, std::uint8_t size) const {
  if (size == 0 || size > 8) return {};
  // Nothing written is longer than eight bytes.
  for (auto at = written_.lower_bound(address < 7 ? 0 : address - 7);
       at != written_.end() && at->first < address + size; ++at) {
    if (at->first + at->second.size <= address) continue;
    if (at->first != address || at->second.size < size) return {};
    Value value = at->second.value;
    value.bits &= mask_of(size);
    return value;
  }
  std::array<std::byte, 8> bytes{};
  if (!image_->read_into(Addr{address}, std::span(bytes).first(size))) return {};
  return known(std::bit_cast<std::uint64_t>(bytes));
}

Value MachineState::read(const Operand& operand) const {
  if (operand.kind == Operand::Kind::number) return known(operand.number & mask_of(operand.size));
  if (operand.kind == Operand::Kind::register_) {
    Value value = registers_[static_cast<std::size_t>(operand.reg)];
    value.bits = (operand.high ? value.bits >> 8 : value.bits) & mask_of(operand.size);
    return value;
  }
  const auto address = address_of(operand);
  return address ? load(*address, operand.size) : Value{};
}

void MachineState::write(const Operand& operand, Value value) {
  if (operand.kind == Operand::Kind::register_) {
    Value& into = registers_[static_cast<std::size_t>(operand.reg)];
    value.bits &= mask_of(operand.size);
    const unsigned shift = operand.high ? 8 : 0;
    if (operand.size >= 4)
      into = value;
    else if (value.known() && into.known())
      into.bits = (into.bits & ~(mask_of(operand.size) << shift)) | value.bits << shift;
    else
      into = {};  // a known part of an unknown whole is not kept apart
    return;
  }
  const auto address = address_of(operand);
  if (!address || operand.size == 0) return;
  const std::uint8_t size = std::min<std::uint8_t>(operand.size, 8);
  for (auto at = written_.lower_bound(*address < 7 ? 0 : *address - 7);
       at != written_.end() && at->first < *address + size; ++at) {
    if (at->first + at->second.size > *address) at->second.value = {};
  }
  written_.insert_or_assign(*address, Stored{value, size});
}

bool MachineState::wrote(std::uint64_t address, std::uint8_t size) const {
  const auto at = written_.lower_bound(address < 7 ? 0 : address - 7);
  for (auto next = at; next != written_.end() && next->first < address + size; ++next) {
    if (next->first + next->second.size > address) return true;
  }
  return false;
}

void MachineState::push(Value value) {
  Operand top;
  top.kind = Operand::Kind::memory;
  top.base = dw_rsp;
  top.size = 8;
  if (registers_[dw_rsp].known()) registers_[dw_rsp].bits -= 8;
  write(top, value);
}

Value MachineState::pop() {
  Operand top;
  top.kind = Operand::Kind::memory;
  top.base = dw_rsp;
  top.size = 8;
  const Value value = read(top);
  if (registers_[dw_rsp].known()) registers_[dw_rsp].bits += 8;
  return value;
}

void MachineState::call_clobbers() {
  for (const std::size_t lost :
       {dw_rax, dw_rcx, dw_rdx, dw_rsi, dw_rdi, dw_r8, dw_r9, dw_r10, dw_r11}) {
    registers_[lost] = {};
  }
  flags_ = {};
}

Value MachineState::holds(Condition condition) const {
  if (condition == Condition::unknown || flags_.from == Flags::From::unknown) return {};
  for (const Value& side : {flags_.left, flags_.right}) {
    if (side.kind == Value::Kind::selector) return {Value::Kind::selector, 0};
  }
  if (!flags_.left.known() || !flags_.right.known()) return {};
  if (flags_.from == Flags::From::word) return known(holds_in(condition, flags_.left.bits) ? 1 : 0);
  const bool about_result = condition == Condition::equal || condition == Condition::not_equal ||
                            condition == Condition::sign || condition == Condition::not_sign;
  if (flags_.from == Flags::From::result && !about_result) return {};
  if (flags_.from == Flags::From::test || flags_.from == Flags::From::result)
    return known(compares(condition, flags_.left.bits & flags_.right.bits, 0, flags_.size) ? 1 : 0);
  return known(compares(condition, flags_.left.bits, flags_.right.bits, flags_.size) ? 1 : 0);
}

void MachineState::arithmetic(const Instruction& instruction) {
  const Operand& into = instruction.first();
  const bool by_one =
      instruction.opcode == Opcode::increment || instruction.opcode == Opcode::decrement;
  const Value left = read(into);
  const Value right = by_one ? known(1) : read(instruction.second());
  const std::uint8_t size = into.size;
  Value result;
  const bool both = left.known() && right.known();
  switch (instruction.opcode) {
    case Opcode::add:
    case Opcode::increment:
      if (both) result = known(left.bits + right.bits);
      break;
    case Opcode::subtract:
    case Opcode::decrement:
      if (both) result = known(left.bits - right.bits);
      break;
    case Opcode::bit_and:
      if (both) result = known(left.bits & right.bits);
      break;
    case Opcode::bit_or:
      if (both) result = known(left.bits | right.bits);
      break;
    case Opcode::bit_xor:
      if (both) result = known(left.bits ^ right.bits);
      if (into.kind == Operand::Kind::register_ &&
          instruction.second().kind == Operand::Kind::register_ &&
          into.reg == instruction.second().reg) {
        result = known(0);
      }
      break;
    default:
      break;
  }
  result.bits &= mask_of(size);
  write(into, result);
  if (instruction.opcode == Opcode::subtract)
    flags_ = {Flags::From::compare, left, right, size};
  else if (by_one || instruction.opcode == Opcode::add)
    flags_ = {Flags::From::result, result, result, size};
  else
    flags_ = {Flags::From::test, result, result, size};
}

void MachineState::compare_exchange(const Instruction& instruction) {
  const Operand& into = instruction.first();
  Operand accumulator;
  accumulator.kind = Operand::Kind::register_;
  accumulator.reg = dw_rax;
  accumulator.size = into.size;
  const Value expected = read(accumulator);
  const Value there = read(into);
  flags_ = {Flags::From::compare, expected, there, into.size};
  if (!expected.known() || !there.known()) {
    write(into, {});
    return write(accumulator, {});
  }
  if (expected.bits == there.bits)
    write(into, read(instruction.second()));
  else
    write(accumulator, there);
}

void MachineState::conditional(const Instruction& instruction) {
  Value holding = holds(instruction.condition);
  if (holding.kind == Value::Kind::selector) holding = {};
  const Operand& into = instruction.first();
  if (instruction.opcode == Opcode::set_if || !holding.known()) return write(into, holding);
  // Of 32 bits the upper half is cleared either way.
  write(into, read(holding.bits != 0 ? instruction.second() : into));
}

// All that is known of it is what it changes.
void MachineState::other(const Instruction& instruction) {
  for (std::size_t i = 0; i < registers_.size(); ++i) {
    if ((instruction.written >> i & 1) != 0) registers_[i] = {};
  }
  if (instruction.first().kind == Operand::Kind::memory) write(instruction.first(), {});
  flags_ = {};
}

void MachineState::execute(const Instruction& instruction) {
  const Operand& first = instruction.first();
  const Operand& second = instruction.second();
  switch (instruction.opcode) {
    case Opcode::move:
    case Opcode::zero_extend:
      if (first.kind == Operand::Kind::other || second.kind == Operand::Kind::other)
        return other(instruction);
      return write(first, read(second));
    case Opcode::sign_extend: {
      Value value = read(second);
      value.bits = static_cast<std::uint64_t>(extended(value.bits, second.size));
      return write(first, value);
    }
    case Opcode::address: {
      const auto address = address_of(second);
      return write(first, address ? known(*address) : Value{});
    }
    case Opcode::push:
      return push(read(first));
    case Opcode::pop:
      return write(first, pop());
    case Opcode::leave:
      registers_[dw_rsp] = registers_[dw_rbp];
      registers_[dw_rbp] = pop();
      return;
    case Opcode::idle:
      return;
    case Opcode::move_if:
    case Opcode::set_if:
      return conditional(instruction);
    case Opcode::compare_exchange:
      return compare_exchange(instruction);
    case Opcode::add:
    case Opcode::subtract:
    case Opcode::increment:
    case Opcode::decrement:
    case Opcode::bit_and:
    case Opcode::bit_or:
    case Opcode::bit_xor:
      return arithmetic(instruction);
    case Opcode::compare:
      flags_ = {Flags::From::compare, read(first), read(second), first.size};
      return;
    case Opcode::test:
      flags_ = {Flags::From::test, read(first), read(second), first.size};
      return;
    case Opcode::exchange: {
      const Value left = read(first);
      const Value right = read(second);
      write(first, right);
      return write(second, left);
    }
    default:
      return other(instruction);
  }
}

}  // namespace coldcase
