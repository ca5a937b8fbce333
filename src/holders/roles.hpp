// What a called function means to a lock: by its name, in one table.
#pragma once

#include <cstdint>
#include <string_view>

#include "lens/ledger.hpp"

namespace coldcase {

enum class LockClass : std::uint8_t {
  none,
  mutex,
  rwlock,
  semaphore,
  spinlock,
  guard,
  once,
  word,  // a lock that is a plain word
  flag,  // a word that threads poll: whoever changes it ends the wait, nobody holds it
  any
};

struct Role {
  enum class Act : std::uint8_t {
    none,
    acquire,
    release,
    resumes,  // _Unwind_Resume: a cleanup ends
    ends      // does not come back, or begins a handler: what comes after is no cleanup
  };
  Act act = Act::none;
  LockClass lock = LockClass::none;
  bool read = false;  // acquire: the read side
};

Role role_of(std::string_view symbol);

// What releases a resource of this kind; none for one that has no owner.
LockClass class_of(const ResourceFact& resource);

// A release of this class, with the resource's address, releases a resource of that class.
constexpr bool fits(LockClass release, LockClass resource) {
  return resource != LockClass::none && (release == resource || release == LockClass::any);
}

}  // namespace coldcase
