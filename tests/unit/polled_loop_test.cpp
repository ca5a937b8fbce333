// Loops that poll memory, and loops that look like it: a few instructions each, worked through from
// where the thread stands. The sample's stack stands for the data: the threads' own is elsewhere.
#include "holders/polled_loop.hpp"

#include "holders/machine.hpp"

#include "support/catch.hpp"
#include "support/code_sample.hpp"

namespace coldcase::test {
namespace {

constexpr std::uint64_t data = CodeSample::stack;

struct Loop : CodeSample {
  Registers registers;

  Loop() {
    registers.words[Registers::rip] = text;
    registers.words[Registers::rsp] = 0x9000;
    registers.words[Registers::rbx] = data;
  }
  std::optional<PolledLoop> find() {
    Code code(view());
    return find_polled_loop(code, view(), registers);
  }
};

TEST_CASE("a loop that loads and compares a word", "[holders]") {
  Loop loop;
  loop.code({0x0f, 0xb6, 0x03})  // movzbl (%rbx),%eax
      .code({0x84, 0xc0})        // test %al,%al
      .code({0x74, 0xf9});       // je to the first
  SECTION("as long as it is not set") {
    const auto found = loop.find();
    REQUIRE(found);
    REQUIRE(found->words.size() == 1);
    CHECK(found->words[0].address == Addr{data});
    CHECK(found->words[0].size == 1);
    CHECK_FALSE(found->words[0].exchanged);
    CHECK(found->instructions == 3);
    CHECK(found->callers == 0);
  }
  SECTION("from its middle") {
    loop.registers.words[Registers::rip] = Loop::text + 5;
    loop.registers.words[Registers::eflags] = 0x40;  // ZF
    CHECK(loop.find());
  }
  SECTION("the flags say that it has just been set") {
    loop.registers.words[Registers::rip] = Loop::text + 5;
    CHECK_FALSE(loop.find());
  }
  SECTION("it is set") {
    loop.stack_word(0, 1);
    CHECK_FALSE(loop.find());
  }
  SECTION("the page is not in the core") {
    loop.registers.words[Registers::rbx] = 0xdead0000;
    CHECK_FALSE(loop.find());
  }
}

TEST_CASE("a loop that counts comes to its end", "[holders]") {
  Loop loop;
  loop.registers.words[Registers::rcx] = ~std::uint64_t{0};
  SECTION("down") {
    loop.code({0x80, 0x3b, 0x00})  // cmpb $0,(%rbx)
        .code({0x75, 0x05})        // jne out
        .code({0x48, 0xff, 0xc9})  // dec %rcx
        .code({0x75, 0xf6});       // jne to the first
  }
  SECTION("in memory") {
    loop.code({0x48, 0xff, 0x43, 0x08})  // incq 8(%rbx)
        .code({0x80, 0x3b, 0x00})        // cmpb $0,(%rbx)
        .code({0x74, 0xf7});             // je to the first
  }
  CHECK_FALSE(loop.find());
}

TEST_CASE("a loop whose work is not known in full is no polling", "[holders]") {
  Loop loop;
  SECTION("fractions are added up") {
    loop.code({0xf2, 0x0f, 0x58, 0xc1});  // addsd %xmm1,%xmm0
  }
  SECTION("a clock is read") {
    loop.code({0x0f, 0x31});  // rdtsc
  }
  SECTION("the kernel is called") {
    loop.code({0x0f, 0x05});  // syscall
  }
  SECTION("a product is made") {
    loop.code({0x48, 0x6b, 0xc0, 0x07});  // imul $7,%rax,%rax
  }
  SECTION("memory is filled") {
    loop.code({0xf3, 0x48, 0xab});  // rep stos %rax,(%rdi)
  }
  const auto back = static_cast<unsigned>(0x100 - (loop.end() - Loop::text + 5));
  loop.code({0x80, 0x3b, 0x00}).code({0x74, back});  // cmpb $0,(%rbx); je to the first
  CHECK_FALSE(loop.find());
}

TEST_CASE("test and set of a lock that is taken", "[holders]") {
  Loop loop;
  loop.stack_word(16, 1);
  SECTION("by an exchange") {
    loop.code({0xb8, 1, 0, 0, 0})  // mov $1,%eax
        .code({0x87, 0x43, 0x10})  // xchg %eax,16(%rbx)
        .code({0x85, 0xc0})        // test %eax,%eax
        .code({0x75, 0xf4});       // jne to the first
  }
  SECTION("by a comparison with 0") {
    loop.code({0xba, 1, 0, 0, 0})              // mov $1,%edx
        .code({0x31, 0xc0})                    // xor %eax,%eax
        .code({0xf0, 0x0f, 0xb1, 0x53, 0x10})  // lock cmpxchg %edx,16(%rbx)
        .code({0xf3, 0x90})                    // pause
        .code({0x75, 0xf0});                   // jne to the first
  }
  const auto found = loop.find();
  REQUIRE(found);
  REQUIRE(found->words.size() == 1);
  CHECK(found->words[0].address == Addr{data + 16});
  CHECK(found->words[0].exchanged);
  CHECK(found->words[0].value == 1);
}

TEST_CASE("a word behind a pointer", "[holders]") {
  Loop loop;
  loop.stack_word(8, data + 24);
  loop.code({0x48, 0x8b, 0x43, 0x08})  // mov 8(%rbx),%rax
      .code({0x83, 0x38, 0x00})        // cmpl $0,(%rax)
      .code({0x74, 0xf7});             // je to the first
  const auto found = loop.find();
  REQUIRE(found);
  REQUIRE(found->words.size() == 1);
  CHECK(found->words[0].address == Addr{data + 24});
}

TEST_CASE("two words, either of which would end it", "[holders]") {
  Loop loop;
  loop.code({0x83, 0x3b, 0x00})        // cmpl $0,(%rbx)
      .code({0x75, 0x06})              // jne out
      .code({0x83, 0x7b, 0x08, 0x00})  // cmpl $0,8(%rbx)
      .code({0x74, 0xf5});             // je to the first
  const auto found = loop.find();
  REQUIRE(found);
  CHECK(found->words.size() == 2);
}

TEST_CASE("a loop around a call, from inside the called function", "[holders]") {
  Loop loop;
  loop.code({0xe8, 4, 0, 0, 0})         // call the function
      .code({0x84, 0xc0})               // test %al,%al
      .code({0x74, 0xf7})               // je to the call
      .code({0x8a, 0x03})               // the function: mov (%rbx),%al
      .code({0xc3});                    // ret
  loop.stack_word(56, Loop::text + 5);  // the return address
  loop.registers.words[Registers::rip] = Loop::text + 9;
  loop.registers.words[Registers::rsp] = data + 56;
  const auto found = loop.find();
  REQUIRE(found);
  CHECK(found->callers == 1);
  REQUIRE(found->words.size() == 1);
  CHECK(found->words[0].address == Addr{data});
}

TEST_CASE("an endless loop that reads nothing polls nothing", "[holders]") {
  Loop loop;
  loop.code({0xeb, 0xfe});  // jmp to itself
  const auto found = loop.find();
  REQUIRE(found);
  CHECK(found->words.empty());
}

TEST_CASE("what the code ahead stores to a watched word", "[holders]") {
  CodeSample sample;
  Context frame;
  frame.set(dw_rbx, data);
  frame.set(dw_rsp, 0x9000);
  const auto run = [&] {
    Code code(sample.view());
    return run_ahead(code, sample.view().image, CodeSample::text, frame, {{data, 1, 0}});
  };
  SECTION("on every way") {
    sample.code({0xc6, 0x03, 0x01}).code({0xc3});  // movb $1,(%rbx); ret
    const CleanupRun ahead = run();
    REQUIRE(ahead.stores.size() == 1);
    CHECK(ahead.stores[0].always);
    CHECK(ahead.stores[0].at == CodeSample::text);
  }
  SECTION("on one of two") {
    sample.code({0x85, 0xc0}).code({0x74, 0x03});  // test %eax,%eax; je over the next
    sample.code({0xc6, 0x03, 0x01}).code({0xc3});
    const CleanupRun ahead = run();
    REQUIRE(ahead.stores.size() == 1);
    CHECK_FALSE(ahead.stores[0].always);
  }
  SECTION("what it holds anyway changes nothing") {
    sample.code({0xc6, 0x03, 0x00}).code({0xc3});
    CHECK(run().stores.empty());
  }
  SECTION("another word") {
    sample.code({0xc6, 0x43, 0x08, 0x01}).code({0xc3});
    CHECK(run().stores.empty());
  }
}

}  // namespace
}  // namespace coldcase::test
