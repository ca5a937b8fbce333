// The tables that say which cleanup an exception would run: the LSDA pointer of a frame description
// entry (.eh_frame; LSB 5.0 Core, 10.6.1) and the call-site table it leads to (.gcc_except_table;
// GCC's libgcc/unwind-c.c). Pure functions of bytes: addresses are those of the file.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bytes/view.hpp"

namespace coldcase {

struct FrameEntry {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t lsda = 0;  // 0: the function has no cleanups
};

// `bytes` lie at file address `base`; `entry` is the address of the entry among them. Its parent
// must be among them too.
std::optional<FrameEntry> parse_frame_entry(Bytes bytes, std::uint64_t base, std::uint64_t entry);

// Calls in [begin, end) go to the cleanup at `pad` when an exception leaves them; 0 is none.
struct CallSite {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t pad = 0;
};

// The table at address `lsda` of the function that begins at `function`. A damaged table gives what
// stands before the damage.
std::vector<CallSite> parse_call_sites(Bytes bytes, std::uint64_t base, std::uint64_t lsda,
                                       std::uint64_t function);

}  // namespace coldcase
