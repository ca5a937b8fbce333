// The evaluator of CFI expressions, operation by operation, and what it refuses.
#include "threads/expression.hpp"

#include <dwarf.h>

#include "support/catch.hpp"
#include "support/core_builder.hpp"

namespace coldcase {
namespace {

using namespace test;
using Program = std::vector<Operation>;

struct Machine {
  Blob memory;
  MemoryImage image;
  Context context;

  Machine() {
    append(memory, std::uint64_t{0x1122334455667788});
    image = MemoryImage{{{{Addr{0x1000}, Addr{0x1010}}, memory, Source::core, Absence::not_saved}}};
    context.set(dw_rsp, 0x7000);
    context.set(dw_rbp, 0x1000);
  }
  std::optional<std::uint64_t> run(const Program& program,
                                   std::optional<std::uint64_t> initial = std::nullopt) const {
    return evaluate(program, context, image, initial);
  }
};

Operation number(std::uint64_t value) {
  return {DW_OP_constu, value, 0};
}

Operation breg(DwarfRegister base, std::uint64_t offset) {
  return {static_cast<std::uint8_t>(DW_OP_breg0 + int{base}), offset, 0};
}

std::optional<std::uint64_t> binary(std::uint8_t atom, std::uint64_t a, std::uint64_t b) {
  return Machine().run({number(a), number(b), {atom, 0, 0}});
}

constexpr std::uint64_t minus(std::uint64_t value) {
  return 0 - value;
}

TEST_CASE("constants and literals", "[expression]") {
  const Machine machine;
  for (const std::uint8_t atom :
       {DW_OP_addr, DW_OP_const1u, DW_OP_const1s, DW_OP_const2u, DW_OP_const2s, DW_OP_const4u,
        DW_OP_const4s, DW_OP_const8u, DW_OP_const8s, DW_OP_constu, DW_OP_consts}) {
    CAPTURE(int{atom});
    CHECK(machine.run({{atom, 0xfffffffffffffff0, 0}}) == 0xfffffffffffffff0u);
  }
  CHECK(machine.run({{DW_OP_lit0, 0, 0}}) == 0u);
  CHECK(machine.run({{DW_OP_lit31, 0, 0}}) == 31u);
}

TEST_CASE("registers with an offset", "[expression]") {
  const Machine machine;
  CHECK(machine.run({breg(dw_rsp, 8)}) == 0x7008u);
  CHECK(machine.run({breg(dw_rsp, minus(8))}) == 0x6ff8u);
  CHECK(machine.run({{DW_OP_bregx, dw_rbp, 16}}) == 0x1010u);
}

TEST_CASE("an unknown register is no value", "[expression]") {
  const Machine machine;
  CHECK_FALSE(machine.run({breg(dw_rax, 0)}));
  CHECK_FALSE(machine.run({{DW_OP_bregx, dw_rax, 0}}));
  CHECK_FALSE(machine.run({{DW_OP_breg31, 0, 0}}));  // a number x86_64 does not keep
  CHECK_FALSE(machine.run({{DW_OP_bregx, 1000, 0}}));
  // With values on the stack, too: the operation must not be taken for another one.
  CHECK_FALSE(machine.run({number(1), number(2), breg(dw_rax, 0)}));
}

TEST_CASE("stack operations", "[expression]") {
  const Machine machine;
  const auto difference = [&](Program program) {
    program.push_back({DW_OP_minus, 0, 0});
    return machine.run(program);
  };
  CHECK(machine.run({number(7), {DW_OP_dup, 0, 0}, {DW_OP_plus, 0, 0}}) == 14u);
  CHECK(difference({number(7), number(2), {DW_OP_swap, 0, 0}}) == minus(5));
  CHECK(difference({number(7), number(2), {DW_OP_over, 0, 0}}) == minus(5));
  CHECK(machine.run({number(7), number(2), {DW_OP_drop, 0, 0}}) == 7u);
  CHECK(machine.run({number(7), number(2), number(1), {DW_OP_pick, 2, 0}}) == 7u);
  CHECK(machine.run({number(7), {DW_OP_pick, 0, 0}}) == 7u);
  CHECK_FALSE(machine.run({number(7), number(2), {DW_OP_pick, 2, 0}}));
  CHECK_FALSE(machine.run({number(7), number(2), {DW_OP_pick, ~std::uint64_t{0}, 0}}));
  CHECK(machine.run({number(7), {DW_OP_nop, 0, 0}}) == 7u);
  CHECK(machine.run({number(7), {DW_OP_stack_value, 0, 0}}) == 7u);
}

TEST_CASE("arithmetic wraps as the machine's does", "[expression]") {
  CHECK(binary(DW_OP_plus, 5, 3) == 8u);
  CHECK(binary(DW_OP_plus, ~std::uint64_t{0}, 1) == 0u);
  CHECK(binary(DW_OP_minus, 5, 3) == 2u);
  CHECK(binary(DW_OP_minus, 3, 5) == minus(2));
  CHECK(binary(DW_OP_mul, 5, 3) == 15u);
  CHECK(binary(DW_OP_mul, std::uint64_t{1} << 63, 2) == 0u);
  const Machine machine;
  CHECK(machine.run({number(5), {DW_OP_plus_uconst, 3, 0}}) == 8u);
  CHECK(machine.run({number(5), {DW_OP_neg, 0, 0}}) == minus(5));
  CHECK(machine.run({number(std::uint64_t{1} << 63), {DW_OP_neg, 0, 0}}) == std::uint64_t{1} << 63);
  CHECK(machine.run({number(0xf0), {DW_OP_not, 0, 0}}) == ~std::uint64_t{0xf0});
}

TEST_CASE("bits", "[expression]") {
  CHECK(binary(DW_OP_and, 0b1100, 0b1010) == 0b1000u);
  CHECK(binary(DW_OP_or, 0b1100, 0b1010) == 0b1110u);
  CHECK(binary(DW_OP_xor, 0b1100, 0b1010) == 0b0110u);
}

TEST_CASE("shifts by as much as the word and more", "[expression]") {
  CHECK(binary(DW_OP_shl, 1, 4) == 16u);
  CHECK(binary(DW_OP_shl, 1, 64) == 0u);
  CHECK(binary(DW_OP_shl, 1, ~std::uint64_t{0}) == 0u);
  CHECK(binary(DW_OP_shr, minus(1), 60) == 15u);
  CHECK(binary(DW_OP_shr, minus(1), 64) == 0u);
  CHECK(binary(DW_OP_shra, minus(16), 2) == minus(4));
  CHECK(binary(DW_OP_shra, minus(16), 64) == minus(1));
  CHECK(binary(DW_OP_shra, 16, 64) == 0u);
}

TEST_CASE("comparisons are signed", "[expression]") {
  CHECK(binary(DW_OP_eq, 3, 3) == 1u);
  CHECK(binary(DW_OP_eq, 3, 4) == 0u);
  CHECK(binary(DW_OP_ne, 3, 4) == 1u);
  CHECK(binary(DW_OP_lt, minus(1), 0) == 1u);
  CHECK(binary(DW_OP_lt, 0, 0) == 0u);
  CHECK(binary(DW_OP_le, 0, 0) == 1u);
  CHECK(binary(DW_OP_gt, 1, minus(1)) == 1u);
  CHECK(binary(DW_OP_gt, minus(1), 1) == 0u);
  CHECK(binary(DW_OP_ge, minus(1), minus(1)) == 1u);
  CHECK(binary(DW_OP_ge, minus(2), minus(1)) == 0u);
}

TEST_CASE("memory is read, and absent memory is no value", "[expression]") {
  const Machine machine;
  CHECK(machine.run({number(0x1000), {DW_OP_deref, 0, 0}}) == 0x1122334455667788u);
  CHECK(machine.run({breg(dw_rbp, 0), {DW_OP_deref, 0, 0}}) == 0x1122334455667788u);
  CHECK_FALSE(machine.run({number(0x1004), {DW_OP_deref, 0, 0}}));  // half of it not saved
  CHECK_FALSE(machine.run({number(0), {DW_OP_deref, 0, 0}}));
}

// glibc's PLT: CFA = rsp + 8 + ((rip & 15) >= 11) * 8.
TEST_CASE("the frame address in a procedure linkage table", "[expression]") {
  const Program plt = {breg(dw_rsp, 8),        breg(dw_ra, 0),          {DW_OP_lit0 + 15, 0, 0},
                       {DW_OP_and, 0, 0},      {DW_OP_lit0 + 11, 0, 0}, {DW_OP_ge, 0, 0},
                       {DW_OP_lit0 + 3, 0, 0}, {DW_OP_shl, 0, 0},       {DW_OP_plus, 0, 0}};
  Machine machine;
  machine.context.set(dw_ra, 0x40102a);
  CHECK(machine.run(plt) == 0x7008u);
  machine.context.set(dw_ra, 0x40102b);
  CHECK(machine.run(plt) == 0x7010u);
}

TEST_CASE("the initial value lies at the bottom", "[expression]") {
  const Machine machine;
  CHECK(machine.run({}, 0x42) == 0x42u);
  CHECK(machine.run({{DW_OP_plus_uconst, 8, 0}}, 0x42) == 0x4au);
  CHECK(machine.run({number(2), {DW_OP_minus, 0, 0}}, 0x42) == 0x40u);
}

TEST_CASE("too few values on the stack", "[expression]") {
  const Machine machine;
  CHECK_FALSE(machine.run({}));
  for (const std::uint8_t atom : {DW_OP_dup, DW_OP_drop, DW_OP_swap, DW_OP_over, DW_OP_deref,
                                  DW_OP_neg, DW_OP_not, DW_OP_plus, DW_OP_plus_uconst, DW_OP_eq}) {
    CAPTURE(int{atom});
    CHECK_FALSE(machine.run({{atom, 0, 0}}));
  }
  for (const std::uint8_t atom : {DW_OP_swap, DW_OP_over, DW_OP_plus, DW_OP_minus, DW_OP_mul,
                                  DW_OP_and, DW_OP_shl, DW_OP_eq, DW_OP_lt}) {
    CAPTURE(int{atom});
    CHECK_FALSE(machine.run({number(1), {atom, 0, 0}}));
  }
  CHECK_FALSE(machine.run({number(1), {DW_OP_drop, 0, 0}}));
}

TEST_CASE("64 values fit, one more does not", "[expression]") {
  const Machine machine;
  Program program(64, number(9));
  CHECK(machine.run(program) == 9u);
  CHECK_FALSE(machine.run(program, 1));
  program.push_back({DW_OP_dup, 0, 0});
  CHECK_FALSE(machine.run(program));
}

TEST_CASE("what CFI may not use is refused", "[expression]") {
  const Machine machine;
  for (const std::uint8_t atom :
       {DW_OP_bra, DW_OP_skip, DW_OP_call2, DW_OP_call4, DW_OP_call_ref, DW_OP_push_object_address,
        DW_OP_fbreg, DW_OP_piece, DW_OP_xderef, DW_OP_form_tls_address, DW_OP_regx, DW_OP_reg0}) {
    CAPTURE(int{atom});
    CHECK_FALSE(machine.run({number(1), number(1), number(1), {atom, 0, 0}}));
  }
  CHECK_FALSE(machine.run({number(1), number(1), number(1), {0xff, 0, 0}}));
  CHECK_FALSE(machine.run({number(1), number(1), number(1), {0, 0, 0}}));
}

}  // namespace
}  // namespace coldcase
