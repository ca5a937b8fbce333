// How to step from one frame to its caller: call frame information for one pc as a small value,
// asked of libdw once for each distinct pc and normalised by our own ABI table.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "modules/modules.hpp"

namespace coldcase {

// DWARF numbers of x86_64 registers (System V ABI, figure 3.36); 16 is the return address.
enum DwarfRegister : std::uint8_t {
  dw_rax,
  dw_rdx,
  dw_rcx,
  dw_rbx,
  dw_rsi,
  dw_rdi,
  dw_rbp,
  dw_rsp,
  dw_r8,
  dw_r9,
  dw_r10,
  dw_r11,
  dw_r12,
  dw_r13,
  dw_r14,
  dw_r15,
  dw_ra
};
inline constexpr std::size_t register_count = 17;

// One operation of a DWARF expression, copied out of libdw.
struct Operation {
  std::uint8_t atom = 0;
  std::uint64_t number = 0;
  std::uint64_t number2 = 0;
};

struct RegisterRule {
  enum class Kind : std::uint8_t {
    unknown,
    same,
    saved_at,
    value_is,
    in_register,
    saved_at_expression,
    value_expression
  };
  Kind kind = Kind::unknown;
  std::int32_t offset = 0;       // from the CFA; the register's number; the first operation
  std::uint16_t operations = 0;  // of an expression
};

struct Row {
  Addr pc;  // of the frame; the lookup address is `lookup`
  Addr lookup;
  const Module* module = nullptr;
  bool has_cfi = false;
  bool signal_frame = false;
  bool outermost = false;          // the CFI says there is no caller
  bool switches_stack = false;     // its caller is on another stack, where the frame pointer leads
  bool in_code = false;            // the address lies in executable memory of a file or mapping
  std::int16_t cfa_register = -1;  // -1: an expression
  std::int32_t cfa_offset = 0;
  RegisterRule cfa_expression;
  std::array<RegisterRule, register_count> registers{};
};

// All rows met in a run. References stay valid: rows are only added.
class Rules {
 public:
  explicit Rules(const Modules& modules) : modules_(&modules) {}

  // The row of a frame whose pc this is. `exact`: the pc is that of an instruction (innermost, or
  // above a signal frame), not a return address.
  std::uint32_t row_of(Addr pc, bool exact);
  const Row& row(std::uint32_t index) const { return rows_[index]; }
  std::size_t size() const { return rows_.size(); }
  std::span<const Operation> operations(const RegisterRule& rule) const;

 private:
  void fill(Row& row);
  bool fill_by_cfi(Row& row, std::uint64_t value);
  bool fill_from(Dwarf_CFI* cfi, Row& row, std::uint64_t value);
  bool fill_as_entry(Row& row, std::uint64_t value);
  static bool fill_as_trampoline(Row& row);
  RegisterRule keep_expression(RegisterRule::Kind kind, const void* operations, std::size_t count);
  RegisterRule register_rule(void* frame, int number);

  const Modules* modules_;
  std::vector<Row> rows_;
  std::vector<Operation> operations_;
  std::unordered_map<std::uint64_t, std::uint32_t> exact_, after_call_;
};

}  // namespace coldcase
