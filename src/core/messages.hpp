// What the user is told when a file is no core we can read.
#pragma once

#include <coldcase/result.hpp>
#include <cstdint>
#include <string_view>

#include "bytes/view.hpp"

namespace coldcase::messages {

// `head`: its first bytes, which may tell what it is instead.
Error not_elf(std::string_view name, Bytes head);
Error not_64_bit(std::string_view name);
Error not_little_endian(std::string_view name);
Error not_a_core(std::string_view name, std::uint16_t type);
Error foreign_machine(std::string_view name, std::uint16_t machine);
Error nothing_left(std::string_view name, std::uint64_t size);

}  // namespace coldcase::messages
