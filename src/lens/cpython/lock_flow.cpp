#include "lens/cpython/lock_flow.hpp"

#include <algorithm>

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_steps = 200'000;
constexpr std::size_t most_handler = 256;  // instructions of a handler that are looked at
constexpr std::int32_t none = -1;

LockState join(const LockState& a, const LockState& b) {
  LockState joined;
  joined.held = a.held == b.held ? a.held : Held::maybe;
  joined.released = a.released || b.released;
  joined.unpaired = a.unpaired || b.unpaired;
  // Where only one of the ways took it, that is the place.
  if (a.held == Held::no)
    joined.site = b.site;
  else if (b.held == Held::no)
    joined.site = a.site;
  else
    joined.site = std::min(a.site, b.site);
  return joined;
}

// The names an instruction stores to.
struct Stores {
  Op root = Op::other;
  std::uint32_t first = 0, second = 0;
};

Stores stores_of(const Instruction& instruction) {
  const std::uint32_t arg = instruction.arg;
  switch (instruction.op) {
    case Op::store_fast:
      return {Op::load_fast, arg, arg};
    case Op::store_fast_pair:
      return {Op::load_fast, arg >> 4, arg & 15};
    case Op::store_load_fast:
      return {Op::load_fast, arg >> 4, arg >> 4};
    case Op::store_deref:
      return {Op::load_deref, arg, arg};
    case Op::store_global:
      return {Op::load_global, arg, arg};
    case Op::store_name:
      return {Op::load_name, arg, arg};
    default:
      return {};
  }
}

// Blocks of the block stack (to 3.10), each with the one outside it.
struct Block {
  std::int32_t outer = none;
  std::int32_t setup = none;
};

class Flow {
 public:
  Flow(const Routine& routine, const Effects& effects)
      : code_(routine.instructions),
        routine_(routine),
        effects_(effects),
        in_(code_.size()),
        blocks_in_(code_.size(), none) {}

  // False when it did not come to an end.
  bool run(LockState entry) {
    if (code_.empty()) return false;
    enter(0, entry, none);
    std::size_t steps = 0;
    while (!open_.empty()) {
      if (++steps > most_steps) return false;
      const std::size_t at = open_.back();
      open_.pop_back();
      step(at);
    }
    return true;
  }

  const std::optional<LockState>& before(std::size_t at) const { return in_[at]; }
  LockState after(std::size_t at) const { return apply(at, *in_[at]); }
  std::int32_t block(std::size_t at) const { return blocks_in_[at]; }
  const Block& block_at(std::int32_t index) const {
    return blocks_[static_cast<std::size_t>(index)];
  }

 private:
  void enter(std::size_t at, const LockState& state, std::int32_t block) {
    if (at >= code_.size()) return;
    const bool fresh = !in_[at];
    const LockState joined = fresh ? state : join(*in_[at], state);
    if (fresh) blocks_in_[at] = block;
    if (!fresh && joined == *in_[at]) return;
    in_[at] = joined;
    open_.push_back(at);
  }
  void enter_offset(std::int32_t offset, const LockState& state, std::int32_t block) {
    if (const auto at = routine_.find(offset)) enter(*at, state, block);
  }

  LockState apply(std::size_t at, LockState state) const {
    const auto effect = effects_.find(static_cast<std::uint32_t>(at));
    if (effect != effects_.end()) return apply(effect->second, at, state);
    const Stores stores = stores_of(code_[at]);
    const auto taken = effects_.find(static_cast<std::uint32_t>(state.site));
    if (stores.root != Op::other && state.site >= 0 && taken != effects_.end() &&
        taken->second.root == stores.root &&
        (taken->second.index == stores.first || taken->second.index == stores.second))
      return {Held::no, none, state.released, state.unpaired};
    return state;
  }
  static LockState apply(const Effect& effect, std::size_t at, LockState state) {
    const auto site = static_cast<std::int32_t>(at);
    switch (effect.kind) {
      case Effect::Kind::acquire:
        return {Held::yes, site, false, state.unpaired};
      case Effect::Kind::try_acquire:
        if (state.held == Held::yes) return state;
        return {Held::maybe, site, state.released, state.unpaired};
      case Effect::Kind::release:
        return {Held::no, none, true, state.unpaired || state.held == Held::no};
      case Effect::Kind::maybe_release:
        if (state.held == Held::yes) state.held = Held::maybe;
        state.released = true;
        return state;
    }
    return state;
  }

