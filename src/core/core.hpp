// An ELF core file parsed once: segments and notes as values. After this stage nobody parses notes.
// x86_64 cores of the Linux kernel and of gdb's gcore; cut files as far as they go.
//
//   const Input input = open_input("core.885");
//   const Core core = parse_core(input.bytes());   // throws Error only when it is no core we can
//   read
#pragma once

#include <coldcase/address.hpp>
#include <coldcase/registers.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bytes/view.hpp"

namespace coldcase {

// One PT_LOAD. `bytes` is what is present of the `saved` bytes the core declares; the rest of
// `range` is mapped and not saved, or lost with the file's end.
struct Segment {
  Range range;
  Bytes bytes;
  std::uint64_t saved = 0;  // p_filesz
  bool readable = false;
  bool writable = false;
  bool executable = false;
};

// Processor time by the kernel's ticks: 0 does not prove that a thread never ran.
struct CpuTime {
  std::uint64_t user_us = 0;
  std::uint64_t system_us = 0;
  // What the process's sum leaves for its first thread when the others' are taken off: the time of
  // threads that have ended is in it.
  bool remainder = false;
};

// One NT_PRSTATUS (Linux include/linux/elfcore.h, struct elf_prstatus).
struct CoreThread {
  std::int32_t tid = 0;     // as the writer of the core sees it: may be another PID namespace's
  std::int16_t signal = 0;  // pr_cursig: the dump's signal, in every thread of a kernel core
  std::int32_t ppid = 0;    // 0 in gcore's
  std::optional<CpuTime> cpu;
  Registers registers;
};

// NT_SIGINFO (struct siginfo, include/uapi/asm-generic/siginfo.h).
struct SignalInfo {
  std::int32_t number = 0;
  std::int32_t code = 0;
  Addr address;  // of a fault; shares its bytes with sender_pid
  std::int32_t sender_pid = 0;
};

// NT_PRPSINFO (struct elf_prpsinfo).
struct ProcessInfo {
  std::int32_t pid = 0;
  std::int32_t ppid = 0;
  std::uint32_t uid = 0;
  std::string_view name;  // pr_fname, 15 bytes
};

// One row of NT_FILE, the offset in bytes whatever unit the note used.
struct FileMapping {
  Range range;
  std::uint64_t offset = 0;
  std::string_view path;
};

enum class Writer : std::uint8_t { kernel, gcore, other };

// What the parser lost or met, for the report's notes.
struct CoreProblem {
  enum class Kind : std::uint8_t {
    headers_cut,
    notes_cut,
    bad_file_note,
    unknown_note_size,
    no_threads,
    segment_overflow
  };
  Kind kind;
  std::uint64_t detail = 0;
};

struct Core {
  Bytes file;
  std::vector<Segment> segments;    // by address; disjoint is not promised here
  std::vector<CoreThread> threads;  // in the core's order
  std::optional<ProcessInfo> process;
  std::optional<SignalInfo> signal;
  std::vector<FileMapping> files;  // by address
  std::vector<std::pair<std::uint64_t, std::uint64_t>> auxv;
  std::vector<Bytes> identity;  // what identifies the core: ELF header, program headers, notes
                                // (without extended registers)
  Writer writer = Writer::other;
  std::uint64_t declared_bytes = 0;  // where the last segment should end
  std::vector<CoreProblem> problems;

  bool truncated() const { return file.size() < declared_bytes; }
  std::optional<std::uint64_t> auxv_value(std::uint64_t type) const;
};

// `name` is for messages. Throws Error (not_a_core) when the bytes are no 64-bit x86_64 ELF core.
Core parse_core(Bytes file, std::string_view name);

// What the first bytes say, for telling a program from a core among the arguments.
enum class FileKind : std::uint8_t { core, program, other };
FileKind kind_of_file(Bytes file);

}  // namespace coldcase
