// Who may hold a lock that records no owner: what was seen of each thread, weighed against what was
// seen of the others. Values only: the rules of cpython.md 6 in one place.
#pragma once

#include "lens/cpython/lock_chain.hpp"

namespace coldcase::cpython {

// What speaks for one thread.
struct Claim {
  std::size_t thread = 0;  // of the core
  std::size_t chain = 0;   // of its frames: a thread may have several thread states
  Holding holding;
  enum class By : std::uint8_t {
    chain,      // its own frames
    iteration,  // it iterates over a suspended generator that holds it
    arrival,    // it stands in a call that takes it, and does not sleep on it any more
    reference,  // a frame refers to a suspended generator, or to an ExitStack, that holds it
  } by = By::chain;
  bool waits = false;                              // the thread itself waits for the lock
  Confidence confidence = Confidence::hypothesis;  // weigh() fills these
  bool dropped = false;

  Basis basis() const;
};

// What else was seen of one lock.
struct Doubts {
  bool alone = false;                  // the process has no other thread
  std::vector<std::size_t> unpaired;   // threads that released it without having taken it
  std::vector<std::size_t> releasing;  // threads whose code releases it and does not take it
};

// Of a plain lock: one holder.
void weigh_claims(std::vector<Claim>& claims, const Doubts& doubts);

// Of a semaphore that nobody can take any more: they hold all of its permits, if that many are
// told. `permits`: how many it began with; 0 unknown.
void weigh_permits(std::vector<Claim>& claims, std::size_t permits);

}  // namespace coldcase::cpython
