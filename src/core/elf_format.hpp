// The few ELF structures a core consists of, as the file has them (System V ABI, "ELF-64 Object
// File Format"; Linux include/uapi/linux/elf.h). Our own, so that this stage needs no library.
#pragma once

#include <array>
#include <cstdint>

namespace coldcase::elf {

struct Header {
  std::array<std::uint8_t, 16> ident;
  std::uint16_t type;
  std::uint16_t machine;
  std::uint32_t version;
  std::uint64_t entry;
  std::uint64_t phoff;
  std::uint64_t shoff;
  std::uint32_t flags;
  std::uint16_t ehsize;
  std::uint16_t phentsize;
  std::uint16_t phnum;
  std::uint16_t shentsize;
  std::uint16_t shnum;
  std::uint16_t shstrndx;
};
static_assert(sizeof(Header) == 64);

struct ProgramHeader {
  std::uint32_t type;
  std::uint32_t flags;
  std::uint64_t offset;
  std::uint64_t vaddr;
  std::uint64_t paddr;
  std::uint64_t filesz;
  std::uint64_t memsz;
  std::uint64_t align;
};
static_assert(sizeof(ProgramHeader) == 56);

struct SectionHeader {
  std::uint32_t name;
  std::uint32_t type;
  std::uint64_t flags;
  std::uint64_t addr;
  std::uint64_t offset;
  std::uint64_t size;
  std::uint32_t link;
  std::uint32_t info;
  std::uint64_t addralign;
  std::uint64_t entsize;
};
static_assert(sizeof(SectionHeader) == 64);

struct NoteHeader {
  std::uint32_t namesz;
  std::uint32_t descsz;
  std::uint32_t type;
};
static_assert(sizeof(NoteHeader) == 12);

struct Symbol {
  std::uint32_t name;
  std::uint8_t info;
  std::uint8_t other;
  std::uint16_t shndx;
  std::uint64_t value;
  std::uint64_t size;
};
static_assert(sizeof(Symbol) == 24);

struct Dynamic {
  std::int64_t tag;
  std::uint64_t value;
};
static_assert(sizeof(Dynamic) == 16);

inline constexpr std::uint16_t type_executable = 2, type_shared = 3, type_core = 4;
inline constexpr std::uint16_t machine_x86_64 = 62;
inline constexpr std::uint32_t pt_load = 1, pt_dynamic = 2, pt_note = 4, pt_phdr = 6;
inline constexpr std::uint32_t pt_gnu_eh_frame = 0x6474e550;
inline constexpr std::uint16_t phnum_in_section_zero = 0xffff;  // PN_XNUM
inline constexpr std::uint32_t flag_x = 1, flag_w = 2, flag_r = 4;

// Note types and the name each stands under. Numbers repeat between names.
inline constexpr std::uint32_t nt_prstatus = 1, nt_prpsinfo = 3, nt_auxv = 6;  // "CORE"
inline constexpr std::uint32_t nt_file = 0x46494c45, nt_siginfo = 0x53494749;  // "CORE"
inline constexpr std::uint32_t nt_x86_xstate = 0x202;                          // "LINUX"
inline constexpr std::uint32_t nt_gdb_tdesc = 0xff000000;                      // "GDB"
inline constexpr std::uint32_t nt_gnu_build_id = 3;                            // "GNU"

// Entries of the auxiliary vector (Linux include/uapi/linux/auxvec.h).
inline constexpr std::uint64_t at_phdr = 3, at_phnum = 5, at_base = 7, at_entry = 9, at_random = 25,
                               at_execfn = 31, at_sysinfo_ehdr = 33;

}  // namespace coldcase::elf
