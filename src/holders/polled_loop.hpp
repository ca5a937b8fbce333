// Whether a thread goes round in a loop that only somebody else can end. Its code is worked through
// from where it stands, on its registers and the core's memory, until place, registers and memory
// are the same as before: then nothing of its own will ever change, and what it waits for is one of
// the words that it reads. A counter, a clock, a system call or an instruction whose whole effect
// is not known end the attempt. Nothing is executed: writes go to a notebook.
#pragma once

#include <optional>
#include <vector>

#include "holders/code.hpp"

namespace coldcase {

struct PolledWord {
  Addr address;
  std::uint8_t size = 0;  // bytes
  std::uint64_t value = 0;
  bool exchanged = false;  // by an atomic change that leaves it as it is: an attempt to lock
};

struct PolledLoop {
  std::vector<PolledWord> words;  // what could end it; none where that is not clear
  std::size_t instructions = 0;   // of one round
  std::size_t callers = 0;        // so many frames out from the innermost is the loop's function
  bool unverified = false;        // through a file whose identity is not proved
};

std::optional<PolledLoop> find_polled_loop(Code& code, const View& view,
                                           const Registers& registers);

}  // namespace coldcase
