#include "lens/cpython/lock_claims.hpp"

#include <algorithm>

namespace coldcase::cpython {
namespace {

bool others(const std::vector<std::size_t>& threads, std::size_t than) {
  return std::ranges::any_of(threads, [&](std::size_t thread) { return thread != than; });
}

void limit(Claim& claim, Confidence most) {
  claim.confidence = std::min(claim.confidence, most);
}

// By itself, before any other is looked at.
Confidence first_weight(const Claim& claim) {
  const Holding& holding = claim.holding;
  if (holding.held == Held::no) return Confidence::hypothesis;
  const bool sure = holding.held == Held::yes;
  if (claim.by == Claim::By::reference) return sure ? Confidence::likely : Confidence::hypothesis;
  if (claim.basis() == Basis::value_stack)
    return sure ? Confidence::very_likely : Confidence::likely;
  return sure || holding.guarded ? Confidence::likely : Confidence::hypothesis;
}

// A lock that is taken, and then waited for by who took it, is a signal that another gives.
void weigh_signal(Claim& claim, const Doubts& doubts) {
  if (claim.basis() == Basis::value_stack || claim.by != Claim::By::chain) return;
  const bool signalled =
      others(doubts.unpaired, claim.thread) || others(doubts.releasing, claim.thread);
  if (!claim.waits) {
    if (signalled) limit(claim, Confidence::hypothesis);
    return;
  }
  if (doubts.alone) return;
  claim.dropped = claim.holding.again || signalled;
  if (!claim.holding.guarded) limit(claim, Confidence::hypothesis);
}

// Whose manager takes the lock on some ways only has less to say than who took it on every way,
// even where that one waits for it again.
void weigh_maybes(std::vector<Claim>& claims) {
  for (Claim& claim : claims) {
    const bool rival = std::ranges::any_of(claims, [&](const Claim& other) {
      return other.thread != claim.thread && (other.holding.held == Held::yes ||
                                              (other.waits && other.holding.held == Held::maybe));
    });
    if (rival && claim.holding.held == Held::maybe) limit(claim, Confidence::hypothesis);
  }
}

// One of them at most is right. A with block that stands open outweighs no call that was seen: the
// lock may have changed hands.
void weigh_rivals(std::vector<Claim>& claims) {
  const auto strong = [](const Claim& claim) { return claim.confidence >= Confidence::likely; };
  const auto rival = [&](const Claim& claim) {
    return std::ranges::any_of(claims, [&](const Claim& other) {
      return other.thread != claim.thread && !other.dropped && strong(other);
    });
  };
  std::vector<bool> contested;
  contested.reserve(claims.size());
  for (const Claim& claim : claims) contested.push_back(rival(claim));
  std::size_t calls = 0;
  for (const Claim& claim : claims) {
    const bool call = claim.basis() != Basis::value_stack && !claim.dropped && strong(claim);
    calls += call ? 1 : 0;
  }
  for (std::size_t i = 0; i < claims.size(); ++i) {
    if (!contested[i]) continue;
    const bool one_of_many = claims[i].basis() != Basis::value_stack && calls > 1;
    limit(claims[i], one_of_many ? Confidence::hypothesis : Confidence::likely);
  }
}

}  // namespace

Basis Claim::basis() const {
  const bool stack = holding.how == Holding::How::with_block && holding.recorded;
  return stack && by != By::reference ? Basis::value_stack : Basis::inference;
}

void weigh_claims(std::vector<Claim>& claims, const Doubts& doubts) {
  for (Claim& claim : claims) {
    claim.confidence = std::min(first_weight(claim), ceiling_of(claim.basis()));
    if (others(doubts.unpaired, claim.thread)) limit(claim, Confidence::likely);
    weigh_signal(claim, doubts);
    // A with block whose body has released the lock is told, unless it just takes it back.
    const bool told = claim.basis() == Basis::value_stack && !claim.waits;
    claim.dropped = claim.dropped || (claim.holding.held == Held::no && !told);
  }
  weigh_maybes(claims);
  std::erase_if(claims, [](const Claim& claim) { return claim.dropped; });
  weigh_rivals(claims);
  std::ranges::stable_sort(claims, std::ranges::greater{}, &Claim::confidence);
}

void weigh_permits(std::vector<Claim>& claims, std::size_t permits) {
  std::erase_if(claims, [](const Claim& claim) { return claim.holding.held == Held::no; });
  std::set<std::size_t> threads;
  for (const Claim& claim : claims) {
    if (claim.holding.held == Held::yes && claim.by == Claim::By::chain)
      threads.insert(claim.thread);
  }
  // Every permit is accounted for; anybody may give one back all the same.
  const bool all = permits > 0 && threads.size() == permits && claims.size() == permits;
  for (Claim& claim : claims) claim.confidence = all ? Confidence::likely : Confidence::hypothesis;
}

}  // namespace coldcase::cpython
