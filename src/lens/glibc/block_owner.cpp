#include "lens/glibc/block_owner.hpp"

namespace coldcase {

void set_block_owner(const View& view, const Pthreads& pthreads, Ledger& ledger, ResourceId id,
                     const BlockOwner& owner) {
  if (owner.block.value == 0) return;
  const auto holder = pthreads.find_block(owner.block);
  if (!holder) {
    ResourceFact& resource = ledger.resource(id);
    const bool lost = pthreads.fate_of(owner.block) == BlockFate::not_copied;
    resource.owner_unknown_code = lost ? "owner_before_fork" : "owner_not_in_core";
    resource.owner_unknown_text =
        lost ? "its owner field names a thread that never ended and is not in this process: fork "
               "copied that thread's memory, and not the thread"
             : "its owner field names a thread that is not in this core";
    return;
  }
  const std::string lwp = "LWP " + std::to_string(view.core.threads[*holder].tid);
  Evidence evidence;
  evidence.claim = owner.claim + " of " + lwp;
  evidence.basis = Basis::owner_word;
  evidence.thread = view.thread_id(*holder);
  evidence.resource = id;
  evidence.address = owner.field;
  evidence.words = {{"", owner.field, owner.block.value, ""}};
  evidence.source = owner.source;
  const EvidenceId known = ledger.add_evidence(std::move(evidence));
  Hold hold;
  hold.resource = id;
  hold.mode = owner.mode;
  hold.count = owner.count;
  hold.confidence = Confidence::proved;
  hold.basis = Basis::owner_word;
  hold.evidence = {known};
  ledger.add_hold(view.thread_id(*holder), hold);
}

}  // namespace coldcase
