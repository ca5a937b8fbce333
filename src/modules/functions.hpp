// Where functions begin, by the unwind tables: they cover static and stripped functions too.
#pragma once

#include <optional>

#include "modules/modules.hpp"

namespace coldcase {

// Start and end of the frame description entry that covers an address of the file, by the binary
// search table of .eh_frame_hdr (LSB 5.0, 10.6.2; encoding 0x3b), else by going through .eh_frame.
struct FunctionRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};
std::optional<FunctionRange> find_function(const ElfFile& file, std::uint64_t value);

// The file address of that entry in .eh_frame.
std::optional<std::uint64_t> find_frame_entry(const ElfFile& file, std::uint64_t value);

}  // namespace coldcase
