// Who waits for the GIL: threads asleep inside its structure, and those caught awake between two of
// the five-millisecond sleeps (cpython.md 2.3).
#pragma once

#include "lens/cpython/runtime.hpp"
#include "lens/glibc/waits.hpp"

namespace coldcase::cpython {

struct GilWait {
  std::size_t core_thread = 0;
  std::size_t interpreter = 0;        // index into the runtime's
  std::optional<std::size_t> frame;   // of the walk: where it asked for the GIL
  std::optional<std::size_t> ensure;  // of the walk: PyGILState_Ensure, a callback from native code
  bool awake = false;                 // not asleep in its futex
  bool slept = false;                 // awake, and known by that futex; else by its frames
};

std::vector<GilWait> find_gil_waits(const View& view, const Runtime& runtime,
                                    const NativeWaits& native);

// The callable that native code called back into through ctypes, when a thread waits in
// PyGILState_Ensure under a ctypes closure (reference table T14).
struct PendingCallback {
  std::string name;  // qualified
  std::string file;
  std::uint32_t line = 0;
  Addr thunk;
  Addr callable;
};
std::optional<PendingCallback> find_callback(const View& view, Python& python, const GilWait& wait);

}  // namespace coldcase::cpython
