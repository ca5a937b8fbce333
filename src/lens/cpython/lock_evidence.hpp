// Everything in one process that speaks for a holder of its ownerless Python locks: the frames of
// every thread, and the suspended generators and ExitStacks that those refer to.
#pragma once

#include "lens/cpython/lens_parts.hpp"
#include "lens/cpython/lock_claims.hpp"

namespace coldcase::cpython {

// A suspended generator, or an ExitStack, that holds a lock and that no thread's frames refer to.
struct Stray {
  LockKey key;
  std::string way;
};

class LockEvidence {
 public:
  // `waited`: locks that threads of this process wait for, with the threads.
  LockEvidence(LensContext& context, std::map<LockKey, std::vector<std::size_t>> waited);

  // Locks that somebody waits for, or for which a with block stands open.
  const std::set<LockKey>& keys() const { return keys_; }
  bool waited(const LockKey& key) const { return waited_.contains(key); }
  // Weighed, the surest first, one for each thread.
  std::vector<Claim> claims_on(const LockKey& key);
  // Of a lock without claims: between its wake-up and the next step of its frame, which may take
  // the GIL first, a thread has the lock and nothing in its frame tells.
  std::vector<Claim> arrivals_on(const LockKey& key);
  std::vector<Stray> strays_of(const LockKey& key);
  const PythonFrame& frame_of(const Claim& claim) const;
  // Its index in the thread's merged stack.
  std::optional<std::uint32_t> merged_frame_of(const Claim& claim) const;

 private:
  struct Chain {
    std::size_t thread;
    std::size_t first;                // of its frames, counted over those of the thread
    std::vector<PythonFrame> frames;  // innermost first
    std::vector<bool> marked;         // has open with blocks
    ChainUse use;
  };
  struct Seen {  // of one lock
    std::vector<Claim> claims;
    Doubts doubts;
  };
  struct Reference {
    std::size_t chain, frame;
    Claim::By by;
  };
  void read_chains();
  void find_marked();
  void follow_chains();
  void index_chain(std::size_t chain);
  bool is_relevant(const PythonFrame& frame);
  bool self_has_key(const PythonFrame& frame);
  std::optional<Addr> self_of(const PythonFrame& frame);
  void find_references();
  void add_references(std::size_t chain, std::size_t frame);
  void add_iterations(std::size_t chain, std::size_t frame);
  void add_reference(Addr object, const Reference& reference);
  void add_referenced(const LockKey& key, std::vector<Claim>& claims);
  const std::vector<Managed>& held_by(Addr object);
  void look_through_globals();
  void add_stray(Addr object, const std::string& where);
  std::size_t permits_of(const LockKey& semaphore) const;

  LensContext& context_;
  Lookup lookup_;
  LockUse use_;
  std::map<LockKey, std::vector<std::size_t>> waited_;
  std::set<LockKey> keys_;
  std::set<Addr> key_addresses_;
  std::vector<Chain> chains_;
  std::map<LockKey, Seen> seen_;
  bool referenced_ = false;
  std::map<Addr, std::vector<Reference>> references_;  // by generator or ExitStack
  std::map<Addr, std::vector<Managed>> held_;
  std::map<Addr, bool> selves_;   // has one of the locks
  std::set<Addr> searched_;       // for references
  std::map<Addr, bool> methods_;  // by code: the first local is `self`
  std::optional<std::vector<std::pair<Addr, std::string>>> strays_;  // and where they were found
};

}  // namespace coldcase::cpython
