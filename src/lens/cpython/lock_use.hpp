// What code does to locks: which locks a with block's manager stands for, and where a function
// takes and releases one by itself. Follows @contextmanager's generators, ExitStack, and classes
// whose own __enter__ takes a lock.
#pragma once

#include <coldcase/words.hpp>
#include <set>

#include "lens/cpython/lock_flow.hpp"
#include "lens/cpython/lookup.hpp"
#include "lens/cpython/suspended.hpp"

namespace coldcase::cpython {

// Something that one party at a time (or so many) may have. Only a recursive one, an RLock, records
// its owner; where that took it is looked for as with the others.
struct LockKey {
  enum class Kind : std::uint8_t { lock, recursive, semaphore, shared } kind = Kind::lock;
  // threading.Lock, RLock: the object; Semaphore: the object; multiprocessing: the sem_t.
  Addr at;
  Addr object;  // multiprocessing: the SemLock
  friend bool operator==(const LockKey& a, const LockKey& b) { return a.at == b.at; }
  friend auto operator<=>(const LockKey& a, const LockKey& b) { return a.at <=> b.at; }
};

// A lock that is held as long as a manager's with block is open.
struct Managed {
  LockKey key;
  Held held = Held::yes;
  bool recorded = true;  // by objects; else concluded from bytecode
  std::string way;       // "a Gate, whose __enter__ takes self._lock"; empty: the lock itself
};

// A call that takes or releases a lock. Without a key: on something unknown.
struct Touch {
  std::uint32_t at = 0;  // instruction
  LockKey key;
  Effect effect{};
  std::string text;  // "self.lock.acquire()"
};

// A with block that is open, and what it holds.
struct OpenWith {
  std::optional<std::size_t> entry;  // the instruction that entered it
  std::vector<Managed> managed;
};

struct FrameUse {
  PythonFrame frame;
  const CodeText* text = nullptr;
  std::vector<Touch> touches;
  std::vector<OpenWith> withs;
  std::vector<Managed> leaving;  // it is the __exit__ that ends such a block
  // It is threading.Condition.wait, which gives this one back whatever stands open outside.
  std::optional<LockKey> waiting;
  bool touches_any() const {
    return !touches.empty() || !withs.empty() || !leaving.empty() || waiting;
  }
};

class LockUse {
 public:
  explicit LockUse(Lookup& lookup) : lookup_(lookup) {}
  Lookup& lookup() { return lookup_; }
  LockFlows& flows() { return flows_; }

  FrameUse read(const PythonFrame& frame);
  // Whether a code object names a method that takes or releases locks.
  bool mentions_locks(const Code& code);
  const std::vector<Managed>& managed_by(Addr manager);
  // What is held inside this generator (or coroutine), which is suspended.
  std::vector<Managed> held_in(Addr generator);
  // Locks whose release an ExitStack keeps for its end.
  std::vector<Managed> held_by_stack(Addr stack);
  std::optional<LockKey> key_of(Addr object);

 private:
  struct Summary {
    LockKey key;
    Effect::Kind kind;
    std::string text;
    bool only_if_it_fails = false;  // try_acquire: every way to the end has asked for it
  };
  std::vector<Touch> find_touches(const Scope& scope);
  void read_role(const Scope& scope, FrameUse& use);
  void add_touch(const Scope& scope, const Call& call, std::vector<Touch>& touches);
  void add_manager_touch(const Scope& scope, const Call& call, Addr manager,
                         std::vector<Touch>& touches);
  void add_helper(const Scope& scope, const Call& call, Addr object, std::vector<Touch>& touches);
  std::optional<Effect::Kind> acquire_kind(const Scope& scope, const Call& call);
  const std::vector<Summary>& summary_of(const Function& function, Addr self);
  std::vector<Managed> find_managed(Addr manager);
  std::vector<Managed> managed_by_class(Addr manager);
  void add_callback(Addr callback, std::vector<Managed>& managed, int depth);
  void add_closure(Addr function, std::vector<Managed>& managed, int depth);
  std::vector<Addr> read_deque(Addr deque);

  Lookup& lookup_;
  LockFlows flows_;
  int depth_ = 0;
  std::map<std::uint64_t, bool> mentions_;
  std::map<std::uint64_t, std::vector<Managed>> managed_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<Summary>> summaries_;
};

}  // namespace coldcase::cpython
