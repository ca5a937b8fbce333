// Imports that wait for another thread's: the lock of one module (Lib/importlib/_bootstrap.py,
// _ModuleLock, 3.3 and later), which records its owner.
#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"
#include "lens/glibc/block_owner.hpp"

namespace coldcase::cpython {
namespace {

struct ModuleLock {
  Addr at;
  std::string module;
  std::uint64_t owner = 0;  // thread ident; 0 none
  bool locked = false;      // its `wakeup`, which waiters sleep on
};

// The innermost frame is _ModuleLock.acquire, asleep on the lock's own `wakeup`.
std::optional<ModuleLock> find_module_lock(const LensContext& context, const PythonFrame& frame,
                                           Addr word) {
  if (!frame.code->name.ends_with("acquire") ||
      frame.code->file.find("importlib._bootstrap") == std::string::npos)
    return std::nullopt;
  const Objects& objects = context.objects();
  const auto self = find_self(objects, frame);
  if (!self || objects.type_name(*self) != "_ModuleLock") return std::nullopt;
  const auto wakeup = objects.find_attribute(*self, "wakeup");
  const auto lock = wakeup ? read_lock(objects, *wakeup) : std::nullopt;
  if (!lock || lock->word != word) return std::nullopt;
  ModuleLock found{*self, "?", 0, lock->locked};
  if (const auto name = objects.find_attribute(*self, "name"))
    found.module = clean_text(objects.read_str(*name).value_or("?"), 128);
  if (const auto owner = objects.find_attribute(*self, "owner"))
    found.owner = static_cast<std::uint64_t>(objects.read_int(*owner).value_or(0));
  return found;
}

ResourceId describe(const LensContext& context, const ModuleLock& lock) {
  const ResourceId id = context.ledger.resource_at(context.view.process, lock.at,
                                                   WaitKind::import_lock, "importlib._ModuleLock");
  ResourceFact& fact = context.ledger.resource(id);
  if (!fact.label.empty()) return id;
  fact.label = "the import lock of module " + lock.module;
  fact.state = LockState::locked;
  fact.owner_unknown_code = "owner_not_recorded";
  fact.owner_unknown_text = "its owner is None: it is being handed over";
  const auto holder = context.pthreads.find_block(Addr{lock.owner});
  fact.words = {{"owner", Addr{}, lock.owner, holder ? context.lwp(*holder) : ""}};
  set_block_owner(context.view, context.pthreads, context.ledger, id,
                  {Addr{lock.owner}, Addr{}, "the module lock's own owner is the ident",
                   "importlib._bootstrap._ModuleLock.owner, CPython " + context.runtime().version});
  return id;
}

}  // namespace

bool wait_for_module_lock(LensContext& context, std::size_t thread, const PyThread& state,
                          Addr word) {
  const auto lock = find_module_lock(context, state.runs.front().front(), word);
  if (!lock) return false;
  const ThreadId id = context.view.thread_id(thread);
  const ResourceId resource = describe(context, *lock);
  Wait wait = *context.ledger.thread(id).wait;
  wait.kind = WaitKind::import_lock;
  wait.on = {resource};
  wait.frame = context.python_frame(thread, 0);
  Evidence evidence;
  evidence.claim = "its frame's self is this module lock, whose `wakeup` is its futex word";
  evidence.basis = Basis::register_;
  evidence.thread = id;
  evidence.frame = wait.frame;
  evidence.resource = resource;
  evidence.address = lock->at;
  wait.evidence.push_back(context.ledger.add_evidence(std::move(evidence)));
  if (wait.at.known()) context.ledger.resource(wait.at).part_of = resource;
  context.ledger.thread(id).state = coldcase::ThreadState::blocked;
  context.ledger.set_wait(id, std::move(wait));
  return true;
}

}  // namespace coldcase::cpython
