// Who runs a pthread_once routine: glibc registers a cleanup for the case that it is cancelled.
#include "holders/search.hpp"

namespace coldcase {

void look_for_cleanup_record(Search& search, const FrameHere& here) {
  if (here.index != 0) return;  // one record a thread
  const Seen& seen = search.seen;
  for (const Question& question : search.questions) {
    search.code.work().add(1);
    if (search.code.work().spent()) return;
    if (!question.open || question.lock != LockClass::once ||
        search.waits_for(question, here.thread)) {
      continue;
    }
    const auto record = seen.pthreads.read_cleanup(here.thread, question.address);
    if (!record) continue;
    search.code.work().add(most_frames);
    const auto frame = find_frame(seen.view, here.thread, most_frames, {"pthread_once"});
    if (!frame) continue;
    // 2.31: the argument is the once_control; 2.34 and later: a block with it at +8 (nptl/
    // pthread_once.c).
    const auto inner = seen.view.image.read_pointer(offset_by(record->argument, 8));
    if (record->argument != question.address && (!inner || *inner != question.address)) continue;
    Claim claim = search.claim(question, here, Basis::cleanup_buffer, Confidence::very_likely);
    claim.frame = seen.merged(here.thread, *frame);
    claim.text = "its own cleanup record says that it runs the routine of this pthread_once";
    claim.address = record->argument;
    claim.source = "struct pthread.cleanup";
    search.add(std::move(claim));
  }
}

}  // namespace coldcase
