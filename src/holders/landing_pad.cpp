// The strongest sign: the cleanup that the compiler wrote for the case that an exception leaves the
// call a frame is in. If that cleanup would release the lock, the frame holds it. Works on stripped
// C++ programs. Blind where the call cannot throw (pthread_mutex_lock is declared so) and for C.
#include "base/text.hpp"
#include "holders/search.hpp"

namespace coldcase {
namespace {

// Most cleanups free memory. One run with nothing known, which follows both ways everywhere, tells
// those from the ones worth running for each frame.
bool is_barren(Search& search, std::uint64_t pad) {
  const auto [known, fresh] = search.barren.try_emplace(pad);
  if (fresh) {
    const CleanupRun run = run_cleanup(search.code, search.seen.view.image, pad, Context{});
    known->second = run.complete && !run.touches;
  }
  return known->second;
}

}  // namespace

void look_for_landing_pad(Search& search, const FrameHere& here) {
  if (!here.after_call()) return;
  const std::uint64_t pad = search.code.landing_pad(here.row.pc.value);
  if (pad == 0 || is_barren(search, pad)) return;
  const View& view = search.seen.view;
  const CleanupRun run = run_cleanup(search.code, view.image, pad, here.registers);
  for (const Release& release : run.releases) {
    for (const std::size_t q : search.questions_at(release.address)) {
      const Question& question = search.questions[q];
      if (!question.open || !fits(release.lock, question.lock) ||
          search.gave_back(question, here.thread)) {
        continue;
      }
      Claim claim = search.claim(question, here, Basis::landing_pad,
                                 release.always ? Confidence::very_likely : Confidence::likely);
      claim.text = "if an exception left this call, the cleanup of " + name_of_place(view, here) +
                   " would " + releasing(question.lock) +
                   (release.always ? ": it holds it" : " on some of its ways: it may hold it");
      claim.address = Addr{release.at};
      claim.source = "the call's landing pad at " + hex(pad) + " (.gcc_except_table)";
      search.add(std::move(claim));
    }
  }
}

}  // namespace coldcase
