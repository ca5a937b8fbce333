#include "holders/polled_loop.hpp"

#include <algorithm>
#include <set>

#include "core/elf_format.hpp"
#include "holders/machine.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_steps = 8'000;  // of one thread: some rounds of a slow spin
constexpr std::size_t most_words = 4;
constexpr std::uint64_t vdso_bytes = 0x4000;  // more than any vdso's code has
constexpr std::uint64_t red_zone = 128;
constexpr std::uint64_t most_stack = std::uint64_t{8} << 20;

// What one round reads and where it goes.
struct Notes {
  std::vector<PolledWord> reads;
  std::set<std::uint64_t> bases;  // registers' values that addresses were made of
  std::set<const Module*> modules;
  std::uint64_t lowest_sp = ~std::uint64_t{0};
  int outermost = 0;  // calls less returns, at least
};

class Rounds {
 public:
  Rounds(Code& code, const View& view, const Registers& registers)
      : code_(code),
        view_(view),
        vdso_(view.core.auxv_value(elf::at_sysinfo_ehdr).value_or(0)),
        state_(view.image, registers),
        at_(registers[Registers::rip]) {}

  // Until the state comes back (Brent's way: the mark is set at steps that double).
  bool find_round();
  // One round more, which is known to come back.
  Notes note_round();
  std::size_t length() const { return length_; }
  bool wrote(const PolledWord& word) const { return state_.wrote(word.address.value, word.size); }
  std::uint64_t sp() const { return state_.reg(dw_rsp).bits; }

 private:
  bool step(Notes* notes);
  bool understood(const Instruction& instruction) const;
  bool known_operands(const Instruction& instruction) const;
  bool known_value(const Operand& operand) const {
    return operand.kind != Operand::Kind::memory || operand.size <= 8 ? state_.read(operand).known()
                                                                      : false;
  }
  void note(const Instruction& instruction, Notes& notes) const;
  void note_read(const Operand& operand, bool locked, Notes& notes) const;
  bool go_on(const Instruction& instruction);
  bool go_to(std::optional<std::uint64_t> target);
  bool in_vdso() const { return vdso_ != 0 && at_ >= vdso_ && at_ - vdso_ < vdso_bytes; }

  struct Mark {
    MachineState state;
    std::uint64_t at = 0;
  };
  bool at_mark() const { return mark_ && mark_->at == at_ && mark_->state == state_; }

  Code& code_;
  const View& view_;
  std::uint64_t vdso_;
  MachineState state_;
  std::uint64_t at_;
  int depth_ = 0;  // calls less returns
  bool turned_ = false;
  std::optional<Mark> mark_;
  std::size_t length_ = 0;
};

bool reads_first(Opcode opcode) {
  switch (opcode) {
    case Opcode::push:
    case Opcode::add:
    case Opcode::subtract:
    case Opcode::increment:
    case Opcode::decrement:
    case Opcode::bit_and:
    case Opcode::bit_or:
    case Opcode::bit_xor:
    case Opcode::compare:
    case Opcode::test:
    case Opcode::exchange:
    case Opcode::compare_exchange:
    case Opcode::move_if:
      return true;
    default:
      return false;
  }
}

bool reads_second(Opcode opcode) {
  switch (opcode) {
    case Opcode::move:
    case Opcode::zero_extend:
    case Opcode::sign_extend:
    case Opcode::move_if:
    case Opcode::add:
    case Opcode::subtract:
    case Opcode::bit_and:
    case Opcode::bit_or:
    case Opcode::bit_xor:
    case Opcode::compare:
    case Opcode::test:
    case Opcode::exchange:
    case Opcode::compare_exchange:
      return true;
    default:
      return false;
  }
}

// Its whole effect on registers, flags and memory is what the machine does for it.
bool Rounds::understood(const Instruction& instruction) const {
  switch (instruction.opcode) {
    case Opcode::other:
    case Opcode::system_call:
    case Opcode::trap:
      return false;
    case Opcode::idle:
      return true;
    default:
      return known_operands(instruction);
  }
}

bool Rounds::known_operands(const Instruction& instruction) const {
  const Opcode opcode = instruction.opcode;
  for (const Operand& operand : instruction.operands) {
    if (operand.kind == Operand::Kind::other) return false;
    if (operand.kind != Operand::Kind::memory) continue;
    if (!state_.address_of(operand) || (opcode != Opcode::address && operand.size > 8))
      return false;
  }
  const bool conditional =
      opcode == Opcode::jump_if || opcode == Opcode::set_if || opcode == Opcode::move_if;
  if (conditional && !state_.holds(instruction.condition).known()) return false;
  if (reads_first(opcode) && !known_value(instruction.first())) return false;
  return !reads_second(opcode) || known_value(instruction.second());
}

void Rounds::note_read(const Operand& operand, bool locked, Notes& notes) const {
  if (operand.kind != Operand::Kind::memory) return;
  const auto address = state_.address_of(operand);
  if (!address) return;
  const PolledWord word{Addr{*address}, operand.size, state_.read(operand).bits, locked};
  const auto known = std::ranges::find_if(notes.reads, [&](const PolledWord& one) {
    return one.address == word.address && one.size == word.size;
  });
  if (known == notes.reads.end())
    notes.reads.push_back(word);
  else
    known->exchanged |= locked;
}

