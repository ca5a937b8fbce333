// The parts of the holders stage that are pure: instructions as values, the exception tables, the
// evaluator of cleanups and the flow around a call, on bytes written by hand.
#include <map>

#include "holders/exception_table.hpp"
#include "holders/flow.hpp"
#include "holders/machine.hpp"
#include "support/catch.hpp"
#include "support/code_sample.hpp"
#include "support/exception_tables.hpp"

namespace coldcase::test {
namespace {

TEST_CASE("instructions become small values", "[holders]") {
  const Disassembler disassembler;
  const auto decode = [&](std::initializer_list<unsigned> bytes) {
    const Blob code = blob_of(bytes);
    return disassembler.decode(code, 0x1000).value();
  };
  const Instruction lea = decode({0x48, 0x8d, 0x3d, 0x10, 0, 0, 0});  // lea 0x10(%rip),%rdi
  CHECK(lea.opcode == Opcode::address);
  CHECK(lea.first().reg == dw_rdi);
  CHECK(lea.second().base == -1);
  CHECK(lea.second().number == 0x1017);
  const Instruction slot = decode({0x48, 0x8b, 0x7c, 0x24, 0x08});  // mov 0x8(%rsp),%rdi
  CHECK(slot.opcode == Opcode::move);
  CHECK(slot.second().base == dw_rsp);
  CHECK(slot.second().number == 8);
  CHECK((slot.written & 1u << dw_rdi) != 0);
  const Instruction call = decode({0xe8, 0xfb, 0xff, 0xff, 0xff});
  CHECK(call.opcode == Opcode::call);
  CHECK(call.target() == 0x1000);
  const Instruction indirect = decode({0xff, 0x15, 0x02, 0, 0, 0});  // call *0x2(%rip)
  CHECK_FALSE(indirect.target());
  CHECK(indirect.first().number == 0x1008);
  const Instruction swap = decode({0x86, 0x1d, 0, 0, 0, 0});  // xchg %bl,0(%rip)
  CHECK(swap.opcode == Opcode::exchange);
  CHECK(swap.locked);
  const Instruction counted = decode({0xf0, 0x48, 0xff, 0x0f});  // lock decq (%rdi)
  CHECK(counted.locked);
  const Instruction thread = decode({0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0});
  CHECK(thread.second().segment);  // %fs:0x28
  CHECK(thread.second().fs);
  CHECK(decode({0xf3, 0x0f, 0x1e, 0xfa}).opcode == Opcode::idle);  // endbr64
  const Instruction less = decode({0x48, 0x83, 0xf8, 0xff});       // cmp $-1,%rax
  CHECK(less.second().number == ~std::uint64_t{0});
  CHECK(less.second().size == 8);
  CHECK_FALSE(disassembler.decode(blob_of({0x06}), 0));
  CHECK_FALSE(disassembler.decode({}, 0));
}

TEST_CASE("the LSDA pointer of a frame entry", "[holders]") {
  const Tables tables = sample_tables();
  const auto entry = parse_frame_entry(tables.bytes, tables.base, tables.entry);
  REQUIRE(entry);
  CHECK(entry->begin == 0x1000);
  CHECK(entry->end == 0x1080);
  CHECK(entry->lsda == tables.lsda);
  CHECK_FALSE(parse_frame_entry(tables.bytes, tables.base, tables.base));  // the parent itself
  CHECK_FALSE(parse_frame_entry(tables.bytes, tables.base, tables.base - 1));
}

TEST_CASE("the call sites of a function and their cleanups", "[holders]") {
  const Tables tables = sample_tables();
  const auto sites = parse_call_sites(tables.bytes, tables.base, tables.lsda, 0x1000);
  REQUIRE(sites.size() == 3);
  CHECK(sites[0].begin == 0x1010);
  CHECK(sites[0].end == 0x1015);
  CHECK(sites[0].pad == 0);
  CHECK(sites[1].begin == 0x1020);
  CHECK(sites[1].pad == 0x1060);
  CHECK(sites[2].pad == 0x1000 + 300);
}

// A lock at 0x5000 and a guard {0x5000, owns} at the frame's rsp + 8.
struct Cleanup : CodeSample {
  using CodeSample::CodeSample;
  CleanupRun run() {
    Context frame;
    frame.set(dw_rbx, 0x5000);
    frame.set(dw_rsp, stack);
    Code code(view());
    return run_cleanup(code, view().image, text, frame);
  }
};

TEST_CASE("a cleanup that unlocks what a register has", "[holders]") {
  Cleanup sample;
  sample
      .code({0x48, 0x89, 0xc5})  // mov %rax,%rbp
      .code({0x48, 0x89, 0xdf})  // mov %rbx,%rdi
      .call("pthread_rwlock_unlock")
      .code({0x48, 0x89, 0xef})  // mov %rbp,%rdi
      .call("_Unwind_Resume");
  const CleanupRun run = sample.run();
  REQUIRE(run.releases.size() == 1);
  CHECK(run.releases[0].lock == LockClass::rwlock);
  CHECK(run.releases[0].address == 0x5000);
  CHECK(run.releases[0].always);
  CHECK(run.complete);
}

TEST_CASE("a guard that records whether it owns", "[holders]") {
  for (const bool owns : {true, false}) {
    Cleanup sample;
    sample.stack_word(8, 0x5000).stack_word(16, owns ? 1 : 0);
    sample
        .code({0x80, 0x7c, 0x24, 0x10, 0x00})  // cmpb $0,0x10(%rsp)
        .code({0x74, 0x0a})                    // je over the next two
        .code({0x48, 0x8b, 0x7c, 0x24, 0x08})  // mov 0x8(%rsp),%rdi
        .call("pthread_mutex_unlock")
        .call("_Unwind_Resume");
    const CleanupRun run = sample.run();
    CHECK(run.complete);
    REQUIRE(run.releases.size() == (owns ? 1u : 0u));
    if (owns) CHECK(run.releases[0].always);
  }
}

TEST_CASE("a condition that nobody knows makes a release uncertain", "[holders]") {
  Cleanup sample;
  sample
      .code({0x45, 0x85, 0xe4})  // test %r12d,%r12d: not known in this frame
      .code({0x74, 0x08})        // je over the next two
      .code({0x48, 0x89, 0xdf})  // mov %rbx,%rdi
      .call("sem_post")
      .call("_Unwind_Resume");
  const CleanupRun run = sample.run();
  REQUIRE(run.releases.size() == 1);
  CHECK_FALSE(run.releases[0].always);
}

TEST_CASE("which handler was chosen does not weaken the cleanup", "[holders]") {
  Cleanup sample;
  sample
      .code({0x48, 0x83, 0xfa, 0x01})  // cmp $1,%rdx
      .code({0x75, 0x05})              // jne over the handler
      .call("__cxa_begin_catch")
      .code({0x48, 0x89, 0xdf})
      .call("pthread_mutex_unlock")
      .call("_Unwind_Resume");
  const CleanupRun run = sample.run();
  REQUIRE(run.releases.size() == 1);
  CHECK(run.releases[0].always);
}

TEST_CASE("a lock that the cleanup takes itself is not the frame's", "[holders]") {
  Cleanup sample;
  for (const char* name : {"pthread_mutex_lock", "pthread_mutex_unlock"})
    sample.code({0x48, 0x89, 0xdf}).call(name);
  sample.call("_Unwind_Resume");
  CHECK(sample.run().releases.empty());
}

TEST_CASE("a lock word is released by an exchange with zero", "[holders]") {
  Cleanup sample;
  sample
      .code({0x31, 0xc0})  // xor %eax,%eax
      .code({0x87, 0x03})  // xchg %eax,(%rbx)
      .call("_Unwind_Resume");
  const CleanupRun run = sample.run();
  REQUIRE(run.releases.size() == 1);
  CHECK(run.releases[0].lock == LockClass::word);
  CHECK(run.releases[0].address == 0x5000);
}

TEST_CASE("a cleanup that loops for ever ends", "[holders]") {
  Cleanup sample;
  sample.code({0xeb, 0xfe});  // jmp to itself
  CHECK_FALSE(sample.run().complete);
}

TEST_CASE("a destructor in the same module is followed", "[holders]") {
  Cleanup sample;
  sample
      .code({0x48, 0x8d, 0x7c, 0x24, 0x08})  // lea 0x8(%rsp),%rdi
      .code({0xe8, 0x05, 0, 0, 0})           // call the destructor below
      .call("_Unwind_Resume")
      .code({0x48, 0x8b, 0x3f})        // mov (%rdi),%rdi
      .code({0x48, 0x83, 0xec, 0x08})  // sub $8,%rsp
      .call("pthread_mutex_unlock")
      .code({0x48, 0x83, 0xc4, 0x08, 0xc3});  // add $8,%rsp; ret
  sample.stack_word(8, 0x5000);
  const CleanupRun run = sample.run();
  REQUIRE(run.releases.size() == 1);
  CHECK(run.releases[0].address == 0x5000);
  CHECK(run.releases[0].always);
}

// What is known of the lock 0x5000 at the call of "work".
struct Flowing : CodeSample {
  FlowState at_work(LockClass lock = LockClass::rwlock) {
    Context frame;
    frame.set(dw_rbx, 0x5000);
    frame.set(dw_rsp, stack);
    Code code(view());
    const Flow flow(code, {text, end()});
    const Flow::Memory memory = [](std::uint64_t) { return std::nullopt; };
    return flow.state_at({after_call_of("work"), true, lock, 0x5000, frame, memory, code.work()});
  }
  Flowing& argument() {
    code({0x48, 0x89, 0xdf});  // mov %rbx,%rdi
    return *this;
  }
};

TEST_CASE("a call between lock and unlock", "[holders]") {
  Flowing sample;
  sample.argument().call("pthread_rwlock_rdlock").call("work");
  sample.argument().call("pthread_rwlock_unlock").code({0xc3});
  const FlowState state = sample.at_work();
  CHECK(state.surely());
  CHECK(state.released_after);
}

TEST_CASE("a call after the unlock", "[holders]") {
  Flowing sample;
  sample.argument().call("pthread_rwlock_rdlock");
  sample.argument().call("pthread_rwlock_unlock").call("work").code({0xc3});
  const FlowState state = sample.at_work();
  CHECK_FALSE(state.held);
  CHECK(state.surely_not());
}

TEST_CASE("a conditional unlock leaves it open", "[holders]") {
  Flowing sample;
  sample.argument().call("pthread_rwlock_rdlock");
  sample.code({0x85, 0xed, 0x74, 0x08});  // test %ebp,%ebp; je over the unlock
  sample.argument().call("pthread_rwlock_unlock").call("work").code({0xc3});
  const FlowState state = sample.at_work();
  CHECK(state.held);
  CHECK(state.free);
  CHECK_FALSE(state.surely());
}

TEST_CASE("code that was moved behind the unlock is still inside", "[holders]") {
  Flowing sample;
  sample.argument().call("pthread_rwlock_rdlock");
  sample.code({0x85, 0xed, 0x75, 0x09});  // test %ebp,%ebp; jne to the call of work
  sample.argument().call("pthread_rwlock_unlock").code({0xc3}).call("work").code({0xc3});
  CHECK(sample.at_work().surely());
}

TEST_CASE("a register that was set anew since tells no lock", "[holders]") {
  Flowing sample;
  sample.argument().call("pthread_rwlock_rdlock");
  sample.code({0x48, 0x89, 0xc3});  // mov %rax,%rbx
  sample.call("work").code({0xc3});
  const FlowState state = sample.at_work();
  CHECK_FALSE(state.held);
  CHECK(state.held_unknown);
}

// jmp *%rax after the lock: where it leads is not known, and the file says how far to look.
TEST_CASE("a range that the file made up ends the search at the code's end", "[holders]") {
  Flowing sample;
  sample.argument().call("pthread_rwlock_rdlock").call("work").code({0xff, 0xe0});
  Code code(sample.view());
  const Flow flow(code, {CodeSample::text, ~std::uint64_t{0}});
  CHECK(flow.size() < 0x1000);
  Context frame;
  frame.set(dw_rbx, 0x5000);
  const Flow::Memory memory = [](std::uint64_t) { return std::nullopt; };
  const FlowState state = flow.state_at(
      {sample.after_call_of("work"), true, LockClass::rwlock, 0x5000, frame, memory, code.work()});
  CHECK_FALSE(state.reached);
}

TEST_CASE("when the work is done nothing is said of a function", "[holders]") {
  Flowing sample;
  sample.argument().call("pthread_rwlock_rdlock").call("work").code({0xc3});
  Code code(sample.view());
  const Flow flow(code, {CodeSample::text, sample.end()});
  Context frame;
  frame.set(dw_rbx, 0x5000);
  const Flow::Memory memory = [](std::uint64_t) { return std::nullopt; };
  const Flow::Asked asked{
      sample.after_call_of("work"), true, LockClass::rwlock, 0x5000, frame, memory, code.work()};
  CHECK(flow.state_at(asked).surely());
  code.work().add(Work::most);
  CHECK(code.work().spent());
  CHECK_FALSE(flow.state_at(asked).held);
  CHECK_FALSE(run_cleanup(code, sample.view().image, CodeSample::text, frame).complete);
}

// Each jump through a table may lead to each place that a jump leads to: one hub between, or the
// ways are as many as the square of their number.
TEST_CASE("many jumps through tables are gone through once", "[holders]") {
  Flowing sample;
  sample.argument().call("pthread_rwlock_rdlock");
  for (int i = 0; i < 400; ++i) sample.code({0x74, 0x02, 0xff, 0xe0});  // je over; jmp *%rax
  sample.call("work").code({0xc3});
  CHECK(sample.at_work().surely());
}

TEST_CASE("names of functions and what they do to a lock", "[holders]") {
  CHECK(role_of("pthread_mutex_unlock@GLIBC_2.2.5").act == Role::Act::release);
  CHECK(role_of("__pthread_rwlock_rdlock").read);
  CHECK(role_of("pthread_mutex_trylock").act == Role::Act::none);
  CHECK(role_of("_ZN4absl5Mutex6UnlockEv").lock == LockClass::any);
  CHECK(role_of("_ZSt20__throw_system_errori").act == Role::Act::ends);
  CHECK(role_of("_ZN3app6unlockXEv").act == Role::Act::none);
  CHECK(role_of("").act == Role::Act::none);
}

}  // namespace
}  // namespace coldcase::test
