// What the searches of this stage share. Internal to it.
#pragma once

#include <algorithm>
#include <utility>

#include "waits/graph.hpp"

namespace coldcase {

// A wait that time ends is no edge of a deadlock. The GIL's 5 ms sleeps (poll_retry) end nothing.
inline bool endless(const Wait& wait) {
  return wait.ends != Ends::timeout;
}

// The threads of each process, its first in front: a process ends, and acts, with that one.
class Members {
 public:
  explicit Members(const Facts& facts) : threads_(facts.processes.size()) {
    for (std::uint32_t i = 0; i < facts.threads.size(); ++i) {
      const ProcessId process = facts.threads[i].process;
      if (process.known() && process.index < threads_.size())
        threads_[process.index].push_back({i});
    }
    for (std::uint32_t p = 0; p < threads_.size(); ++p) put_main_first(facts, {p});
  }

  const std::vector<ThreadId>& of(ProcessId process) const {
    static const std::vector<ThreadId> none;
    return process.known() && process.index < threads_.size() ? threads_[process.index] : none;
  }
  ThreadId main(ProcessId process) const {
    const auto& all = of(process);
    return all.empty() ? ThreadId{} : all.front();
  }

 private:
  void put_main_first(const Facts& facts, ProcessId process) {
    auto& all = threads_[process.index];
    const auto rank = [&](ThreadId id) {
      const ThreadFact& thread = facts.threads[id.index];
      const bool first = thread.tid && facts.processes[process.index].pid == thread.tid;
      return std::pair{!first, thread.captured ? thread.tid.value_or(INT64_MAX) : INT64_MAX};
    };
    const auto main = std::ranges::min_element(all, {}, rank);
    if (main != all.end() && facts.threads[main->index].captured)
      std::rotate(all.begin(), main, main + 1);
  }

  std::vector<std::vector<ThreadId>> threads_;
};

}  // namespace coldcase
