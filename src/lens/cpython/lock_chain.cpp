#include "lens/cpython/lock_chain.hpp"

#include <algorithm>

namespace coldcase::cpython {
namespace {

bool takes(const Effect& effect) {
  return effect.kind == Effect::Kind::acquire || effect.kind == Effect::Kind::try_acquire;
}

// One lock, followed through a chain.
class LockWalk {
 public:
  LockWalk(const Layout& layout, const LockKey& key) : layout_(layout) { holding_.key = key; }

  void step(const FrameUse& use, std::size_t index) {
    if (use.waiting && is(*use.waiting)) {
      state_ = {};
      known_ = false;
      return;
    }
    leave(use, index);
    const Effects effects = effects_of(use);
    note_release(effects);
    if (effects.empty()) return;
    const auto at = use.text->routine.find(use.frame.lasti);
    if (!at) return trust_blocks(use, index);
    const Held before = state_.held;
    const auto state = state_before(use.text->routine, effects, {before, -1, state_.released}, *at);
    if (!state) return;
    unpaired_ = unpaired_ || state->unpaired;
    if (state->site >= 0 && state->held != Held::no) {
      take(use, index, static_cast<std::size_t>(state->site));
      holding_.guarded = is_guarded(use.text->routine, effects, *at);
      const auto now = effects.find(static_cast<std::uint32_t>(*at));
      holding_.again = now != effects.end() && takes(now->second);
    } else if (state->held == Held::no && has_block(use)) {
      take_block(use, index);  // open, and released in its body
    }
    state_ = *state;
    state_.site = -1;
  }

  bool known() const { return known_; }
  Holding result() {
    holding_.held = state_.held;
    holding_.released = state_.released;
    return holding_;
  }
  bool unpaired() const { return unpaired_; }
  bool releasing() const { return releases_ && !takes_; }

 private:
  bool is(const LockKey& key) const { return key == holding_.key; }
  const Managed* managed(const std::vector<Managed>& all) const {
    const auto at = std::ranges::find_if(all, [&](const Managed& one) { return is(one.key); });
    return at == all.end() ? nullptr : &*at;
  }
  const OpenWith* block(const FrameUse& use) const {
    const auto at = std::ranges::find_if(
        use.withs, [&](const OpenWith& one) { return managed(one.managed) != nullptr; });
    return at == use.withs.end() ? nullptr : &*at;
  }
  bool has_block(const FrameUse& use) const { return block(use) != nullptr; }

  Effects effects_of(const FrameUse& use) const {
    Effects effects;
    bool own = false;
    for (const OpenWith& with : use.withs) {
      const Managed* one = managed(with.managed);
      if (one == nullptr || !with.entry) continue;
      const auto kind = one->held == Held::yes ? Effect::Kind::acquire : Effect::Kind::try_acquire;
      effects.emplace(static_cast<std::uint32_t>(*with.entry), Effect{kind});
      own = true;
    }
    for (const Touch& touch : use.touches) {
      if (is(touch.key)) effects.emplace(touch.at, touch.effect);
      own = own || is(touch.key);
    }
    if (!own && state_.held == Held::no) return {};
    for (const Touch& touch : use.touches) {
      if (touch.key.at.value == 0) effects.emplace(touch.at, touch.effect);
    }
    return effects;
  }

  void note_release(const Effects& effects) {
    for (const auto& [at, effect] : effects) {
      takes_ = takes_ || takes(effect);
      releases_ = releases_ || effect.kind == Effect::Kind::release;
    }
  }

  // Its code could not be read: the open block alone speaks.
  void trust_blocks(const FrameUse& use, std::size_t index) {
    if (!has_block(use)) return;
    take_block(use, index);
    const auto& names = use.text->names;
    if (state_.held == Held::yes && std::ranges::find(names, "release") != names.end())
      state_.held = Held::maybe;
  }

  // The frame is the __exit__ of a block that held it when it began.
  void leave(const FrameUse& use, std::size_t index) {
    const Managed* one = managed(use.leaving);
    if (one == nullptr || state_.held != Held::no) return;
    holding_.frame = index;
    holding_.how = Holding::How::leaving;
    holding_.recorded = false;
    holding_.way = one->way;
    holding_.line.reset();
    known_ = true;
    state_.held = one->held;
    takes_ = true;
  }

  void take_block(const FrameUse& use, std::size_t index) {
    const OpenWith& with = *block(use);
    const Managed& one = *managed(with.managed);
    holding_.frame = index;
    holding_.how = Holding::How::with_block;
    holding_.recorded = one.recorded;
    holding_.way = one.way;
    holding_.line = with.entry ? line_of(use, *with.entry) : std::nullopt;
    known_ = true;
    state_.held = one.held;
  }

  // An open block is the better witness, also of what was put on its ExitStack since it began.
  void take(const FrameUse& use, std::size_t index, std::size_t site) {
    if (has_block(use)) {
      take_block(use, index);
      holding_.line = line_of(use, site);
      return;
    }
    const auto touch = std::ranges::find_if(
        use.touches, [&](const Touch& one) { return one.at == site && is(one.key); });
    if (touch == use.touches.end()) return;
    holding_.frame = index;
    holding_.how = Holding::How::call;
    holding_.recorded = false;
    holding_.way = touch->text;
    holding_.line = line_of(use, site);
    known_ = true;
  }

  std::optional<std::uint32_t> line_of(const FrameUse& use, std::size_t instruction) const {
    const std::uint32_t line =
        line_at(layout_, *use.frame.code, use.text->routine.instructions[instruction].offset);
    return line > 0 ? std::optional(line) : std::nullopt;
  }

  const Layout& layout_;
  Holding holding_;
  LockState state_;
  bool known_ = false, unpaired_ = false, takes_ = false, releases_ = false;
};

}  // namespace

ChainUse follow_chain(const Layout& layout, const std::vector<FrameUse>& chain) {
  std::set<LockKey> keys;
  for (const FrameUse& use : chain) {
    for (const Touch& touch : use.touches) {
      if (touch.key.at.value != 0) keys.insert(touch.key);
    }
    for (const OpenWith& with : use.withs) {
      for (const Managed& one : with.managed) keys.insert(one.key);
    }
    for (const Managed& one : use.leaving) keys.insert(one.key);
  }
  ChainUse found;
  for (const LockKey& key : keys) {
    LockWalk walk(layout, key);
    for (std::size_t i = chain.size(); i-- > 0;) {
      if (chain[i].touches_any()) walk.step(chain[i], i);
    }
    if (walk.known()) found.holdings.push_back(walk.result());
    if (walk.unpaired()) found.unpaired.push_back(key);
    if (walk.releasing()) found.releasing.push_back(key);
  }
  return found;
}

}  // namespace coldcase::cpython
