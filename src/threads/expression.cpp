#include "threads/expression.hpp"

#include <dwarf.h>

namespace coldcase {
namespace {

class Stack64 {
 public:
  bool push(std::uint64_t value) {
    if (size_ == slots_.size()) return false;
    slots_[size_++] = value;
    return true;
  }
  std::optional<std::uint64_t> pop() {
    if (size_ == 0) return std::nullopt;
    return slots_[--size_];
  }
  std::optional<std::uint64_t> peek(std::uint64_t depth) const {
    if (depth >= size_) return std::nullopt;
    return slots_[size_ - 1 - depth];
  }

 private:
  std::array<std::uint64_t, 64> slots_{};
  std::size_t size_ = 0;
};

std::optional<std::uint64_t> binary(std::uint8_t atom, std::uint64_t a, std::uint64_t b) {
  const auto left = static_cast<std::int64_t>(a);
  const auto right = static_cast<std::int64_t>(b);
  switch (atom) {
    case DW_OP_plus:
      return a + b;
    case DW_OP_minus:
      return a - b;
    case DW_OP_mul:
      return a * b;
    case DW_OP_and:
      return a & b;
    case DW_OP_or:
      return a | b;
    case DW_OP_xor:
      return a ^ b;
    case DW_OP_shl:
      return b < 64 ? a << b : 0;
    case DW_OP_shr:
      return b < 64 ? a >> b : 0;
    case DW_OP_shra:
      return static_cast<std::uint64_t>(left >> (b < 64 ? b : 63));
    case DW_OP_eq:
      return left == right;
    case DW_OP_ne:
      return left != right;
    case DW_OP_lt:
      return left < right;
    case DW_OP_le:
      return left <= right;
    case DW_OP_gt:
      return left > right;
    case DW_OP_ge:
      return left >= right;
    default:
      return std::nullopt;
  }
}

// Operations that push without popping: literals, registers, copies.
std::optional<std::uint64_t> source(const Operation& op, const Context& context,
                                    const Stack64& stack) {
  if (op.atom >= DW_OP_lit0 && op.atom <= DW_OP_lit31) return op.atom - DW_OP_lit0;
  if (op.atom >= DW_OP_breg0 && op.atom <= DW_OP_breg31) {
    const auto base = context.get(op.atom - DW_OP_breg0);
    return base ? std::optional(*base + op.number) : std::nullopt;
  }
  switch (op.atom) {
    case DW_OP_addr:
    case DW_OP_const1u:
    case DW_OP_const1s:
    case DW_OP_const2u:
    case DW_OP_const2s:
    case DW_OP_const4u:
    case DW_OP_const4s:
    case DW_OP_const8u:
    case DW_OP_const8s:
    case DW_OP_constu:
    case DW_OP_consts:
      return op.number;
    case DW_OP_bregx: {
      const auto base = context.get(op.number);
      return base ? std::optional(*base + op.number2) : std::nullopt;
    }
    case DW_OP_dup:
      return stack.peek(0);
    case DW_OP_over:
      return stack.peek(1);
    case DW_OP_pick:
      return stack.peek(op.number);
    default:
      return std::nullopt;
  }
}

bool apply(const Operation& op, const Context& context, const MemoryImage& image, Stack64& stack) {
  if (const auto value = source(op, context, stack)) return stack.push(*value);
  if (op.atom == DW_OP_nop || op.atom == DW_OP_stack_value) return true;
  const auto top = stack.pop();
  if (!top) return false;
  if (op.atom == DW_OP_drop) return true;
  if (op.atom == DW_OP_plus_uconst) return stack.push(*top + op.number);
  if (op.atom == DW_OP_neg) return stack.push(0 - *top);
  if (op.atom == DW_OP_not) return stack.push(~*top);
  if (op.atom == DW_OP_deref) {
    const auto word = image.read<std::uint64_t>(Addr{*top});
    return word && stack.push(*word);
  }
  const auto below = stack.pop();
  if (!below) return false;
  if (op.atom == DW_OP_swap) return stack.push(*top) && stack.push(*below);
  const auto result = binary(op.atom, *below, *top);
  return result && stack.push(*result);
}

}  // namespace

std::optional<std::uint64_t> evaluate(std::span<const Operation> operations, const Context& context,
                                      const MemoryImage& image,
                                      std::optional<std::uint64_t> initial) {
  Stack64 stack;
  if (initial) stack.push(*initial);
  for (const Operation& op : operations) {
    // Branches (DW_OP_bra, DW_OP_skip) would allow loops; no compiler emits them in CFI: apply
    // refuses.
    if (!apply(op, context, image, stack)) return std::nullopt;
  }
  return stack.pop();
}

}  // namespace coldcase
