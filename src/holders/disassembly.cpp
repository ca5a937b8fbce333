#include "holders/disassembly.hpp"

#include <capstone/capstone.h>

#include "threads/rules.hpp"

// The engine's core refers to every machine it knows, and in a static link brings them all: 5 MB
// and 75,000 relocations, which made each start of the program 1.5 ms slower (capstone 4.0.2, 1 ms
// before). With these in their place (cs.c: arch_init, arch_option) the linker leaves the others
// out. Asking for such a machine fails, as in a capstone built without it; x86 is the only one
// asked for. With a shared capstone they are not used.
#define COLDCASE_WITHOUT(machine)                                       \
  extern "C" cs_err machine##_global_init(void*);                       \
  extern "C" cs_err machine##_option(void*, cs_opt_type, std::size_t);  \
  extern "C" cs_err machine##_global_init(void*) {                      \
    return CS_ERR_ARCH;                                                 \
  }                                                                     \
  extern "C" cs_err machine##_option(void*, cs_opt_type, std::size_t) { \
    return CS_ERR_ARCH;                                                 \
  }
COLDCASE_WITHOUT(AArch64)
COLDCASE_WITHOUT(ARM)
COLDCASE_WITHOUT(EVM)
COLDCASE_WITHOUT(M680X)
COLDCASE_WITHOUT(M68K)
COLDCASE_WITHOUT(Mips)
COLDCASE_WITHOUT(PPC)
COLDCASE_WITHOUT(Sparc)
COLDCASE_WITHOUT(SystemZ)
COLDCASE_WITHOUT(TMS320C64x)
COLDCASE_WITHOUT(XCore)
#undef COLDCASE_WITHOUT

