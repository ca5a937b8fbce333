// Locks whose owner word is a thread's block (pthread_self): stdio's, and most of CPython's.
#pragma once

#include <optional>
#include <string>

#include "lens/glibc/pthread.hpp"
#include "lens/ledger.hpp"

namespace coldcase {

struct BlockOwner {
  Addr block;          // what the word holds; 0: nobody
  Addr field;          // where it stands
  std::string claim;   // "the RLock's own owner field is the ident"
  std::string source;  // struct, field and version
  std::optional<Mode> mode{};
  std::optional<std::int64_t> count{};
};

// The thread of the core that has this block holds the resource; or why none of them does.
void set_block_owner(const View& view, const Pthreads& pthreads, Ledger& ledger, ResourceId id,
                     const BlockOwner& owner);

}  // namespace coldcase
