// Which thread of the core an address on a C stack belongs to. To 3.12 a thread state keeps the
// numbers of the thread that made it: where its frames really ran is told by the stack they are on.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "lens/view.hpp"

namespace coldcase::cpython {

class ThreadStacks {
 public:
  explicit ThreadStacks(const View& view);

  // The thread on whose stack, between its stack pointer and its outer end, this address lies.
  std::optional<std::size_t> find(Addr at) const;
  // The thread whose stack refers to these addresses most often; none when two are alike.
  std::optional<std::size_t> find_referring(const std::set<std::uint64_t>& addresses) const;

 private:
  struct Stack {
    Range live;
    std::size_t thread = 0;
  };
  const View& view_;
  std::vector<Stack> stacks_;  // by address
};

}  // namespace coldcase::cpython
