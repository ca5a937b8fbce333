// multiprocessing's locks, semaphores, conditions, events, barriers and queues, told by what they
// are built of: one _multiprocessing.SemLock each, or several that are attributes of attributes.
// Lib/multiprocessing/{synchronize,queues}.py and Modules/_multiprocessing/semaphore.c, 3.6 to
// 3.15.
#pragma once

#include "lens/cpython/awaited.hpp"

namespace coldcase::cpython {

// The semaphore that a thread sleeps on as part of something larger: "_cond._wait_semaphore".
struct SemLockPart {
  SemLock lock;
  std::string path;  // from the object on; empty: the semaphore is the object's own
};

// Searched for at most three attributes deep and in a bounded number of steps. `word` is the
// address of its sem_t.
std::optional<SemLockPart> find_semlock_part(const Objects& objects, Addr object, Addr word);

// What a wait for this part is for.
enum class PartUse : std::uint8_t {
  whole,    // the lock or semaphore itself
  signal,   // a notify or set
  lock,     // of a condition or event
  reading,  // the lock under which a queue's pipe is read
  writing,
  room,    // a place in a bounded queue
  waking,  // until those that were notified have woken
  other,
};
PartUse use_of_part(std::string_view path);

// "multiprocessing.RLock", as the C object alone tells it.
std::string_view type_of_semlock(const SemLock& lock);

// Its state, of the larger object where there is one: "not set", "full: 2 of 2 items".
std::string semlock_details(const Objects& objects, std::optional<Addr> object,
                            const SemLockPart& part);

}  // namespace coldcase::cpython
