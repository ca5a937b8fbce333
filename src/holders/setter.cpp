// For a word that threads poll: whose code ahead would change it. The function of each frame is
// worked through from the call it is in to its return. Other code may change the word too, so this
// is never more than likely.
#include "holders/search.hpp"

namespace coldcase {
namespace {

constexpr std::size_t a_run = 64;  // steps of Work, beside those of its instructions

// How much of a flag is watched is not known: its first byte is enough, whatever is stored over it.
constexpr std::uint8_t watched_bytes = 1;

std::vector<Watched> watched_words(Search& search, const FrameHere& here) {
  std::vector<Watched> words;
  for (const Question& question : search.questions) {
    search.code.work().add(1);
    if (question.open && question.lock == LockClass::flag &&
        !search.waits_for(question, here.thread))
      words.push_back({question.address.value, watched_bytes, question.word});
  }
  return words;
}

bool polls_any(const Search& search) {
  return std::ranges::any_of(search.questions, [](const Question& question) {
    return question.open && (question.lock == LockClass::flag || question.lock == LockClass::word);
  });
}

void claim_setters(Search& search, const FrameHere& here, const CleanupRun& run) {
  for (const WordStore& store : run.stores) {
    for (const std::size_t q : search.questions_at(store.address)) {
      const Question& question = search.questions[q];
      if (question.lock != LockClass::flag || search.waits_for(question, here.thread)) continue;
      Claim claim = search.claim(question, here, Basis::call_site, Confidence::likely);
      claim.text = name_of_place(search.seen.view, here) +
                   (store.always ? " stores to this word after the call it is in"
                                 : " stores to this word on a way from the call it is in");
      claim.address = Addr{store.at};
      claim.source = "the code ahead of the frame";
      search.add(std::move(claim));
    }
  }
}

void claim_holders(Search& search, const FrameHere& here, const CleanupRun& run) {
  for (const Release& release : run.releases) {
    for (const std::size_t q : search.questions_at(release.address)) {
      const Question& question = search.questions[q];
      if (!question.open || question.lock != LockClass::word ||
          !fits(release.lock, question.lock) || search.waits_for(question, here.thread))
        continue;
      Claim claim = search.claim(question, here, Basis::call_site,
                                 release.always ? Confidence::likely : Confidence::hypothesis);
      claim.text = name_of_place(search.seen.view, here) +
                   " releases this lock word after the call it is in, without taking it first";
      claim.address = Addr{release.at};
      claim.source = "the code ahead of the frame";
      search.add(std::move(claim));
    }
  }
}

}  // namespace

void look_for_setter(Search& search, const FrameHere& here) {
  if (!polls_any(search) || here.row.module == nullptr) return;
  search.code.work().add(a_run);
  const CleanupRun run = run_ahead(search.code, search.seen.view.image, here.row.pc.value,
                                   here.registers, watched_words(search, here));
  claim_setters(search, here, run);
  claim_holders(search, here, run);
}

}  // namespace coldcase
