// The stacks people see: where interpreted runs stand among native frames, deep recursion folded,
// and walks through code without unwind tables.
#include "lens/stacks.hpp"

#include "lens/fold.hpp"
#include "modules/plt.hpp"
#include "support/catch.hpp"
#include "support/code_sample.hpp"

namespace coldcase {
namespace {

using namespace test;
using Frames = std::vector<std::uint32_t>;

// ---- runs of an interpreter among native frames

// One thread whose native frames have these names, innermost first, each 16 bytes of stack.
class OneThread {
 public:
  explicit OneThread(const std::vector<std::string>& names) : threads_{Rules(modules_), {}, {}} {
    Walk walk;
    for (const std::string& name : names) {
      const Addr pc{0x1000 + 16 * walk.frames.size()};
      const std::uint32_t row = threads_.rules.row_of(pc, walk.frames.empty());
      walk.frames.push_back({row, Trust::cfi, 0x7000 + 16 * walk.frames.size() + 16});
      CodeName code;
      code.function = code.symbol = name;
      threads_.names.push_back(code);
    }
    threads_.walks.push_back(walk);
    facts.threads.emplace_back();
  }

  // The runs have one frame each: "py0", "py1" ...
  const Stack& build(std::initializer_list<std::uint64_t> anchors) {
    Ledger ledger(facts);
    StackBuilder builder(view_, ledger);
    Interpreted interpreted;
    for (const std::uint64_t anchor : anchors) {
      Frame frame;
      frame.kind = FrameKind::python;
      frame.function = "py" + std::to_string(interpreted.runs.size());
      interpreted.runs.push_back({{builder.add_frame(frame)}, Addr{anchor}});
    }
    map = builder.build(0, ThreadId{0}, interpreted);
    return facts.stacks.back();
  }
  std::string text(const Stack& stack) const {
    std::string text;
    for (const std::uint32_t i : stack.frames) {
      const std::string& name = facts.frames[i].function;
      text += (text.empty() ? "" : " ") + (name == "_PyEval_EvalFrameDefault" ? "eval" : name);
    }
    return text;
  }

  Facts facts;
  StackMap map;

