#include "core/messages.hpp"

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

Error not_elf(std::string_view name, bool text) {
  return not_core(name,
                  text ? " is a text file, not a core dump. Name the core that gcore or the kernel "
                         "wrote (see  ulimit -c  and  cat /proc/sys/kernel/core_pattern)"
                       : " is not a core dump (no ELF header). If it is compressed: .zst is read "
                         "as it is, unpack others first");
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
