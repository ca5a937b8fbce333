// How frames that call each other hold locks: each one's bytecode is followed to where it stands,
// from the outermost inwards, with the with blocks that are open on it.
#pragma once

#include "lens/cpython/lock_use.hpp"

namespace coldcase::cpython {

// How a chain of frames, each called by the next one, holds one lock.
struct Holding {
  LockKey key;
  std::size_t frame = 0;  // that took it
  Held held = Held::no;
  bool released = false;  // a release was passed since
  enum class How : std::uint8_t { with_block, call, leaving } how = How::call;
  bool recorded = false;  // by objects and an active handler; else concluded from bytecode
  std::string way;        // with_block: Managed::way; call: "self.lock.acquire()"
  std::optional<std::uint32_t> line;
  bool guarded = false;  // in a try whose handler releases it
  bool again = false;    // the same frame is in a call that takes it once more
};

struct ChainUse {
  std::vector<Holding> holdings;
  std::vector<LockKey> unpaired;   // released and not taken before
  std::vector<LockKey> releasing;  // a release is in the code, and nothing that takes it
};

// `chain` innermost first.
ChainUse follow_chain(const Layout& layout, const std::vector<FrameUse>& chain);

}  // namespace coldcase::cpython