  // A jump right behind an acquire() that may fail tells whether it did.
  std::optional<std::size_t> asked_acquire(std::size_t jump, bool& when_true) const {
    when_true = code_[jump].op == Op::jump_if_true;
    for (std::size_t i = jump; i-- > 0;) {
      if (code_[i].op == Op::unary_not) {
        when_true = !when_true;
      } else if (code_[i].op != Op::to_bool) {
        const auto effect = effects_.find(static_cast<std::uint32_t>(i));
        if (effect == effects_.end() || effect->second.kind != Effect::Kind::try_acquire || !in_[i])
          return std::nullopt;
        return i;
      }
    }
    return std::nullopt;
  }

  void step(std::size_t at) {
    const Instruction& one = code_[at];
    const LockState before = *in_[at], after = apply(at, before);
    const std::int32_t block = blocks_in_[at];
    raise_from(at, join(before, after), block);
    ask_again(at);
    switch (one.op) {
      case Op::give_back:
      case Op::raise:
        return;
      case Op::jump:
        enter_offset(one.target, after, block);
        return;
      case Op::jump_if_true:
      case Op::jump_if_false:
        branch(at, after, block);
        return;
      case Op::setup_loop:
      case Op::setup_finally:
      case Op::setup_with:
        // Its handler is entered by what raises inside it.
        enter(at + 1, after, open_block(at, block));
        return;
      case Op::pop_block:
        enter(at + 1, after, block == none ? none : block_at(block).outer);
        return;
      case Op::break_loop:
        leave_loop(after, block);
        return;
      case Op::call_finally:
        enter_offset(one.target, after, block);
        enter(at + 1, after_finally(one.target, after), block);
        return;
      default:
        if (one.target >= 0) enter_offset(one.target, after, block);
        enter(at + 1, after, block);
    }
  }

  // What a jump concludes from an acquire() depends on the state in front of that.
  void ask_again(std::size_t at) {
    const auto effect = effects_.find(static_cast<std::uint32_t>(at));
    if (effect == effects_.end() || effect->second.kind != Effect::Kind::try_acquire) return;
    for (std::size_t i = at + 1; i < std::min(at + 4, code_.size()); ++i) {
      const bool jump = code_[i].op == Op::jump_if_true || code_[i].op == Op::jump_if_false;
      if (jump && in_[i]) open_.push_back(i);
    }
  }

  void branch(std::size_t at, const LockState& after, std::int32_t block) {
    bool when_true = false;
    const auto asked = asked_acquire(at, when_true);
    LockState jumps = after, falls = after;
    if (asked) {
      const LockState& failed = *in_[*asked];
      const LockState taken{Held::yes, static_cast<std::int32_t>(*asked), false, failed.unpaired};
      jumps = when_true ? taken : failed;
      falls = when_true ? failed : taken;
    }
    enter_offset(code_[at].target, jumps, block);
    enter(at + 1, falls, block);
  }

  // Any instruction of a protected range may raise, having done its work or not.
  void raise_from(std::size_t at, const LockState& state, std::int32_t block) {
    if (routine_.minor >= 11) {
      if (routine_.handlers[at] >= 0)
        enter(static_cast<std::size_t>(routine_.handlers[at]), state, none);
      return;
    }
    if (code_[at].op == Op::pop_block) return;
    while (block != none && setup_of(block).op == Op::setup_loop) block = block_at(block).outer;
    if (block != none) enter_offset(setup_of(block).target, state, block_at(block).outer);
  }

