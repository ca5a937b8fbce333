// What a thread asleep in Python's own waiting code waits for: a lock, or what the standard library
// builds on locks.
#include <algorithm>

#include "base/text.hpp"
#include "lens/cpython/object_waits.hpp"

namespace coldcase::cpython {
namespace {

// Condition.wait takes the condition's lock again before it returns.
bool takes_again(const LensContext& context, const Sleeper& sleeper) {
  return std::ranges::any_of(sleeper.calls, [&](const StdlibCall& call) {
    if (call.sort != Sort::condition) return false;
    return context.objects().find_attribute(call.object, "_lock") == sleeper.awaited->at;
  });
}

void wait_for_lock(LensContext& context, const Sleeper& sleeper) {
  const LockObject& lock = sleeper.awaited->lock;
  const ResourceId resource = lock_resource(context, lock);
  WaitClaim claim{context.ledger.resource(resource).kind, {resource}, 0, lock.at, {}};
  claim.text = "its futex word is that of this lock object, which " +
               describe(sleeper.state.runs.front().front()) + " takes";
  if (takes_again(context, sleeper))
    claim.text += " again, after its wait for the condition has ended";
  claim.basis = Basis::register_;
  claim_wait(context, sleeper.thread, claim);
}

void add_lock_wait(LensContext& context, std::size_t thread, const PyThread& state,
                   const std::vector<EndedThread>& ended, const ThreadLocks& thread_locks) {
  const auto& wait = context.ledger.thread(context.view.thread_id(thread)).wait;
  const auto& futex = context.native.futexes[thread];
  if (!futex || !wait || wait->kind == WaitKind::gil) return;
  const Addr word = awaited_word(context.view, thread, *futex);
  if (wait_for_buffered(context, thread, word)) return;
  if (state.runs.empty() || state.runs.front().empty()) return;
  if (wait_for_module_lock(context, thread, state, word)) return;
  if (wait_for_import_lock(context, thread, word)) return;
  const Sleeper sleeper{state,
                        thread,
                        find_calls(context.objects(), state),
                        find_awaited(context.objects(), state, word),
                        ended,
                        thread_locks};
  if (wait_for_signal(context, sleeper) || wait_for_end(context, sleeper)) return;
  if (sleeper.awaited && sleeper.awaited->what == Awaited::What::lock)
    wait_for_lock(context, sleeper);
}

}  // namespace

void add_lock_waits(LensContext& context) {
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    const std::vector<EndedThread> ended = find_ended_threads(context.objects(), interpreter);
    const ThreadLocks thread_locks = find_thread_locks(context.objects(), interpreter);
    for (const PyThread& state : interpreter.threads) {
      if (!state.core_thread || state.outer) continue;  // an outer one waits for nothing itself
      add_lock_wait(context, *state.core_thread, state, ended, thread_locks);
    }
  }
}

}  // namespace coldcase::cpython
