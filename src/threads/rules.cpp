#include "threads/rules.hpp"

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace coldcase {
namespace {

using Kind = RegisterRule::Kind;

struct FreeFrame {
  void operator()(Dwarf_Frame* frame) const {
    std::free(frame);
  }  // NOLINT: libdw hands out malloc'ed
};

constexpr bool callee_saved(int number) {
  return number == dw_rbx || number == dw_rbp || (number >= dw_r12 && number <= dw_r15);
}

bool executable(const Module& module, std::uint64_t value) {
  for (const auto& load : module.headers) {
    if (load.type != elf::pt_load || (load.flags & elf::flag_x) == 0) continue;
    if (value >= load.vaddr && value - load.vaddr < load.memsz) return true;
  }
  return false;
}

bool has_code(const ElfFile& file, std::uint64_t value, std::initializer_list<unsigned> pattern) {
  return std::ranges::equal(
      file.at_address(value, pattern.size()), pattern,
      [](std::byte one, unsigned other) { return std::to_integer<unsigned>(one) == other; });
}

// Where nothing lies further out although no rules say so: behind a call that musl's __clone makes
// (src/thread/x86_64/clone.s, 1.2.3) the thread ends itself - mov %eax,%edi; xor %eax,%eax; mov
// $60,%al; syscall - and nothing has called the code at a program's entry, of a few instructions.
bool fill_as_beginning(Row& row) {
  constexpr std::uint64_t most_of_entry = 48;
  const ElfFile& file = *row.module->file;
  const std::uint64_t value = row.module->to_file(row.pc);
  const std::uint64_t entry = file.header().entry;
  // Linkers also write an entry into libraries; a program's begins with xor %ebp,%ebp.
  const bool starts = has_code(file, entry, {0x31, 0xed}) ||
                      has_code(file, entry, {0x48, 0x31, 0xed}) ||
                      has_code(file, entry, {0xf3, 0x0f, 0x1e, 0xfa, 0x31, 0xed});
  const bool at_entry = starts && value > entry && value - entry <= most_of_entry;
  if (!at_entry && !has_code(file, value, {0x89, 0xc7, 0x31, 0xc0, 0xb0, 60, 0x0f, 0x05}))
    return false;
  row.cfa_register = dw_rsp;
  row.outermost = row.has_cfi = true;
  return true;
}

}  // namespace

std::span<const Operation> Rules::operations(const RegisterRule& rule) const {
  return std::span(operations_).subspan(static_cast<std::size_t>(rule.offset), rule.operations);
}

std::uint32_t Rules::row_of(Addr pc, bool exact) {
  auto& known = exact ? exact_ : after_call_;
  const auto [at, fresh] = known.try_emplace(pc.value, static_cast<std::uint32_t>(rows_.size()));
  if (!fresh) return at->second;
  Row row;
  row.pc = pc;
  row.lookup = exact || pc.value == 0 ? pc : Addr{pc.value - 1};
  fill(row);
  rows_.push_back(row);
  return at->second;
}

RegisterRule Rules::keep_expression(Kind kind, const void* operations, std::size_t count) {
  constexpr std::size_t most = 256;
  if (count > most) return {};
  RegisterRule rule{kind, static_cast<std::int32_t>(operations_.size()),
                    static_cast<std::uint16_t>(count)};
  const auto* from = static_cast<const Dwarf_Op*>(operations);
  for (std::size_t i = 0; i < count; ++i) {
    operations_.push_back({from[i].atom, from[i].number, from[i].number2});
  }
  return rule;
}

RegisterRule Rules::register_rule(void* frame, int number) {
  Dwarf_Op memory[3];
  Dwarf_Op* ops = nullptr;
  std::size_t count = 0;
  if (dwarf_frame_register(static_cast<Dwarf_Frame*>(frame), number, memory, &ops, &count) != 0)
    return {};
  // libdw 0.188 reports rbx undefined and rax the same by default (native-waits.md 11). What the
  // ABI says stands: callee-saved registers without a rule are kept, the others are lost.
  if (count == 0) return {callee_saved(number) ? Kind::same : Kind::unknown, 0, 0};
  const bool value = ops[count - 1].atom == DW_OP_stack_value;
  const std::size_t plain = value ? count - 1 : count;
  if (ops[0].atom == DW_OP_call_frame_cfa && plain <= 2 &&
      (plain == 1 || ops[1].atom == DW_OP_plus_uconst)) {
    const auto offset = plain == 1 ? 0 : static_cast<std::int32_t>(ops[1].number);
    return {value ? Kind::value_is : Kind::saved_at, offset, 0};
  }
  if (count == 1 && ops[0].atom == DW_OP_regx) {
    return {Kind::in_register, static_cast<std::int32_t>(ops[0].number), 0};
  }
  if (count == 1 && ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31) {
    return {Kind::in_register, ops[0].atom - DW_OP_reg0, 0};
  }
  // libdw (0.188) writes the CFA that an expression finds on the stack as its first operation;
  // evaluate() puts it there itself. All of glibc's __restore_rt is such rules.
  const std::size_t given = ops[0].atom == DW_OP_call_frame_cfa ? 1 : 0;
  return keep_expression(value ? Kind::value_expression : Kind::saved_at_expression, ops + given,
                         plain - given);
}

// The rule of a Go function: a fixed distance from the stack pointer to the return address. Its
// callers' registers are in no place that the table tells, but for the frame pointer, which stands
// below the return address where the function has a frame (amd64, Go 1.7 and later).
static void fill_by_go_table(const GoTable& table, Row& row, std::uint64_t value) {
  const auto function = table.find(value);
  row.switches_stack = function && function->switches_stack;
  if (!function || row.switches_stack) return;
  // No call ends in front of a function: the "return address" is the signal trampoline's entry.
  const auto inside = table.find(value + (row.pc.value - row.lookup.value));
  if (row.pc != row.lookup && (!inside || inside->entry != function->entry)) return;
  constexpr std::int32_t word = 8;
  const auto depth = static_cast<std::int32_t>(function->depth);
  row.cfa_register = dw_rsp;
  row.cfa_offset = depth + word;
  row.registers[dw_ra] = {Kind::saved_at, -word, 0};
  row.registers[dw_rbp] =
      depth > 0 ? RegisterRule{Kind::saved_at, -2 * word, 0} : RegisterRule{Kind::same, 0, 0};
  row.has_cfi = true;
  row.outermost = function->outermost;
}

void Rules::fill(Row& row) {
  row.module = modules_->find(row.lookup);
  if (row.module == nullptr || !row.module->file) {
    row.in_code = row.module != nullptr && executable(*row.module, row.module->to_file(row.lookup));
    return;
  }
  const std::uint64_t value = row.module->to_file(row.lookup);
  row.in_code = executable(*row.module, value);
  if (fill_by_cfi(row, value) || !row.in_code) return;
  if (fill_as_entry(row, value) || fill_as_trampoline(row)) return;
  if (const GoTable* table = row.module->file->go_table())
    fill_by_go_table(*table, row, value);
  else
    fill_as_beginning(row);
}

// A return address that no call made: makecontext and others put the entry of a function there. The
// byte before it is nobody's.
bool Rules::fill_as_entry(Row& row, std::uint64_t value) {
  if (row.lookup == row.pc || !fill_by_cfi(row, value + 1)) return false;
  row.lookup = row.pc;
  // glibc's __start_context (sysdeps/unix/sysv/linux/x86_64/__start_context.S) begins with
  // mov %rbx,%rsp: what lies on the stack there is the next context, no return address. Its rules
  // do not say so (2.36), and gdb goes on into data.
  if (has_code(*row.module->file, value + 1, {0x48, 0x89, 0xdc})) row.outermost = true;
  return true;
}

// The code that a signal's handler returns to, where it has no rules (musl, Go): by its
// instructions, mov $15,%eax or %rax; syscall - rt_sigreturn. The stack pointer is at the kernel's
// struct ucontext: 40 bytes, then the registers in the order of struct sigcontext.
bool Rules::fill_as_trampoline(Row& row) {
  const ElfFile& file = *row.module->file;
  const std::uint64_t value = row.module->to_file(row.pc);
  if (!has_code(file, value, {0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05}) &&
      !has_code(file, value, {0xb8, 15, 0, 0, 0, 0x0f, 0x05}))
    return false;
  static constexpr std::array<DwarfRegister, register_count> saved{
      dw_r8,  dw_r9,  dw_r10, dw_r11, dw_r12, dw_r13, dw_r14, dw_r15, dw_rdi,
      dw_rsi, dw_rbp, dw_rbx, dw_rdx, dw_rax, dw_rcx, dw_rsp, dw_ra};
  std::int32_t at = 40;
  for (const DwarfRegister number : saved) {
    row.registers[number] = {Kind::saved_at, at, 0};
    at += 8;
  }
  row.lookup = row.pc;
  row.cfa_register = dw_rsp;
  row.cfa_offset = 0;
  row.signal_frame = row.has_cfi = true;
  return true;
}

// .eh_frame where the program has it (it does wherever exceptions may pass), else .debug_frame.
// Go's own table knows more than its .debug_frame: where a goroutine's stack begins.
bool Rules::fill_by_cfi(Row& row, std::uint64_t value) {
  const Module& module = *row.module;
  if (fill_from(module.file->cfi(), row, value) || !row.in_code ||
      module.file->go_table() != nullptr)
    return row.has_cfi;
  return fill_from(module.file->debug_cfi(), row, value) ||
         (module.debug && fill_from(module.debug->debug_cfi(), row, value));
}

bool Rules::fill_from(Dwarf_CFI* cfi, Row& row, std::uint64_t value) {
  Dwarf_Frame* raw = nullptr;
  if (cfi == nullptr || dwarf_cfi_addrframe(cfi, value, &raw) != 0) return false;
  const std::unique_ptr<Dwarf_Frame, FreeFrame> frame(raw);
  const int return_register = dwarf_frame_info(raw, nullptr, nullptr, &row.signal_frame);
  Dwarf_Op* ops = nullptr;
  std::size_t count = 0;
  if (dwarf_frame_cfa(raw, &ops, &count) != 0 || count == 0 || return_register != dw_ra)
    return false;
  if (count == 1 && ops[0].atom == DW_OP_bregx && ops[0].number < register_count) {
    row.cfa_register = static_cast<std::int16_t>(ops[0].number);
    row.cfa_offset = static_cast<std::int32_t>(ops[0].number2);
  } else if (count == 1 && ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg16) {
    row.cfa_register = static_cast<std::int16_t>(ops[0].atom - DW_OP_breg0);
    row.cfa_offset = static_cast<std::int32_t>(ops[0].number);
  } else {
    row.cfa_expression = keep_expression(Kind::value_expression, ops, count);
  }
  for (int number = 0; number < static_cast<int>(register_count); ++number) {
    row.registers[static_cast<std::size_t>(number)] = register_rule(raw, number);
  }
  row.has_cfi = true;
  row.outermost = row.registers[dw_ra].kind == Kind::unknown;
  return true;
}

}  // namespace coldcase
