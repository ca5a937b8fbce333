// The global import lock, which imp.acquire_lock, os.fork and, for moments, every import take
// (Python/import.c). It records its owner.
#include <array>

#include "lens/cpython/object_waits.hpp"
#include "lens/glibc/block_owner.hpp"

namespace coldcase::cpython {
namespace {

struct ImportLock {
  Addr at, owner_field;
};

// To 3.11 three statics of import.c, known by their symbols alone: import_lock (a pointer to a
// sem_t), import_lock_thread, import_lock_level. A stripped interpreter does not tell.
std::optional<ImportLock> find_static(const LensContext& context, Addr word) {
  const Module* module = context.runtime().module;
  const auto lock = module != nullptr ? module->find_symbol("import_lock") : std::nullopt;
  const auto thread = lock ? module->find_symbol("import_lock_thread") : std::nullopt;
  if (!thread || context.view.image.read_pointer(*lock).value_or(Addr{}) != word)
    return std::nullopt;
  return ImportLock{*lock, *thread};
}

// PyInterpreterState.imports.lock: in 3.12 {PyThread_type_lock; thread; level}, from 3.13 on a
// _PyRecursiveMutex {mutex byte; thread; level}. It stands 48 bytes after imports.modules, 96 in
// 3.15 (reference T2). The address slept on proves it.
std::optional<ImportLock> find_in_interpreter(const LensContext& context, Addr word) {
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    for (const std::int64_t distance : {48, 96}) {
      const Addr at =
          offset_by(interpreter.at, context.objects().layout().interp_modules + distance);
      const bool inside = at == word;
      if (inside || context.view.image.read_pointer(at).value_or(Addr{}) == word)
        return ImportLock{at, offset_by(at, 8)};
    }
  }
  return std::nullopt;
}

ResourceId describe(const LensContext& context, const ImportLock& lock) {
  const ResourceId id = context.ledger.resource_at(context.view.process, lock.at,
                                                   WaitKind::import_lock, "the import lock");
  ResourceFact& fact = context.ledger.resource(id);
  if (!fact.label.empty()) return id;
  fact.label = "the global import lock";
  fact.state = LockState::locked;
  fact.owner_unknown_code = "owner_not_recorded";
  fact.owner_unknown_text = "its owner was not read";
  const auto owner = context.view.image.read_pointer(lock.owner_field);
  if (!owner) return id;
  const auto holder = context.pthreads.find_block(*owner);
  fact.words = {{"thread", Addr{}, owner->value, holder ? context.lwp(*holder) : ""}};
  set_block_owner(context.view, context.pthreads, context.ledger, id,
                  {*owner, lock.owner_field, "the import lock's own owner field is the ident",
                   "import_lock_thread, CPython " + context.runtime().version});
  return id;
}

}  // namespace

bool wait_for_import_lock(LensContext& context, std::size_t thread, Addr word) {
  auto lock = find_in_interpreter(context, word);
  if (!lock) lock = find_static(context, word);
  if (!lock) return false;
  WaitClaim claim{WaitKind::import_lock, {describe(context, *lock)}, 0, lock->at, {}};
  claim.text = "its futex word is that of the interpreter's global import lock";
  claim.basis = Basis::register_;
  claim_wait(context, thread, claim);
  return true;
}

}  // namespace coldcase::cpython
