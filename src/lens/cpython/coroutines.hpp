// Suspended coroutines: their frames, and what each awaits, down to a future or another task.
#pragma once

#include <vector>

#include "lens/cpython/containers.hpp"

namespace coldcase::cpython {

// From a coroutine inwards.
struct AwaitChain {
  std::vector<PythonFrame> frames;  // innermost first
  Addr awaited;                     // what the innermost waits for, no frame; null when nothing is
  bool running = false;             // executing: its frames lie on a thread's stack
  bool started = true;
  bool whole = true;  // read to its end
};

class Coroutines {
 public:
  Coroutines(Python& python, const AsyncLayout& layout) : python_(python), layout_(layout) {}

  AwaitChain read_chain(Addr coroutine) const;
  // The frame of a coroutine or generator, running or not; null when it has ended.
  Addr frame_of(Addr coroutine) const;

 private:
  enum class State : std::uint8_t { created, suspended, running, ended };
  State state_of(Addr coroutine, Addr frame) const;
  Addr awaited_by(const PythonFrame& frame) const;
  Addr unwrap(Addr awaited) const;
  void qualify(Addr coroutine, const PythonFrame& frame) const;

  Python& python_;
  const AsyncLayout& layout_;
};

}  // namespace coldcase::cpython
