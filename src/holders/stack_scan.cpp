// The last resort: the lock's exact address where a frame keeps what it still needs - registers
// that calls keep, and live stack slots. Leftovers look the same, so what looks like one is dropped
// (native-waits.md 4.2, R1 to R5), and what is left is a hint, never more than likely.
#include <algorithm>
#include <map>
#include <tuple>

#include "base/text.hpp"
#include "holders/search.hpp"

namespace coldcase {
namespace {

constexpr std::uint64_t most_frame_bytes = 64 * 1024;  // of one frame looked through
constexpr int points_register = 30, points_pair = 35, points_slot = 15, enough = 30;
constexpr std::size_t residue_threads = 3;

struct Holder {
  std::size_t question, thread;
  friend auto operator<=>(const Holder&, const Holder&) = default;
};

bool skips(const Search& search, const Question& question, const FrameHere& here) {
  if (!question.open || search.waits_for(question, here.thread) ||
      search.gave_back(question, here.thread)) {
    return true;
  }
  // On this thread's own stack: it owns the object, which says nothing about the lock (R3).
  const Addr sp = search.seen.view.core.threads[here.thread].registers.at(Registers::rsp);
  const Extent* stack = search.seen.view.image.find(sp);
  return stack != nullptr && stack->range.contains(question.address) && question.address >= sp;
}

void look_in_registers(Search& search, const FrameHere& here, std::size_t q) {
  for (const std::size_t reg : {dw_rbx, dw_rbp, dw_r12, dw_r13, dw_r14, dw_r15}) {
    const auto value = here.registers.get(reg);
    if (!value || *value != search.questions[q].address.value) continue;
    // The value belongs to the outermost frame that has it: inner ones only pass it on.
    std::erase_if(search.hits, [&](const Hit& hit) {
      return hit.question == q && hit.thread == here.thread && hit.index + 1 == here.index &&
             hit.place == 1 + static_cast<std::int64_t>(reg);
    });
    search.hits.push_back(
        {q, here.thread, here.index, 0, {}, 1 + static_cast<std::int64_t>(reg), points_register});
  }
}

}  // namespace

void look_for_address(Search& search, const FrameHere& here) {
  if (!here.sure) return;
  std::vector<std::size_t> asked;
  for (std::size_t q = 0; q < search.questions.size(); ++q) {
    if (!skips(search, search.questions[q], here)) asked.push_back(q);
  }
  if (asked.empty()) return;
  const std::size_t before = search.hits.size();
  for (const std::size_t q : asked) look_in_registers(search, here, q);
  // Below sp is history (R2); above the CFA is the caller's.
  const std::uint64_t sp = here.registers.sp().value;
  if (here.cfa > sp && here.cfa - sp <= most_frame_bytes && sp % 8 == 0) {
    const Bytes words = search.seen.view.image.view(Addr{sp}, here.cfa - sp);
    for (std::uint64_t at = 0; at + 8 <= words.size(); at += 8) {
      const auto word = *parse_at<std::uint64_t>(words, at);
      for (const std::size_t q : asked) {
        if (word != search.questions[q].address.value) continue;
        const auto next = parse_at<std::uint8_t>(words, at + 8);
        search.hits.push_back({q,
                               here.thread,
                               here.index,
                               0,
                               {},
                               -static_cast<std::int64_t>(here.cfa - sp - at),
                               next && *next == 1 ? points_pair : points_slot});
      }
    }
  }
  // What the function's own calls say is stronger: it has released this lock, or not taken it yet.
  std::vector<Hit> kept(search.hits.begin() + static_cast<std::ptrdiff_t>(before),
                        search.hits.end());
  search.hits.resize(before);
  for (Hit& hit : kept) {
    if (flow_state(search, here, search.questions[hit.question]).surely_not()) continue;
    hit.row = here.row_index;
    hit.frame = search.seen.merged(here.thread, here.index);
    search.hits.push_back(hit);
  }
}

// Equal stacks with the address in the same place of the same frame: left there by what all of them
// did before (R1). Unless the lock counts exactly as many readers.
void drop_residue(Search& search) {
  using Key = std::tuple<std::size_t, std::uint32_t, std::int64_t, std::vector<std::uint32_t>>;
  const auto key_of = [&](const Hit& hit) {
    std::vector<std::uint32_t> rows;
    for (const WalkFrame& frame : search.seen.view.threads.walks[hit.thread].frames)
      rows.push_back(frame.row);
    return Key{hit.question, hit.row, hit.place, std::move(rows)};
  };
  std::map<Key, std::size_t> counts;
  for (const Hit& hit : search.hits) ++counts[key_of(hit)];
  std::erase_if(search.hits, [&](const Hit& hit) {
    const std::size_t count = counts[key_of(hit)];
    return count >= residue_threads && count != search.questions[hit.question].most;
  });
}

void judge_addresses(Search& search) {
  drop_residue(search);
  struct Score {
    int in_register = 0, in_slot = 0;
    const Hit* best = nullptr;
    int total() const { return in_register + in_slot; }
  };
  std::map<Holder, Score> scores;
  for (const Hit& hit : search.hits) {
    Score& score = scores[{hit.question, hit.thread}];
    int& part = hit.place > 0 ? score.in_register : score.in_slot;
    part = std::max(part, hit.points);
    if (score.best == nullptr || hit.points > score.best->points) score.best = &hit;
  }
  for (const auto& one : scores) {
    const Holder holder = one.first;
    const Score& score = one.second;
    const Question& question = search.questions[holder.question];
    const auto rivals = static_cast<std::size_t>(std::ranges::count_if(
        scores, [&](const auto& other) { return other.first.question == holder.question; }));
    const bool enough_alone =
        score.total() >= enough && question.most != 0 && rivals <= question.most;
    Claim claim;
    claim.question = holder.question;
    claim.thread = search.thread_id(holder.thread);
    claim.frame = score.best->frame;
    claim.basis = Basis::stack_scan;
    claim.confidence =
        question.scan_may_name && enough_alone ? Confidence::likely : Confidence::hypothesis;
    const CodeName& name = search.seen.view.threads.names[score.best->row];
    claim.text = (name.function.empty() ? "a frame" : name.function) +
                 (score.best->place > 0 ? " keeps the lock's address in a register"
                                        : " keeps the lock's address in its stack frame");
    claim.source = "registers and live stack slots, by call frame information";
    search.claims.push_back(std::move(claim));
  }
}

}  // namespace coldcase
