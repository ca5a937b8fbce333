// Waits for a thread's end: Thread.join, and threading._shutdown, with which the main thread joins
// all that are no daemons before it may exit.
#include <algorithm>

#include "base/text.hpp"
#include "lens/cpython/object_waits.hpp"

namespace coldcase::cpython {
namespace {

std::optional<std::size_t> find_thread(const LensContext& context, std::uint64_t ident) {
  return ident != 0 ? context.pthreads.find_block(Addr{ident}) : std::nullopt;
}

std::string name_of_thread(const LensContext& context, Addr thread) {
  return clean_text(find_text(context.objects(), thread, "_name"), 128);
}

void claim_end(LensContext& context, const Sleeper& sleeper, std::uint64_t ident, WaitClaim claim) {
  claim.kind = WaitKind::thread_exit;
  if (const auto thread = find_thread(context, ident)) {
    claim.on = {context.view.thread_id(*thread)};
    claim.text += ", which is " + context.lwp(*thread);
  } else {
    claim.text += ", which has no thread in this core";
    claim.most = std::min(claim.most, Confidence::very_likely);
  }
  claim_wait(context, sleeper.thread, claim);
}

std::uint64_t ident_of(const LensContext& context, Addr thread) {
  return static_cast<std::uint64_t>(
      std::max<std::int64_t>(find_number(context.objects(), thread, "_ident").value_or(0), 0));
}

bool is_join(const StdlibCall& call) {
  return call.use == Use::joins && call.sort == Sort::thread;
}

// Thread.join: its frame's self, and up to 3.12 the lock slept on is that object's.
bool wait_in_join(LensContext& context, const Sleeper& sleeper) {
  const auto outermost = std::find_if(sleeper.calls.rbegin(), sleeper.calls.rend(), is_join);
  if (outermost == sleeper.calls.rend() || !is_join(sleeper.calls.front())) return false;
  const Addr object = outermost->object;
  WaitClaim claim{WaitKind::thread_exit, {}, outermost->index, object, {}};
  claim.timeout_ms = asked_timeout(context.objects(), *outermost->frame);
  claim.text = "its frame's self is the Thread object of " + name_of_thread(context, object);
  std::uint64_t ident = ident_of(context, object);
  const auto& awaited = sleeper.awaited;
  if (awaited && awaited->what == Awaited::What::lock) {
    const auto own = context.objects().find_attribute(object, "_tstate_lock");
    if (own != awaited->at) return false;
    claim.text += ", whose _tstate_lock it sleeps on";
  } else if (awaited && awaited->what == Awaited::What::handle) {
    ident = awaited->ident;
    claim.text += ", whose handle it sleeps on";
  } else {
    claim.most = Confidence::very_likely;
  }
  if (wait_for_pool(context, sleeper, object)) return true;
  claim_end(context, sleeper, ident, std::move(claim));
  return true;
}

}  // namespace

ThreadLocks find_thread_locks(const Objects& objects, const Interpreter& interpreter) {
  ThreadLocks locks;
  const auto active = find_global(objects, interpreter.at, "threading", "_active");
  if (!active) return locks;
  objects.each_item(*active, [&](Addr, Addr thread) {
    if (const auto lock = objects.find_attribute(thread, "_tstate_lock"))
      locks.emplace(*lock, thread);
    return true;
  });
  return locks;
}

bool wait_for_end(LensContext& context, const Sleeper& sleeper) {
  if (wait_in_join(context, sleeper)) return true;
  const std::size_t outermost = 0;
  if (sleeper.awaited && sleeper.awaited->what == Awaited::What::lock) {
    const auto found = sleeper.thread_locks.find(sleeper.awaited->at);
    if (found == sleeper.thread_locks.end()) return false;
    const Addr thread = found->second;
    WaitClaim claim{WaitKind::thread_exit, {}, outermost, thread, {}};
    claim.text =
        "it sleeps on the _tstate_lock of the Thread object of " + name_of_thread(context, thread);
    claim_end(context, sleeper, ident_of(context, thread), std::move(claim));
    return true;
  }
  std::uint64_t ident = 0;
  if (sleeper.awaited && sleeper.awaited->what == Awaited::What::handle) {
    ident = sleeper.awaited->ident;
  } else if (!sleeper.awaited) {
    // From 3.13 on _shutdown waits in C, for handles in a list of its own.
    const Addr word =
        awaited_word(context.view, sleeper.thread, *context.native.futexes[sleeper.thread]);
    const auto read = read_handle_ident(context.view.image, word);
    if (!read || !find_thread(context, *read)) return false;
    ident = *read;
  }
  if (ident == 0) return false;
  WaitClaim claim{WaitKind::thread_exit, {}, outermost, Addr{ident}, {}};
  claim.text = "it sleeps on the handle of a thread";
  claim.basis = Basis::register_;
  claim_end(context, sleeper, ident, std::move(claim));
  return true;
}

}  // namespace coldcase::cpython
