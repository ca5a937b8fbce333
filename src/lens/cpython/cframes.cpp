#include "lens/cpython/cframes.hpp"

#include <algorithm>
#include <utility>

#include "image/walk.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_calls = 100'000;
constexpr std::uint64_t most_of_a_state = 4096;
constexpr std::uint64_t nearby = 16 * 1024;  // how far the next call outside is looked for

// Steps that one walk may take. What is tried on a stack may lead anywhere: all tries share theirs.
struct Budget {
  std::size_t left = most_calls;
};

struct Chain {
  std::vector<Addr> cframes;
  bool whole = false;  // it ends in the thread state, whose own CFrame is of no call
};

// The thread state's own CFrame, behind the pointer to the innermost one.
bool is_root(const Layout& layout, Addr thread_state, Addr at) {
  const std::uint64_t offset = at.value - thread_state.value;
  return offset > static_cast<std::uint64_t>(layout.ts_cframe) && offset < most_of_a_state;
}

Chain read_chain(const MemoryImage& image, const Layout& layout, Addr thread_state, Addr head,
                 Budget& budget) {
  Chain chain;
  const auto next = [&](Addr at) {
    return image.read_pointer(offset_by(at, layout.cframe_previous));
  };
  const WalkEnd end = walk_list(head, budget.left, next, [&](Addr at) {
    chain.whole = is_root(layout, thread_state, at);
    if (!chain.whole) chain.cframes.push_back(at);
    return !chain.whole;
  });
  budget.left -= std::min(budget.left, end.visited);
  return chain;
}

// A frame that is run leads to the one that the call outside was running.
bool runs_a_frame(const MemoryImage& image, const Layout& layout, const std::vector<Addr>& chain,
                  Budget& budget) {
  if (layout.cframe_current_frame < 0 || chain.size() < 2) return true;
  const Addr outer = frame_of(image, layout, chain[1]);
  if (outer.value == 0) return true;
  bool leads = false;
  const auto next = [&](Addr at) { return image.read_pointer(offset_by(at, layout.frame_back)); };
  const Addr inner = frame_of(image, layout, chain[0]);
  const WalkEnd end = walk_list(inner, budget.left, next, [&](Addr at) {
    leads = at == outer;
    return !leads;
  });
  budget.left -= std::min(budget.left, end.visited);
  return leads;
}

// The call outside the one whose CFrame is not filled yet lies above it on the same stack.
std::vector<Addr> find_outside(const MemoryImage& image, const Layout& layout, Addr thread_state,
                               Addr inner) {
  Budget budget;
  for (std::uint64_t offset = 8; offset < nearby && budget.left > 0; offset += 8) {
    const Addr at{inner.value + offset};
    const auto previous = image.read_pointer(offset_by(at, layout.cframe_previous));
    if (!previous) return {};
    const bool upward = previous->value > at.value && previous->value - at.value < (1U << 20U);
    if (!upward && !is_root(layout, thread_state, *previous)) continue;
    Chain chain = read_chain(image, layout, thread_state, at, budget);
    const bool runs = frame_of(image, layout, at).value != 0;
    if (chain.whole && runs && runs_a_frame(image, layout, chain.cframes, budget))
      return std::move(chain.cframes);
  }
  return {};
}

}  // namespace

Addr frame_of(const MemoryImage& image, const Layout& layout, Addr cframe) {
  if (layout.cframe_current_frame < 0) return {};
  return image.read_pointer(offset_by(cframe, layout.cframe_current_frame)).value_or(Addr{});
}

std::vector<Addr> read_cframes(const MemoryImage& image, const Layout& layout, Addr thread_state) {
  const Addr head = image.read_pointer(offset_by(thread_state, layout.ts_cframe)).value_or(Addr{});
  Budget budget;
  Chain chain = read_chain(image, layout, thread_state, head, budget);
  if (layout.cframe_current_frame < 0) return std::move(chain.cframes);  // 3.10
  if (!chain.whole) {
    auto outside = find_outside(image, layout, thread_state, head);
    return outside.empty() ? std::move(chain.cframes) : std::move(outside);
  }
  budget = {};
  if (!runs_a_frame(image, layout, chain.cframes, budget))
    chain.cframes.erase(chain.cframes.begin());
  return std::move(chain.cframes);
}

}  // namespace coldcase::cpython
