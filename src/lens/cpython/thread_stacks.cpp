#include "lens/cpython/thread_stacks.hpp"

#include <algorithm>
#include <cstring>

namespace coldcase::cpython {

// A thread's block (fs_base) stands at the outer end of the stack that glibc and musl give it; the
// main thread's stack ends with its mapping.
ThreadStacks::ThreadStacks(const View& view) : view_(view) {
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    const Registers& registers = view.core.threads[i].registers;
    const Addr sp = registers.at(Registers::rsp);
    const Extent* extent = view.image.find(sp);
    if (extent == nullptr) continue;
    Addr end = extent->range.end;
    const Addr block = registers.at(Registers::fs_base);
    if (block > sp && block < end) end = block;
    stacks_.push_back({{sp, end}, i});
  }
  std::ranges::sort(stacks_, {}, [](const Stack& stack) { return stack.live.begin; });
}

std::optional<std::size_t> ThreadStacks::find(Addr at) const {
  const auto after = std::ranges::upper_bound(stacks_, at, {},
                                              [](const Stack& stack) { return stack.live.begin; });
  if (after == stacks_.begin() || !std::prev(after)->live.contains(at)) return std::nullopt;
  return std::prev(after)->thread;
}

std::optional<std::size_t> ThreadStacks::find_referring(
    const std::set<std::uint64_t>& addresses) const {
  constexpr Size most_of_a_stack = 1 << 20;
  std::optional<std::size_t> best;
  std::size_t most = 0;
  for (const Stack& stack : stacks_) {
    const Bytes bytes =
        view_.image.view(stack.live.begin, std::min(stack.live.size(), most_of_a_stack));
    std::size_t count = 0;
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, sizeof word);
      count += addresses.contains(word);
    }
    if (count == most) best.reset();
    if (count <= most) continue;
    best = stack.thread;
    most = count;
  }
  return best;
}

}  // namespace coldcase::cpython
