// Threads that burn time instead of sleeping, by function or by what stands around pc. What a loop
// without such a sign polls is found later, by working through it (holders/polling.hpp).
#include <algorithm>
#include <cstring>

#include "base/text.hpp"
#include "lens/glibc/parts.hpp"

namespace coldcase::glibc {
namespace {

constexpr std::int64_t call_sched_yield = 24;
constexpr std::uint64_t window = 64;  // bytes around pc in which a polling loop pauses

// `pause` (f3 90): what spinning code gives the processor to rest.
bool pauses_near(const View& view, Addr pc) {
  const Bytes code = view.image.view(Addr{pc.value - window}, 2 * window);
  for (std::size_t at = 0; at + 1 < code.size(); ++at) {
    if (code[at] == std::byte{0xf3} && code[at + 1] == std::byte{0x90}) return true;
  }
  return false;
}

void wait_for_spinlock(const LensContext& context, std::size_t i) {
  const Registers& registers = context.view.core.threads[i].registers;
  const Addr lock = registers.at(Registers::rdi);  // the function keeps it there
  const auto word = context.view.image.read<std::int32_t>(lock);
  if (!word) return;
  Ledger& ledger = context.ledger;
  const ThreadId id = context.view.thread_id(i);
  const ResourceId resource =
      ledger.resource_at(context.view.process, lock, WaitKind::spinlock, "pthread_spinlock_t");
  ResourceFact& fact = ledger.resource(resource);
  if (fact.label.empty()) {
    fact.label = label_of_object(context.view, lock, "spin lock");
    fact.state = *word == 1 ? LockState::free : LockState::locked;  // x86_64: 1 is free
    fact.words = {{"word", Addr{}, static_cast<std::uint32_t>(*word), ""}};
    fact.owner_unknown_code = "owner_not_recorded";
    fact.owner_unknown_text = "a spin lock does not record its owner";
  }
  Wait wait;
  wait.kind = WaitKind::spinlock;
  wait.on = {resource};
  wait.at = resource;
  wait.ends = Ends::never;
  wait.frame = context.merged(i, 0);
  wait.confidence = Confidence::proved;
  Evidence evidence;
  evidence.claim = "it runs in pthread_spin_lock, whose first argument is this lock";
  evidence.basis = Basis::register_;
  evidence.thread = id;
  evidence.frame = wait.frame;
  evidence.resource = resource;
  evidence.address = lock;
  wait.evidence.push_back(ledger.add_evidence(std::move(evidence)));
  ledger.set_wait(id, std::move(wait));
}

}  // namespace

void look_at_running(const LensContext& context, std::size_t i) {
  ThreadFact& thread = context.ledger.thread(context.view.thread_id(i));
  const bool user_code = context.native.calls[i].state == CallState::user_code;
  thread.state = ThreadState::running;
  thread.in_syscall = !user_code;
  const auto& frames = context.view.threads.walks[i].frames;
  if (frames.empty()) return;
  const std::string_view name = without_underscores(context.symbol_of(i, 0));
  const Addr pc = context.view.core.threads[i].registers.at(Registers::rip);
  const bool spin_lock = name.starts_with("pthread_spin_lock");
  const bool yields = context.native.calls[i].number == call_sched_yield;
  if (!spin_lock && !yields && !(user_code && pauses_near(context.view, pc))) return;
  thread.state = ThreadState::spinning;
  if (spin_lock) wait_for_spinlock(context, i);
}

}  // namespace coldcase::glibc
