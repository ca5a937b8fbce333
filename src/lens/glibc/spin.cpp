#include "lens/glibc/spin.hpp"

#include "base/text.hpp"
#include "lens/glibc/waits.hpp"

namespace coldcase {
namespace {

// sysdeps/x86_64/nptl/pthread_spin_lock.S: rdi keeps the lock's address; 1 is free, every failed
// try lowers it (native-waits.md 3.7).
void look_at_thread(const View& view, const std::vector<StackMap>& stacks, Ledger& ledger,
                    std::size_t i) {
  const Addr lock = view.core.threads[i].registers.at(Registers::rdi);
  const auto word = view.image.read<std::int32_t>(lock);
  if (!word || *word > 0) return;
  const ResourceId id =
      ledger.resource_at(view.process, lock, WaitKind::spinlock, "pthread_spinlock_t");
  ResourceFact& resource = ledger.resource(id);
  if (resource.label.empty()) {
    resource.label = label_of_object(view, lock, "spinlock");
    resource.state = LockState::locked;
    resource.words = {{"value", Addr{}, static_cast<std::uint32_t>(*word), "taken"}};
    resource.owner_unknown_code = "no_owner";
    resource.owner_unknown_text = "a spinlock does not record who took it";
  }
  Wait wait;
  wait.kind = WaitKind::spinlock;
  wait.mode = Mode::exclusive;
  wait.on = {id};
  wait.at = id;
  wait.ends = Ends::never;
  wait.confidence = Confidence::proved;
  if (!stacks[i].native_at.empty()) wait.frame = stacks[i].native_at.front();
  Evidence evidence;
  evidence.claim = "it spins in pthread_spin_lock; its register rdi holds the lock's address";
  evidence.basis = Basis::register_;
  evidence.thread = view.thread_id(i);
  evidence.frame = wait.frame;
  evidence.resource = id;
  evidence.address = lock;
  evidence.source = "register rdi";
  wait.evidence.push_back(ledger.add_evidence(std::move(evidence)));
  ledger.thread(view.thread_id(i)).state = ThreadState::spinning;
  ledger.set_wait(view.thread_id(i), std::move(wait));
}

}  // namespace

void look_at_spinlocks(const View& view, const std::vector<StackMap>& stacks, Ledger& ledger) {
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    const bool in_user_code =
        parse_system_call(view.core.threads[i].registers).state == CallState::user_code;
    const auto& frames = view.threads.walks[i].frames;
    if (!in_user_code || frames.empty()) continue;
    const auto& symbol = view.threads.name_of(frames.front()).symbol;
    if (without_underscores(symbol).starts_with("pthread_spin_lock"))
      look_at_thread(view, stacks, ledger, i);
  }
}

}  // namespace coldcase