namespace coldcase {
namespace {

constexpr std::size_t longest = 15;  // bytes of an x86_64 instruction

struct RegisterRow {
  std::array<x86_reg, 5> names;  // 8, 4, 2, 1 bytes, and the high byte of the low two
  std::uint8_t number;
};

constexpr std::array register_rows{
    RegisterRow{{X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH}, dw_rax},
    RegisterRow{{X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH}, dw_rdx},
    RegisterRow{{X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH}, dw_rcx},
    RegisterRow{{X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH}, dw_rbx},
    RegisterRow{{X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL, X86_REG_INVALID}, dw_rsi},
    RegisterRow{{X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL, X86_REG_INVALID}, dw_rdi},
    RegisterRow{{X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL, X86_REG_INVALID}, dw_rbp},
    RegisterRow{{X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL, X86_REG_INVALID}, dw_rsp},
    RegisterRow{{X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B, X86_REG_INVALID}, dw_r8},
    RegisterRow{{X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B, X86_REG_INVALID}, dw_r9},
    RegisterRow{{X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B, X86_REG_INVALID}, dw_r10},
    RegisterRow{{X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B, X86_REG_INVALID}, dw_r11},
    RegisterRow{{X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B, X86_REG_INVALID}, dw_r12},
    RegisterRow{{X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B, X86_REG_INVALID}, dw_r13},
    RegisterRow{{X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B, X86_REG_INVALID}, dw_r14},
    RegisterRow{{X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B, X86_REG_INVALID}, dw_r15},
};

struct RegisterName {
  std::int32_t number = -1;
  bool high = false;
};

using RegisterTable = std::array<RegisterName, X86_REG_ENDING>;

constexpr RegisterTable register_table() {
  RegisterTable table{};
  for (const RegisterRow& row : register_rows) {
    for (std::size_t i = 0; i < row.names.size(); ++i) {
      if (row.names[i] != X86_REG_INVALID) table[row.names[i]] = {row.number, i == 4};
    }
  }
  return table;
}
constexpr RegisterTable registers = register_table();

RegisterName general(unsigned reg) {
  return reg < registers.size() ? registers[reg] : RegisterName{};
}

struct OpcodeRow {
  unsigned id;
  Opcode opcode;
  Condition condition;
};

constexpr auto always = Condition::unknown;
constexpr std::array opcode_rows{
    OpcodeRow{X86_INS_MOV, Opcode::move, always},
    OpcodeRow{X86_INS_MOVABS, Opcode::move, always},
    OpcodeRow{X86_INS_MOVZX, Opcode::zero_extend, always},
    OpcodeRow{X86_INS_MOVSX, Opcode::sign_extend, always},
    OpcodeRow{X86_INS_MOVSXD, Opcode::sign_extend, always},
    OpcodeRow{X86_INS_LEA, Opcode::address, always},
    OpcodeRow{X86_INS_PUSH, Opcode::push, always},
    OpcodeRow{X86_INS_POP, Opcode::pop, always},
    OpcodeRow{X86_INS_ADD, Opcode::add, always},
    OpcodeRow{X86_INS_SUB, Opcode::subtract, always},
    OpcodeRow{X86_INS_INC, Opcode::increment, always},
    OpcodeRow{X86_INS_DEC, Opcode::decrement, always},
    OpcodeRow{X86_INS_AND, Opcode::bit_and, always},
    OpcodeRow{X86_INS_OR, Opcode::bit_or, always},
    OpcodeRow{X86_INS_XOR, Opcode::bit_xor, always},
    OpcodeRow{X86_INS_CMP, Opcode::compare, always},
    OpcodeRow{X86_INS_TEST, Opcode::test, always},
    OpcodeRow{X86_INS_XCHG, Opcode::exchange, always},
    OpcodeRow{X86_INS_CMPXCHG, Opcode::compare_exchange, always},
    OpcodeRow{X86_INS_NOP, Opcode::idle, always},
    OpcodeRow{X86_INS_PAUSE, Opcode::idle, always},
    OpcodeRow{X86_INS_ENDBR64, Opcode::idle, always},
    OpcodeRow{X86_INS_LFENCE, Opcode::idle, always},
    OpcodeRow{X86_INS_MFENCE, Opcode::idle, always},
    OpcodeRow{X86_INS_SFENCE, Opcode::idle, always},
    OpcodeRow{X86_INS_SYSCALL, Opcode::system_call, always},
    OpcodeRow{X86_INS_SYSENTER, Opcode::system_call, always},
    OpcodeRow{X86_INS_INT, Opcode::system_call, always},
    OpcodeRow{X86_INS_JMP, Opcode::jump, always},
    OpcodeRow{X86_INS_CALL, Opcode::call, always},
    OpcodeRow{X86_INS_RET, Opcode::ret, always},
    OpcodeRow{X86_INS_LEAVE, Opcode::leave, always},
    OpcodeRow{X86_INS_UD2, Opcode::trap, always},
    OpcodeRow{X86_INS_HLT, Opcode::trap, always},
    OpcodeRow{X86_INS_INT3, Opcode::trap, always},
    OpcodeRow{X86_INS_JE, Opcode::jump_if, Condition::equal},
    OpcodeRow{X86_INS_JNE, Opcode::jump_if, Condition::not_equal},
    OpcodeRow{X86_INS_JB, Opcode::jump_if, Condition::below},
    OpcodeRow{X86_INS_JBE, Opcode::jump_if, Condition::below_equal},
    OpcodeRow{X86_INS_JA, Opcode::jump_if, Condition::above},
    OpcodeRow{X86_INS_JAE, Opcode::jump_if, Condition::above_equal},
    OpcodeRow{X86_INS_JL, Opcode::jump_if, Condition::less},
    OpcodeRow{X86_INS_JLE, Opcode::jump_if, Condition::less_equal},
    OpcodeRow{X86_INS_JG, Opcode::jump_if, Condition::greater},
    OpcodeRow{X86_INS_JGE, Opcode::jump_if, Condition::greater_equal},
    OpcodeRow{X86_INS_JS, Opcode::jump_if, Condition::sign},
    OpcodeRow{X86_INS_JNS, Opcode::jump_if, Condition::not_sign},
    OpcodeRow{X86_INS_JO, Opcode::jump_if, always},
    OpcodeRow{X86_INS_JNO, Opcode::jump_if, always},
    OpcodeRow{X86_INS_JP, Opcode::jump_if, always},
    OpcodeRow{X86_INS_JNP, Opcode::jump_if, always},
    OpcodeRow{X86_INS_JRCXZ, Opcode::jump_if, always},
    OpcodeRow{X86_INS_JECXZ, Opcode::jump_if, always},
    OpcodeRow{X86_INS_LOOP, Opcode::jump_if, always},
    OpcodeRow{X86_INS_LOOPE, Opcode::jump_if, always},
    OpcodeRow{X86_INS_LOOPNE, Opcode::jump_if, always},
    OpcodeRow{X86_INS_SETE, Opcode::set_if, Condition::equal},
    OpcodeRow{X86_INS_SETNE, Opcode::set_if, Condition::not_equal},
    OpcodeRow{X86_INS_SETB, Opcode::set_if, Condition::below},
    OpcodeRow{X86_INS_SETBE, Opcode::set_if, Condition::below_equal},
    OpcodeRow{X86_INS_SETA, Opcode::set_if, Condition::above},
    OpcodeRow{X86_INS_SETAE, Opcode::set_if, Condition::above_equal},
    OpcodeRow{X86_INS_SETL, Opcode::set_if, Condition::less},
    OpcodeRow{X86_INS_SETLE, Opcode::set_if, Condition::less_equal},
    OpcodeRow{X86_INS_SETG, Opcode::set_if, Condition::greater},
    OpcodeRow{X86_INS_SETGE, Opcode::set_if, Condition::greater_equal},
    OpcodeRow{X86_INS_SETS, Opcode::set_if, Condition::sign},
    OpcodeRow{X86_INS_SETNS, Opcode::set_if, Condition::not_sign},
    OpcodeRow{X86_INS_CMOVE, Opcode::move_if, Condition::equal},
    OpcodeRow{X86_INS_CMOVNE, Opcode::move_if, Condition::not_equal},
    OpcodeRow{X86_INS_CMOVB, Opcode::move_if, Condition::below},
    OpcodeRow{X86_INS_CMOVBE, Opcode::move_if, Condition::below_equal},
    OpcodeRow{X86_INS_CMOVA, Opcode::move_if, Condition::above},
    OpcodeRow{X86_INS_CMOVAE, Opcode::move_if, Condition::above_equal},
    OpcodeRow{X86_INS_CMOVL, Opcode::move_if, Condition::less},
    OpcodeRow{X86_INS_CMOVLE, Opcode::move_if, Condition::less_equal},
    OpcodeRow{X86_INS_CMOVG, Opcode::move_if, Condition::greater},
    OpcodeRow{X86_INS_CMOVGE, Opcode::move_if, Condition::greater_equal},
    OpcodeRow{X86_INS_CMOVS, Opcode::move_if, Condition::sign},
    OpcodeRow{X86_INS_CMOVNS, Opcode::move_if, Condition::not_sign},
};

void set_memory(const x86_op_mem& memory, const cs_insn& from, Operand& operand) {
  operand.kind = Operand::Kind::memory;
  operand.number = static_cast<std::uint64_t>(memory.disp);
  operand.segment = memory.segment == X86_REG_FS || memory.segment == X86_REG_GS;
  if (memory.base == X86_REG_RIP) {
    operand.number += from.address + from.size;
  } else if (memory.base != X86_REG_INVALID) {
    operand.base = general(memory.base).number;
    operand.segment |= operand.base < 0;
  }
  // riz and eiz, an index that is none, appear in padding alone.
  if (memory.index != X86_REG_INVALID) {
    operand.index = general(memory.index).number;
    operand.segment |= operand.index < 0;
    operand.scale = static_cast<std::uint8_t>(memory.scale);
  }
  const bool general_registers =
      (memory.base == X86_REG_INVALID || memory.base == X86_REG_RIP || operand.base >= 0) &&
      (memory.index == X86_REG_INVALID || operand.index >= 0);
  operand.fs = memory.segment == X86_REG_FS && general_registers;
}

Operand operand_of(const cs_x86_op& from, const cs_insn& instruction) {
  Operand operand;
  operand.size = from.size;
  switch (from.type) {
    case X86_OP_REG: {
      const RegisterName name = general(from.reg);
      operand.kind = name.number < 0 ? Operand::Kind::other : Operand::Kind::register_;
      operand.reg = name.number;
      operand.high = name.high;
      break;
    }
    case X86_OP_IMM:
      operand.kind = Operand::Kind::number;
      operand.number = static_cast<std::uint64_t>(from.imm);
      break;
    case X86_OP_MEM:
      set_memory(from.mem, instruction, operand);
      break;
    default:
      operand.kind = Operand::Kind::other;
  }
  return operand;
}

}  // namespace

struct Disassembler::Engine {
  Engine() {
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK) return;
    cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
    instruction = cs_malloc(handle);
  }
  ~Engine() {
    if (instruction != nullptr) cs_free(instruction, 1);
    if (handle != 0) cs_close(&handle);
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  csh handle = 0;
  cs_insn* instruction = nullptr;
};

Disassembler::Disassembler() : engine_(std::make_unique<Engine>()) {}
Disassembler::~Disassembler() = default;

std::optional<Instruction> Disassembler::decode(Bytes code, std::uint64_t address) const {
  if (engine_->instruction == nullptr || code.empty()) return std::nullopt;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(code.data());
  std::size_t left = std::min(code.size(), longest);
  std::uint64_t at = address;
  if (!cs_disasm_iter(engine_->handle, &bytes, &left, &at, engine_->instruction))
    return std::nullopt;
  const cs_insn& from = *engine_->instruction;
  const cs_x86& x86 = from.detail->x86;
  Instruction instruction;
  instruction.address = address;
  instruction.length = static_cast<std::uint8_t>(from.size);
  for (const OpcodeRow& row : opcode_rows) {
    if (row.id != from.id) continue;
    instruction.opcode = row.opcode;
    instruction.condition = row.condition;
  }
  instruction.locked = x86.prefix[0] == X86_PREFIX_LOCK;
  for (std::size_t i = 0; i < std::min<std::size_t>(x86.op_count, 2); ++i)
    instruction.operands[i] = operand_of(x86.operands[i], from);
  // xchg with memory is atomic without the prefix.
  for (const Operand& operand : instruction.operands) {
    instruction.locked |=
        instruction.opcode == Opcode::exchange && operand.kind == Operand::Kind::memory;
  }
  cs_regs read, written;
  std::uint8_t reads = 0;
  std::uint8_t writes = 0;
  if (cs_regs_access(engine_->handle, &from, read, &reads, written, &writes) == CS_ERR_OK) {
    for (std::size_t i = 0; i < writes; ++i) {
      if (const RegisterName name = general(written[i]); name.number >= 0)
        instruction.written |= 1u << name.number;
    }
  }
  // A far or indirect form whose target the engine gives as a number is none of ours.
  return instruction;
}

}  // namespace coldcase
