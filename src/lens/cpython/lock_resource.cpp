// A threading.Lock or RLock as a resource: its state and, for an RLock, its owner.
#include <algorithm>

#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"
#include "lens/glibc/block_owner.hpp"

namespace coldcase::cpython {

std::string describe(const PythonFrame& frame) {
  return clean_text(frame.code->name) + " (" + clean_text(base_name(frame.code->file)) + ":" +
         std::to_string(frame.line) + ")";
}

ResourceId lock_resource(LensContext& context, const LockObject& lock) {
  const WaitKind kind = lock.recursive ? WaitKind::python_rlock : WaitKind::python_lock;
  const std::string_view type = lock.recursive ? "threading.RLock" : "threading.Lock";
  const ResourceId id = context.ledger.resource_at(context.view.process, lock.at, kind, type);
  ResourceFact& fact = context.ledger.resource(id);
  if (!fact.label.empty()) return id;
  fact.label = std::string(type) + " at " + hex(lock.at.value);
  fact.state = lock.locked ? LockState::locked : LockState::free;
  if (!lock.recursive) {
    fact.owner_unknown_code = "owner_not_recorded";
    if (!lock.locked) {
      fact.owner_unknown_text =
          "its word says free: nobody has it, and who would wake the next waiter is not in sight";
      return id;
    }
    fact.owner_unknown_text =
        "a threading.Lock does not record who took it, and no frame tells: no with block of it is "
        "open, and no call of acquire() stands without its release. A thread that has ended, or "
        "native code, may have taken it";
    return id;
  }
  fact.words = {{"rlock_owner", Addr{}, lock.owner, ""}, {"rlock_count", Addr{}, lock.count, ""}};
  if (const auto owner = context.pthreads.find_block(Addr{lock.owner}))
    fact.words[0].means = context.lwp(*owner);
  set_block_owner(
      context.view, context.pthreads, context.ledger, id,
      {Addr{lock.owner}, offset_by(lock.at, 24), "the RLock's own owner field is the ident",
       "rlockobject.rlock_owner, CPython " + context.runtime().version, std::nullopt,
       static_cast<std::int64_t>(std::min<std::uint64_t>(lock.count, INT32_MAX))});
  return id;
}

}  // namespace coldcase::cpython
