// For C, and for frames in a call that cannot throw: whether the place a frame is at lies between a
// call that takes the lock and the one that releases it, on all ways through the function.
#include "base/text.hpp"
#include "holders/search.hpp"

namespace coldcase {
namespace {

FlowState state_of(Search& search, const FrameHere& here, const Question& question,
                   const Flow& flow) {
  const MemoryImage& image = search.seen.view.image;
  const Flow::Memory memory = [&](std::uint64_t at) -> std::optional<std::uint64_t> {
    const auto word = image.read<std::uint64_t>(Addr{at});
    return word ? std::optional(*word) : std::nullopt;
  };
  return flow.state_at({here.row.pc.value, here.after_call(), question.lock, question.address.value,
                        here.registers, memory, search.code.work()});
}

// Another call of the same function has a cleanup, and that releases this very lock.
bool other_pad_releases(Search& search, const FrameHere& here, const Question& question) {
  const View& view = search.seen.view;
  std::uint64_t last = 0;
  for (const CallSite& site : search.code.call_sites(here.row.lookup.value)) {
    search.code.work().add(1);
    if (search.code.work().spent()) break;
    if (site.pad == 0 || site.pad == last) continue;
    last = site.pad;
    for (const Release& release :
         run_cleanup(search.code, view.image, site.pad, here.registers).releases) {
      if (release.always && release.address == question.address.value &&
          fits(release.lock, question.lock)) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

FlowState flow_state(Search& search, const FrameHere& here, const Question& question) {
  const Flow* flow = search.flows.of(here.row.lookup.value);
  return flow == nullptr ? FlowState{} : state_of(search, here, question, *flow);
}

void look_for_call_site(Search& search, const FrameHere& here) {
  const Flow* flow = search.flows.of(here.row.lookup.value);
  if (flow == nullptr) return;
  const View& view = search.seen.view;
  for (const Question& question : search.questions) {
    search.code.work().add(1);
    if (search.code.work().spent()) return;
    if (!question.open || search.gave_back(question, here.thread)) continue;
    const FlowState state = state_of(search, here, question, *flow);
    if (!state.held && !state.held_unknown) continue;
    // Who only takes it waits for a signal; who gives it back afterwards uses it as a lock.
    if (question.lock == LockClass::semaphore && !state.released_after) continue;
    Claim claim = search.claim(question, here, Basis::call_site, Confidence::hypothesis);
    claim.address = here.row.pc;
    claim.source = "the function's control flow";
    const std::string place = name_of_place(view, here);
    // Somebody holds a lock that counts its readers: then a way is worth more.
    const bool counted_readers = question.lock == LockClass::rwlock && state.released_after;
    if (state.surely()) {
      claim.confidence = here.at_most(Confidence::very_likely);
      claim.text = place + " takes this lock on every way to the call it is in, and has not " +
                   "released it there";
    } else if (state.held) {
      claim.confidence = counted_readers ? Confidence::likely : Confidence::hypothesis;
      claim.text = place + " takes this lock on a way to the call it is in; on another it may " +
                   "have released it";
    } else if (!state.free && other_pad_releases(search, here, question)) {
      claim.confidence = here.at_most(Confidence::very_likely);
      claim.text = place + " has taken a lock of this kind on every way to the call it is in, " +
                   "and the cleanup of another of its calls would " + releasing(question.lock);
    } else {
      claim.text = place + " has taken a lock on a way to the call it is in; which one is not told";
    }
    search.add(std::move(claim));
  }
}

}  // namespace coldcase