 private:
  Core core_;
  MemoryImage image_;
  Modules modules_;
  Threads threads_;
  const View view_{core_, image_, modules_, threads_, ProcessId{0}};
};

const std::string eval = "_PyEval_EvalFrameDefault";

TEST_CASE("each run stands at the evaluation loop that runs it", "[stacks]") {
  OneThread thread({"wait", eval, "call", eval, "main"});
  const Stack& stack = thread.build({0, 0});
  CHECK(thread.text(stack) == "wait py0 eval call py1 eval main");
  CHECK(stack.merge == Merge::exact);
  CHECK(thread.map.native_at == Frames{0, 2, 3, 5, 6});
  CHECK(thread.map.python_at == Frames{1, 4});
  CHECK(thread.map.run_at == std::vector<std::size_t>{1, 3});
}

TEST_CASE("an innermost evaluation loop that has no frame yet, or no more", "[stacks]") {
  OneThread thread({eval, "call", eval, "main"});
  const Stack& stack = thread.build({0});
  CHECK(thread.text(stack) == "eval call py0 eval main");
  CHECK(stack.merge == Merge::exact);
  CHECK(thread.map.run_at == std::vector<std::size_t>{2});
}

TEST_CASE("one loop more than runs further out is not explained by that", "[stacks]") {
  OneThread thread({"wait", eval, "call", eval, "main"});
  const Stack& stack = thread.build({0});
  CHECK(stack.merge == Merge::unsure);
  CHECK(thread.map.run_at.empty());
}

TEST_CASE("two loops more than runs fit nothing, nor does one run more", "[stacks]") {
  OneThread more({eval, eval, "call", eval});
  CHECK(more.build({0}).merge == Merge::unsure);
  OneThread fewer({"wait", eval, "main"});
  const Stack& stack = fewer.build({0, 0});
  CHECK(stack.merge == Merge::unsure);
  CHECK(fewer.text(stack) == "wait py0 eval main py1");  // told, though where is not known
}

TEST_CASE("anchors place runs where the evaluation loop has no name", "[stacks]") {
  // The frames' memory: 0x7000, 0x7010, 0x7020, 0x7030.
  OneThread thread({"wait", "", "call", ""});
  const Stack& stack = thread.build({0x7018, 0x7038});
  CHECK(stack.merge == Merge::exact);
  CHECK(thread.map.run_at == std::vector<std::size_t>{1, 3});
  OneThread outside({"wait", "", "call", ""});
  CHECK(outside.build({0x7018, 0x9000}).merge == Merge::unsure);
}

// ---- deep recursion

std::vector<Repeat> repeats;
FoldedStack folded(const Frames& frames) {
  repeats.clear();
  return fold_repeats(frames, [](const Repeat& repeat) {
    repeats.push_back(repeat);
    return static_cast<std::uint32_t>(1000 + repeats.size());
  });
}

TEST_CASE("what repeats is told once", "[stacks]") {
  Frames frames{1, 2};
  for (int i = 0; i < 100'000; ++i) frames.push_back(3);
  frames.push_back(4);
  const FoldedStack stack = folded(frames);
  CHECK(stack.frames == Frames{1, 2, 3, 1001, 4});
  CHECK(repeats == std::vector<Repeat>{{99'999, 1}});
  REQUIRE(stack.at.size() == frames.size());
  CHECK(Frames{stack.at[1], stack.at[50'000], stack.at.back()} == Frames{1, 2, 4});
}

TEST_CASE("functions that take turns", "[stacks]") {
  Frames frames{9};
  for (int i = 0; i < 1000; ++i) frames.insert(frames.end(), {1, 2, 2, 3});
  frames.insert(frames.end(), {1, 2, 7});  // not a whole round
  const FoldedStack stack = folded(frames);
  CHECK(stack.frames == Frames{9, 1, 2, 2, 3, 1001, 1, 2, 7});
  CHECK(repeats == std::vector<Repeat>{{999, 4}});
  CHECK(stack.at[1 + 4 * 500 + 3] == 4);
  CHECK(stack.frames.size() - 1 + 999 * 4 == frames.size());
}

TEST_CASE("two recursions in one stack", "[stacks]") {
  Frames frames(300, 1);
  frames.push_back(5);
  frames.insert(frames.end(), 300, 2);
  CHECK(folded(frames).frames == Frames{1, 1001, 5, 2, 1002});
}

TEST_CASE("what is short or does not repeat stays", "[stacks]") {
  CHECK(folded({}).frames.empty());
  CHECK(folded(Frames(100, 1)).frames.empty());
  CHECK(folded(Frames(101, 1)).frames.size() == 2);
  Frames frames;
  for (std::uint32_t i = 0; i < 5000; ++i) frames.push_back(i * 7919 % 4999);
  CHECK(folded(frames).frames.empty());
}

TEST_CASE("a recursion is one line of the stack, and its depth is told", "[stacks]") {
  // Equal frames are those of one pc: a walk that repeats its row.
  OneThread thread({"leaf", "again", "main"});
  const Stack before = thread.build({});
  CHECK(before.depth == 3);
  CHECK(before.frames.size() == 3);
}

// ---- walks without unwind tables

struct Walker {
  CodeSample sample;
  Blob stack = Blob(1024);
  Blob code = Blob(64, std::byte{0x90});
  static constexpr std::uint64_t base = 0x9000, made = 0x20000000;

  Walker& word(std::uint64_t at, std::uint64_t value) {
    patch(stack, at - base, value);
    return *this;
  }
  Walk walk(std::uint64_t rip, std::uint64_t rsp, std::uint64_t rbp) {
    const View& view = sample.view();
    const auto extent = [](std::uint64_t begin, const Blob& bytes) {
      return Extent{{Addr{begin}, Addr{begin + bytes.size()}},
                    Bytes(bytes),
                    Source::core,
                    Absence::not_saved};
    };
    const MemoryImage image({extent(base, stack), extent(made, code)});
    rules.emplace(view.modules);
    Registers registers;
    registers.words[Registers::rip] = rip;
    registers.words[Registers::rsp] = rsp;
    registers.words[Registers::rbp] = rbp;
    Unwinder unwinder(image, *rules);
    contexts.clear();
    Walk walked;
    walked.stop = unwinder.walk(registers, [&](const WalkFrame& frame, const Context& context) {
      walked.frames.push_back(frame);
      contexts.push_back(context);
      return true;
    });
    return walked;
  }
  std::optional<Rules> rules;
  std::vector<Context> contexts;
};

void check_interrupted(const Context& context, std::uint64_t pc) {
  CHECK(context.pc().value == pc);
  CHECK(context.get(dw_rbx) == 0x100 + 11);
  CHECK(context.get(dw_rsp) == 0x9040);
}

TEST_CASE("a signal's trampoline is known by its instructions", "[stacks]") {
  Walker walker;
  const bool wide = GENERATE(false, true);
  walker.sample.code({0x90, 0x90});  // the handler
  const std::uint64_t trampoline = walker.sample.end();
  if (wide)
    walker.sample.code({0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05});
  else
    walker.sample.code({0xb8, 15, 0, 0, 0, 0x0f, 0x05});
  const std::uint64_t interrupted = walker.sample.code({0x90, 0x90, 0x90}).end() - 1;
  // The handler's frame: what rbp was, the trampoline. Then struct ucontext; the interrupted code
  // was on a stack below.
  walker.word(0x9100, 0x8000).word(0x9108, trampoline);
  for (std::uint64_t i = 0; i < 16; ++i) walker.word(0x9110 + 40 + 8 * i, 0x100 + i);
  walker.word(0x9110 + 40 + 8 * 15, 0x9040).word(0x9110 + 40 + 8 * 16, interrupted);
  const Walk walk = walker.walk(CodeSample::text + 1, 0x90f0, 0x9100);
  REQUIRE(walk.frames.size() == 3);
  const Row& row = walker.rules->row(walk.frames[2].row);
  CHECK(walker.rules->row(walk.frames[1].row).signal_frame);
  CHECK(walk.frames[1].trust == Trust::frame_pointer);
  check_interrupted(walker.contexts[2], interrupted);
  CHECK(row.pc == row.lookup);
}

TEST_CASE("a word that follows a call but leads nowhere is not believed", "[stacks]") {
  Walker walker;
  walker.sample.code({0x90, 0x90}).call("wait").code({0x90});
  walker.word(0x9110, walker.sample.after_call_of("wait"));
  const Walk walk = walker.walk(CodeSample::text + 1, 0x9100, 0);
  CHECK(walk.frames.size() == 1);
  CHECK(walk.stop.code == StopCode::no_unwind_info);
}

TEST_CASE("frame pointers lead through code that lies in no file", "[stacks]") {
  Walker walker;
  walker.sample.code({0x90, 0x90}).call("made").code({0x90});
  walker.word(0x9100, 0x9140).word(0x9108, Walker::made + 32);
  walker.word(0x9140, 0x9180).word(0x9148, Walker::made + 48);
  walker.word(0x9180, 0x91c0).word(0x9188, walker.sample.after_call_of("made"));
  const Walk walk = walker.walk(CodeSample::text + 1, 0x90f0, 0x9100);
  REQUIRE(walk.frames.size() >= 3);
  CHECK(walker.contexts[1].pc().value == Walker::made + 32);
  CHECK(walker.contexts[2].pc().value == Walker::made + 48);
  CHECK(walk.frames[2].trust == Trust::frame_pointer);
}

TEST_CASE("frame pointers into what is no memory, or the stack, are not believed", "[stacks]") {
  Walker walker;
  walker.sample.code({0x90, 0x90});
  const std::uint64_t target = GENERATE(0x9200ull, 0x66660000ull, 8ull, ~0ull);
  walker.word(0x9100, 0x9140).word(0x9108, target);
  walker.word(0x9140, 0x9180).word(0x9148, target).word(0x9180, 0x91c0).word(0x9188, target);
  CHECK(walker.walk(CodeSample::text + 1, 0x90f0, 0x9100).frames.size() == 1);
}

TEST_CASE("frame pointers that go in circles end", "[stacks]") {
  Walker walker;
  walker.sample.code({0x90, 0x90}).call("f").code({0x90});
  walker.word(0x9100, 0x9100).word(0x9108, walker.sample.after_call_of("f"));
  CHECK(walker.walk(CodeSample::text + 1, 0x90f0, 0x9100).frames.size() == 1);
}

// ---- stubs

TEST_CASE("no stub where the file has no such section", "[stacks]") {
  CodeSample sample;
  sample.code({0xff, 0x25, 0, 0, 0, 0});
  CHECK(!find_plt_stub(*sample.view().modules.list[0].file, CodeSample::text));
}

}  // namespace
}  // namespace coldcase
