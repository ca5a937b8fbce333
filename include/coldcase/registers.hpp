// The general registers of one thread of an x86_64 core, in the order of the kernel's struct
// user_regs_struct (Linux arch/x86/include/asm/user_64.h), which is what NT_PRSTATUS holds.
#pragma once

#include <array>
#include <coldcase/address.hpp>
#include <cstdint>

namespace coldcase {

struct Registers {
  enum Index : std::uint8_t {
    r15,
    r14,
    r13,
    r12,
    rbp,
    rbx,
    r11,
    r10,
    r9,
    r8,
    rax,
    rcx,
    rdx,
    rsi,
    rdi,
    orig_rax,
    rip,
    cs,
    eflags,
    rsp,
    ss,
    fs_base,
    gs_base,
    ds,
    es,
    fs,
    gs
  };
  std::array<std::uint64_t, 27> words{};

  std::uint64_t operator[](Index index) const { return words[index]; }
  Addr at(Index index) const { return Addr{words[index]}; }
  // A system call's return value and number are signed in the kernel.
  std::int64_t as_signed(Index index) const { return static_cast<std::int64_t>(words[index]); }
};

}  // namespace coldcase