  void leave_loop(const LockState& state, std::int32_t block) {
    while (block != none && setup_of(block).op != Op::setup_loop) block = block_at(block).outer;
    if (block != none) enter_offset(setup_of(block).target, state, block_at(block).outer);
  }

  // 3.8: a return or continue inside try calls the finally's code as a subroutine.
  LockState after_finally(std::int32_t target, LockState state) const {
    const auto first = routine_.find(target);
    if (!first) return state;
    int inside = 0;
    for (std::size_t i = *first; i < code_.size() && i < *first + most_handler; ++i) {
      if (code_[i].op == Op::end_finally && inside-- == 0) break;
      if (code_[i].op == Op::setup_finally || code_[i].op == Op::setup_with) ++inside;
      state = apply(i, state);
    }
    return state;
  }

  const Instruction& setup_of(std::int32_t block) const {
    return code_[static_cast<std::size_t>(block_at(block).setup)];
  }
  // One for each setup: blocks nest the same way however they are reached.
  std::int32_t open_block(std::size_t setup, std::int32_t outer) {
    const auto [at, fresh] = opened_.try_emplace(setup, static_cast<std::int32_t>(blocks_.size()));
    if (fresh) blocks_.push_back({outer, static_cast<std::int32_t>(setup)});
    return at->second;
  }

  const std::vector<Instruction>& code_;
  const Routine& routine_;
  const Effects& effects_;
  std::vector<std::optional<LockState>> in_;
  std::vector<std::int32_t> blocks_in_;
  std::vector<Block> blocks_;
  std::map<std::size_t, std::int32_t> opened_;
  std::vector<std::size_t> open_;
};

bool handler_releases(const Routine& routine, const Effects& effects, std::size_t first) {
  const auto& code = routine.instructions;
  for (std::size_t i = first; i < code.size() && i < first + most_handler; ++i) {
    const auto effect = effects.find(static_cast<std::uint32_t>(i));
    if (effect != effects.end() && (effect->second.kind == Effect::Kind::release ||
                                    effect->second.kind == Effect::Kind::maybe_release))
      return true;
    if (code[i].op == Op::raise || code[i].op == Op::end_finally || code[i].op == Op::give_back)
      return false;
  }
  return false;
}

}  // namespace

std::optional<LockState> state_before(const Routine& routine, const Effects& effects,
                                      LockState entry, std::size_t at) {
  Flow flow(routine, effects);
  if (at >= routine.instructions.size() || !flow.run(entry)) return std::nullopt;
  return flow.before(at);
}

std::optional<LockState> state_on_return(const Routine& routine, const Effects& effects,
                                         LockState entry) {
  Flow flow(routine, effects);
  std::optional<LockState> state;
  if (!flow.run(entry)) return state;
  for (std::size_t i = 0; i < routine.instructions.size(); ++i) {
    if (routine.instructions[i].op != Op::give_back || !flow.before(i)) continue;
    state = state ? join(*state, flow.after(i)) : flow.after(i);
  }
  return state;
}

bool is_guarded(const Routine& routine, const Effects& effects, std::size_t at) {
  if (routine.minor >= 11) {
    std::size_t looked = 0;
    for (std::int32_t handler = routine.handlers[at]; handler >= 0 && ++looked < 32;
         handler = routine.handlers[static_cast<std::size_t>(handler)]) {
      if (handler_releases(routine, effects, static_cast<std::size_t>(handler))) return true;
    }
    return false;
  }
  Flow flow(routine, effects);
  if (!flow.run({})) return false;
  for (std::int32_t block = flow.block(at); block != none; block = flow.block_at(block).outer) {
    const auto setup = static_cast<std::size_t>(flow.block_at(block).setup);
    const auto handler = routine.find(routine.instructions[setup].target);
    if (handler && handler_releases(routine, effects, *handler)) return true;
  }
  return false;
}

}  // namespace coldcase::cpython
