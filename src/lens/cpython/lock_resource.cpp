// A threading.Lock or RLock as a resource: its state and, for an RLock, its owner.
#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"

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
    fact.owner_unknown_text =
        "a threading.Lock does not record who took it, and no thread is inside a with block of it";
    return id;
  }
  fact.words = {{"rlock_owner", Addr{}, lock.owner, ""}, {"rlock_count", Addr{}, lock.count, ""}};
  if (lock.owner == 0) return id;
  const auto owner = context.pthreads.find_block(Addr{lock.owner});
  if (!owner) {
    fact.owner_unknown_code = "owner_not_in_core";
    fact.owner_unknown_text = "its owner field names a thread that is not in this core";
    return id;
  }
  fact.words[0].means = context.lwp(*owner);
  Evidence evidence;
  evidence.claim = "the RLock's own owner field is the ident of " + context.lwp(*owner);
  evidence.basis = Basis::owner_word;
  evidence.thread = context.view.thread_id(*owner);
  evidence.resource = id;
  evidence.address = offset_by(lock.at, 24);
  evidence.words = {{"", offset_by(lock.at, 24), lock.owner, ""}};
  evidence.source = "rlockobject.rlock_owner, CPython " + context.runtime().version;
  const EvidenceId known = context.ledger.add_evidence(std::move(evidence));
  Hold hold;
  hold.resource = id;
  hold.count = static_cast<std::int64_t>(std::min<std::uint64_t>(lock.count, INT32_MAX));
  hold.confidence = Confidence::proved;
  hold.basis = Basis::owner_word;
  hold.evidence = {known};
  context.ledger.add_hold(context.view.thread_id(*owner), hold);
  return id;
}

}  // namespace coldcase::cpython
