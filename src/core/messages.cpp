#include "core/messages.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "base/text.hpp"

namespace coldcase::messages {
namespace {

struct Machine {
  std::uint16_t number;
  std::string_view name;
};
constexpr Machine machines[] = {
    {3, "i386"},     {8, "MIPS"},        {20, "PowerPC"},  {21, "PowerPC64"},
    {22, "s390x"},   {40, "32-bit Arm"}, {183, "aarch64"}, {190, "NVIDIA CUDA (a GPU core)"},
    {243, "RISC-V"}, {258, "LoongArch"}};

// What people hand in for a core, by its first bytes, and what reads it.
struct Foreign {
  std::string_view magic, text;
};
constexpr std::array foreigners{
    Foreign{"MDMP",
            " is a minidump (Breakpad, Crashpad or Windows), not an ELF core; "
            "minidump-stackwalk reads it. On Linux take a core: gcore PID, or  ulimit -c"},
    Foreign{"PAGEDU", " is a crash dump of the Windows kernel; WinDbg reads it"},
    Foreign{"\xcf\xfa\xed\xfe", " is a Mach-O file (macOS), not an ELF core; lldb reads it"},
    Foreign{"\xce\xfa\xed\xfe", " is a 32-bit Mach-O file (macOS), not an ELF core; lldb reads it"},
    Foreign{"\xca\xfe\xba\xbe",
            " is a Mach-O file for several machines or a Java class, not a core"},
    Foreign{"MZ", " is a Windows program, not a core dump"},
    Foreign{"PERFILE2", " is a recording of perf's, not a core dump; perf report reads it"},
    Foreign{"JAVA PROFILE",
            " is a heap dump of a Java machine (hprof): it holds objects, no native "
            "stacks. Take a core of the process: gcore PID"},
    Foreign{"heap profile:", " is a heap profile (gperftools), not a core dump; pprof reads it"},
    Foreign{
        "gVisorSF",
        " is a checkpoint of gVisor (runsc), not a core dump. Its processes leave no core: take "
        "one inside the sandbox with gcore PID, or run the program once under runc"},
    Foreign{"!<arch>\n", " is a library of object files, or a .deb: unpack it first"},
    Foreign{"7z\xbc\xaf\x27\x1c", " is a 7z archive: unpack it first (7z x FILE)"},
    Foreign{"Rar!", " is a RAR archive: unpack it first (unrar x FILE)"},
    Foreign{"KDUMP",
            " is a crash dump of a Linux kernel, not of a process; crash and drgn read it"}};

bool begins_with(Bytes head, std::string_view magic) {
  return head.size() >= magic.size() &&
         std::ranges::equal(std::as_bytes(std::span(magic.data(), magic.size())),
                            head.first(magic.size()));
}

bool is_text(std::byte b) {
  const auto c = static_cast<unsigned char>(b);
  return c >= 0x20 || c == '\n' || c == '\r' || c == '\t';
}

std::string machine_name(std::uint16_t number) {
  for (const Machine& machine : machines) {
    if (machine.number == number) return std::string(machine.name);
  }
  return "machine number " + std::to_string(number);
}

Error not_core(std::string_view name, const std::string& text) {
  return {Trouble::not_a_core, clean_text(name) + text};
}

}  // namespace

Error not_elf(std::string_view name, Bytes head) {
  for (const Foreign& foreign : foreigners) {
    if (begins_with(head, foreign.magic)) return not_core(name, std::string(foreign.text));
  }
  const bool text = !head.empty() && std::ranges::all_of(head, is_text);
  return not_core(name,
                  text ? " is a text file, not a core dump. Name the core that gcore or the kernel "
                         "wrote (see  ulimit -c  and  cat /proc/sys/kernel/core_pattern)"
                       : " is not a core dump: no ELF header, and no packing or archive that is "
                         "read (zst, xz, gz, bz2, lz4, tar, zip). Name the core that gcore or the "
                         "kernel wrote");
}

Error not_64_bit(std::string_view name) {
  return not_core(
      name, " is of a 32-bit process; coldcase reads 64-bit x86_64 cores. gdb reads this one");
}

Error not_little_endian(std::string_view name) {
  return not_core(name, " is of a big-endian machine; coldcase reads x86_64 cores");
}

Error not_a_core(std::string_view name, std::uint16_t type) {
  const bool program = type == 2 || type == 3;
  return not_core(name, program
                            ? " is a program or library, not a core dump. Name the core:  coldcase "
                              "analyze PROGRAM CORE"
                            : " is an ELF file, but no core dump");
}

Error foreign_machine(std::string_view name, std::uint16_t machine) {
  return not_core(name, " is of another machine (" + machine_name(machine) +
                            "); this version of coldcase reads x86_64 cores");
}

Error nothing_left(std::string_view name, std::uint64_t size) {
  return not_core(name,
                  " was cut after " + std::to_string(size) +
                      " bytes: no thread and no memory is left in it. Take a new one with room for "
                      "the whole core (ulimit -c unlimited, free disk)");
}

}  // namespace coldcase::messages
