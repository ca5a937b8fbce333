// Calls of the evaluation function by CPython 3.11's and 3.12's chain of CFrames, also where the
// innermost has been pushed and not filled yet.
#include "lens/cpython/cframes.hpp"
#include "support/catch.hpp"
#include "support/python_heap.hpp"

namespace coldcase::cpython {
namespace {

// Three calls on one stack, each running one frame; the frames lead outward.
struct Calls {
  test::PythonHeap heap;
  std::uint64_t state, root, stack, frames[3];

  explicit Calls(int minor)
      : heap(minor), state(heap.room(0x2000)), root(state + 0x150), stack(heap.room(0x1000)) {
    for (auto& frame : frames) frame = heap.room(0x80);
    const std::uint64_t outward[] = {cframe(1), cframe(2), root};
    for (std::size_t i = 0; i < 3; ++i) {
      const std::uint64_t outer = i + 1 < 3 ? frames[i + 1] : 0;
      heap.put(frames[i], heap.layout().frame_back, outer);
      fill(cframe(i), frames[i], outward[i]);
    }
    fill(root, 0, 0);
    heap.put(state, heap.layout().ts_cframe, cframe(0));
  }

  std::uint64_t cframe(std::size_t i) const { return stack + 0x100 + 0x200 * i; }
  void fill(std::uint64_t at, std::uint64_t frame, std::uint64_t previous) {
    heap.put(at, heap.layout().cframe_current_frame, frame);
    heap.put(at, heap.layout().cframe_previous, previous);
  }
  std::vector<Addr> read() {
    return read_cframes(heap.objects().image(), heap.layout(), Addr{state});
  }
  std::vector<Addr> from(std::size_t first) const {
    std::vector<Addr> all;
    for (std::size_t i = first; i < 3; ++i) all.push_back(Addr{cframe(i)});
    return all;
  }
};

TEST_CASE("a chain of CFrames ends in the thread state", "[cpython]") {
  Calls calls(GENERATE(11, 12));
  CHECK(calls.read() == calls.from(0));
}

TEST_CASE("a call that has pushed its CFrame and not its frame runs none yet", "[cpython]") {
  Calls calls(GENERATE(11, 12));
  const std::uint64_t stale = calls.heap.room(0x80);
  calls.fill(calls.cframe(0), stale, calls.cframe(1));
  CHECK(calls.read() == calls.from(1));
  calls.fill(calls.cframe(0), 0x4242, calls.cframe(1));
  CHECK(calls.read() == calls.from(1));
}

TEST_CASE("behind a CFrame that leads nowhere lies the next on the stack", "[cpython]") {
  Calls calls(GENERATE(11, 12));
  const std::uint64_t stale = GENERATE(std::uint64_t{0}, std::uint64_t{0x4242}, ~std::uint64_t{0});
  calls.fill(calls.cframe(0), stale, stale);
  // What else lies between: the thread state, which every function keeps, and stale pointers.
  calls.heap.put(calls.cframe(0), 0x40, calls.state);
  calls.heap.put(calls.cframe(0), 0x48, calls.frames[1]);
  calls.heap.put(calls.cframe(0), 0x50, calls.state);
  calls.heap.put(calls.cframe(0), 0x68, calls.cframe(2) + 0x80);
  CHECK(calls.read() == calls.from(1));
}

TEST_CASE("CFrames that lead round in a circle come to an end", "[cpython]") {
  Calls calls(GENERATE(11, 12));
  calls.fill(calls.cframe(2), calls.frames[2], calls.cframe(0));
  CHECK(calls.read().size() <= 3);
}

TEST_CASE("a stack full of chains that lead upwards and nowhere is left in time", "[cpython]") {
  Calls calls(11);
  calls.fill(calls.cframe(0), 0, ~std::uint64_t{0});
  for (std::uint64_t at = calls.cframe(0) + 0x20; at < calls.stack + 0xf00; at += 8)
    calls.heap.put(at, 0, at + 8);  // whatever is taken for a CFrame leads to the next word
  CHECK(calls.read().size() <= 2);
}

}  // namespace
}  // namespace coldcase::cpython