void Rounds::note(const Instruction& instruction, Notes& notes) const {
  notes.lowest_sp = std::min(notes.lowest_sp, sp());
  notes.modules.insert(view_.modules.find(Addr{at_}));
  if (instruction.opcode == Opcode::idle || instruction.opcode == Opcode::address) return;
  for (const Operand& operand : instruction.operands) {
    if (operand.kind == Operand::Kind::memory && operand.base >= 0)
      notes.bases.insert(state_.reg(static_cast<std::size_t>(operand.base)).bits);
  }
  if (reads_first(instruction.opcode)) note_read(instruction.first(), instruction.locked, notes);
  if (reads_second(instruction.opcode)) note_read(instruction.second(), instruction.locked, notes);
}

bool Rounds::go_to(std::optional<std::uint64_t> target) {
  if (!target) return false;
  turned_ = *target <= at_;
  at_ = *target;
  return true;
}

// Jumps, calls and returns.
bool Rounds::go_on(const Instruction& instruction) {
  const auto target_of = [&]() -> std::optional<std::uint64_t> {
    if (const auto fixed = instruction.target()) return fixed;
    const Value value = state_.read(instruction.first());
    return value.known() ? std::optional(value.bits) : std::nullopt;
  };
  switch (instruction.opcode) {
    case Opcode::jump_if:
      return go_to(state_.holds(instruction.condition).bits != 0
                       ? instruction.target()
                       : std::optional(instruction.next()));
    case Opcode::jump:
      return go_to(target_of());
    case Opcode::call: {
      const auto target = target_of();
      state_.push({Value::Kind::known, instruction.next()});
      ++depth_;
      return go_to(target);
    }
    case Opcode::ret: {
      const Value back = state_.pop();
      if (!back.known()) return false;
      if (instruction.first().kind == Operand::Kind::number)
        state_.reg(dw_rsp).bits += instruction.first().number;
      --depth_;
      const bool moved = go_to(back.bits);
      turned_ = true;
      return moved;
    }
    default:
      state_.execute(instruction);
      at_ = instruction.next();
      return true;
  }
}

bool Rounds::step(Notes* notes) {
  turned_ = false;
  // The vdso tells the time: its words are not in a core, and they change by themselves.
  if (in_vdso() || code_.work().spent()) return false;
  const auto instruction = code_.decode(at_);
  if (!instruction || !understood(*instruction)) return false;
  if (notes != nullptr) note(*instruction, *notes);
  if (!go_on(*instruction)) return false;
  if (notes != nullptr) notes->outermost = std::min(notes->outermost, depth_);
  // What was popped or loaded from a page that the core lacks is not known.
  return state_.reg(dw_rsp).known() && state_.reg(dw_rbp).known();
}

bool Rounds::find_round() {
  std::size_t power = 1;
  std::size_t turns = 0;
  for (std::size_t steps = 0; steps < most_steps; ++steps) {
    if (!step(nullptr)) return false;
    if (!turned_) continue;
    if (at_mark()) return true;
    if (++turns < power) continue;
    mark_ = Mark{state_, at_};
    power *= 2;
    turns = 0;
  }
  return false;
}

Notes Rounds::note_round() {
  Notes notes;
  notes.outermost = depth_;
  do {
    if (!step(&notes)) break;
    ++length_;
  } while (length_ < most_steps && !(turned_ && at_mark()));
  return notes;
}

bool is_writable(const View& view, Addr at) {
  const auto& segments = view.core.segments;
  const auto after =
      std::ranges::upper_bound(segments, at, {}, [](const Segment& s) { return s.range.begin; });
  return after != segments.begin() && std::prev(after)->range.contains(at) &&
         std::prev(after)->writable;
}

// The words among the reads that somebody else may change: not constants, not the loop's own
// variables, not pointers that only lead to the word.
std::vector<PolledWord> choose_words(const View& view, const Rounds& rounds, const Notes& notes) {
  std::vector<PolledWord> foreign, own, ways;
  const Extent* stack = view.image.find(Addr{notes.lowest_sp});
  for (const PolledWord& word : notes.reads) {
    if (!is_writable(view, word.address)) continue;
    const std::uint64_t above = word.address.value + red_zone - notes.lowest_sp;
    const bool on_stack =
        stack != nullptr && stack->range.contains(word.address) && above < most_stack;
    const bool leads = word.size == 8 && notes.bases.contains(word.value);
    if (on_stack && (rounds.wrote(word) || leads)) continue;
    (leads ? ways : on_stack ? own : foreign).push_back(word);
  }
  if (!foreign.empty()) return foreign;
  return !own.empty() ? own : ways;
}

}  // namespace

std::optional<PolledLoop> find_polled_loop(Code& code, const View& view,
                                           const Registers& registers) {
  Rounds rounds(code, view, registers);
  if (!rounds.find_round()) return std::nullopt;
  const Notes notes = rounds.note_round();
  PolledLoop loop;
  loop.instructions = rounds.length();
  loop.callers = static_cast<std::size_t>(std::max(-notes.outermost, 0));
  loop.words = choose_words(view, rounds, notes);
  if (loop.words.size() > most_words) loop.words.clear();
  for (const Module* module : notes.modules)
    loop.unverified |= module != nullptr && module->identity == Identity::same_layout;
  return loop;
}

}  // namespace coldcase
