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
constexpr std::size_t adding_hit = 500;  // steps of Work: what is asked of each, and its room

struct Holder {
  std::size_t question, thread;
  friend auto operator<=>(const Holder&, const Holder&) = default;
};

bool skips(const Search& search, const Question& question, const FrameHere& here) {
  if (!question.open || question.lock == LockClass::flag ||
      search.waits_for(question, here.thread) || search.gave_back(question, here.thread)) {
    return true;
  }
  // On this thread's own stack: it owns the object, which says nothing about the lock (R3).
  const Addr sp = search.seen.view.core.threads[here.thread].registers.at(Registers::rsp);
  const Extent* stack = search.seen.view.image.find(sp);
  return stack != nullptr && stack->range.contains(question.address) && question.address >= sp;
}

// The hits of one frame.
class FrameScan {
 public:
  FrameScan(Search& search, const FrameHere& here) : search_(search), here_(here) {}
  void look_in_registers();
  void look_in_slots();
  void keep();

 private:
  template <class Found>
  void each_question_at(std::uint64_t value, Found found) {
    for (const std::size_t q : search_.questions_at(value)) {
      search_.code.work().add(adding_hit);
      if (search_.code.work().spent()) return;
      if (!skips(search_, search_.questions[q], here_)) found(q);
    }
  }
  void add(std::size_t question, std::int64_t place, int points);
  void forget_inner(std::size_t question, std::int64_t place);

  Search& search_;
  const FrameHere& here_;
  std::vector<Hit> hits_;
};

void FrameScan::add(std::size_t question, std::int64_t place, int points) {
  hits_.push_back({question, here_.thread, here_.index, here_.row_index,
                   search_.seen.merged(here_.thread, here_.index), place, points});
}

// The value belongs to the outermost frame that has it: inner ones only pass it on. Those of the
// frame called from here came last.
void FrameScan::forget_inner(std::size_t question, std::int64_t place) {
  auto& all = search_.hits;
  const auto inner = std::find_if_not(all.rbegin(), all.rend(), [&](const Hit& hit) {
    return hit.thread == here_.thread && hit.index + 1 == here_.index;
  });
  all.erase(std::remove_if(
                inner.base(), all.end(),
                [&](const Hit& hit) { return hit.question == question && hit.place == place; }),
            all.end());
}

void FrameScan::look_in_registers() {
  for (const std::size_t reg : {dw_rbx, dw_rbp, dw_r12, dw_r13, dw_r14, dw_r15}) {
    const auto value = here_.registers.get(reg);
    if (!value) continue;
    const std::int64_t place = 1 + static_cast<std::int64_t>(reg);
    each_question_at(*value, [&](std::size_t q) {
      forget_inner(q, place);
      add(q, place, points_register);
    });
  }
}

void FrameScan::look_in_slots() {
  // Below sp is history (R2); above the CFA is the caller's.
  const std::uint64_t sp = here_.registers.sp().value;
  if (here_.cfa <= sp || here_.cfa - sp > most_frame_bytes || sp % 8 != 0) return;
  const Bytes words = search_.seen.view.image.view(Addr{sp}, here_.cfa - sp);
  search_.code.work().add(words.size() / 8);
  for (std::uint64_t at = 0; at + 8 <= words.size() && !search_.code.work().spent(); at += 8) {
    each_question_at(*parse_at<std::uint64_t>(words, at), [&](std::size_t q) {
      const auto next = parse_at<std::uint8_t>(words, at + 8);
      add(q, -static_cast<std::int64_t>(here_.cfa - sp - at),
          next && *next == 1 ? points_pair : points_slot);
    });
  }
}

// What the function's own calls say is stronger: it has released this lock, or not taken it yet.
void FrameScan::keep() {
  std::map<std::size_t, bool> free;  // by question
  for (Hit& hit : hits_) {
    const auto [known, fresh] = free.try_emplace(hit.question);
    if (fresh)
      known->second = flow_state(search_, here_, search_.questions[hit.question]).surely_not();
    if (search_.code.work().spent()) return;  // not asked: not kept
    if (!known->second) search_.hits.push_back(hit);
  }
}

}  // namespace

void look_for_address(Search& search, const FrameHere& here) {
  if (!here.sure) return;
  FrameScan scan(search, here);
  scan.look_in_registers();
  scan.look_in_slots();
  scan.keep();
}

namespace {

// A number for each stack: the same for those with the same frames.
std::map<std::size_t, std::size_t> number_stacks(const Search& search) {
  std::map<std::vector<std::uint32_t>, std::size_t> stacks;
  std::map<std::size_t, std::size_t> numbers;  // by thread
  for (const Hit& hit : search.hits) {
    const auto [number, fresh] = numbers.try_emplace(hit.thread);
    if (!fresh) continue;
    std::vector<std::uint32_t> rows;
    for (const WalkFrame& frame : search.seen.view.threads.walks[hit.thread].frames)
      rows.push_back(frame.row);
    number->second = stacks.try_emplace(std::move(rows), stacks.size()).first->second;
  }
  return numbers;
}

// Equal stacks with the address in the same place of the same frame: left there by what all of them
// did before (R1). Unless the lock counts exactly as many readers.
void drop_residue(Search& search) {
  using Key = std::tuple<std::size_t, std::uint32_t, std::int64_t, std::size_t>;
  const std::map<std::size_t, std::size_t> stacks = number_stacks(search);
  const auto key_of = [&](const Hit& hit) {
    return Key{hit.question, hit.row, hit.place, stacks.at(hit.thread)};
  };
  std::map<Key, std::size_t> counts;
  for (const Hit& hit : search.hits) ++counts[key_of(hit)];
  std::erase_if(search.hits, [&](const Hit& hit) {
    const std::size_t count = counts[key_of(hit)];
    return count >= residue_threads && count != search.questions[hit.question].most;
  });
}

}  // namespace

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
  std::map<std::size_t, std::size_t> rivals_for;  // by question
  for (const auto& one : scores) ++rivals_for[one.first.question];
  for (const auto& one : scores) {
    const Holder holder = one.first;
    const Score& score = one.second;
    const Question& question = search.questions[holder.question];
    const std::size_t rivals = rivals_for[holder.question];
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
    search.add(std::move(claim));
  }
}

}  // namespace coldcase
