// Which of the core's threads runs each thread state, and which of several states of one thread is
// the innermost.
#include <algorithm>
#include <map>

#include "lens/cpython/runtime.hpp"
#include "lens/cpython/thread_stacks.hpp"

namespace coldcase::cpython {
namespace {

std::set<std::uint64_t> addresses_of(const PyThread& state) {
  std::set<std::uint64_t> addresses{state.at.value};
  for (const auto& run : state.runs) {
    for (const PythonFrame& frame : run) addresses.insert(frame.at.value);
  }
  return addresses;
}

std::size_t count_frames(const PyThread& state) {
  std::size_t count = 0;
  for (const auto& run : state.runs) count += run.size();
  return count;
}

}  // namespace

// By what lies on C stacks: from 3.10 on each native call of the evaluation function leaves
// something there. To 3.9 the words that refer to the state and its frames are counted; with one
// interpreter the numbers can be believed.
void Python::assign_threads(const View& view) {
  const ThreadStacks stacks(view);
  for (Interpreter& interpreter : runtime.interpreters) {
    for (PyThread& state : interpreter.threads) {
      std::optional<std::size_t> owner;
      if (!state.anchors.empty()) {
        owner = stacks.find(state.anchors.front());
      } else if (!state.runs.empty() && (runtime.interpreters.size() > 1 || !state.core_thread)) {
        owner = stacks.find_referring(addresses_of(state));
      }
      if (owner) state.core_thread = owner;
    }
  }
}

// A sub-interpreter called from Python runs inside its caller's frames, on the same stack.
void Python::order_states() {
  if (runtime.interpreters.size() < 2) return;
  std::map<std::size_t, std::vector<PyThread*>> by_thread;
  for (Interpreter& interpreter : runtime.interpreters) {
    for (PyThread& state : interpreter.threads) {
      if (state.core_thread && !state.runs.empty()) by_thread[*state.core_thread].push_back(&state);
    }
  }
  for (auto& [thread, states] : by_thread) {
    const bool anchored =
        std::ranges::none_of(states, [](const PyThread* state) { return state->anchors.empty(); });
    // Without anchors: an interpreter made later stands earlier in the list, and runs inside.
    if (anchored) {
      std::ranges::stable_sort(states, {},
                               [](const PyThread* state) { return state->anchors.front(); });
    }
    std::size_t inside = 0;
    for (PyThread* state : states) {
      state->inner_frames = inside;
      state->outer = state != states.front();
      inside += count_frames(*state);
    }
  }
}

}  // namespace coldcase::cpython
