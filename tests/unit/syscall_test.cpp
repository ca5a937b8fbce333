// Blocked or running, from orig_rax and rax alone: the signatures that cores of both writers show.
#include "lens/glibc/syscall.hpp"

#include "support/catch.hpp"

namespace coldcase {
namespace {

SystemCall parsed(std::int64_t number, std::int64_t result) {
  Registers registers;
  registers.words[Registers::orig_rax] = static_cast<std::uint64_t>(number);
  registers.words[Registers::rax] = static_cast<std::uint64_t>(result);
  return parse_system_call(registers);
}

struct Row {
  std::int64_t result;
  std::int64_t number;
  const char* name;
  CallClass kind;
};

// Each restart code with the calls that were seen with it.
const std::vector<Row> sleepers = {
    {-512, 202, "futex", CallClass::other},
    {-512, 0, "read", CallClass::io},
    {-512, 1, "write", CallClass::io},
    {-512, 45, "recvfrom", CallClass::io},
    {-512, 47, "recvmsg", CallClass::io},
    {-512, 43, "accept", CallClass::io},
    {-512, 288, "accept4", CallClass::io},
    {-512, 61, "wait4", CallClass::child},
    {-512, 247, "waitid", CallClass::child},
    {-512, 73, "flock", CallClass::io},
    {-512, 72, "fcntl", CallClass::io},
    {-512, 449, "futex_waitv", CallClass::other},
    {-513, 202, "futex", CallClass::other},  // FUTEX_LOCK_PI
    {-514, 34, "pause", CallClass::signal},
    {-514, 23, "select", CallClass::io},
    {-514, 270, "pselect6", CallClass::io},
    {-514, 271, "ppoll", CallClass::io},
    {-514, 130, "rt_sigsuspend", CallClass::signal},
    {-514, 70, "msgrcv", CallClass::io},
    {-514, 69, "msgsnd", CallClass::io},
    {-514, 230, "clock_nanosleep", CallClass::sleep},  // TIMER_ABSTIME
    {-516, 7, "poll", CallClass::io},
    {-516, 35, "nanosleep", CallClass::sleep},
    {-516, 230, "clock_nanosleep", CallClass::sleep},
    {-516, 202, "futex", CallClass::other},  // with a timeout
    {-4, 232, "epoll_wait", CallClass::io},
    {-4, 281, "epoll_pwait", CallClass::io},
    {-4, 220, "semtimedop", CallClass::other},
    {-4, 208, "io_getevents", CallClass::io},
    {-4, 128, "rt_sigtimedwait", CallClass::signal},
};

TEST_CASE("the five results of a sleeper, call by call", "[syscall]") {
  for (const Row& row : sleepers) {
    CAPTURE(row.result, row.name);
    const SystemCall call = parsed(row.number, row.result);
    CHECK(call.state == CallState::asleep);
    CHECK(call.number == row.number);
    CHECK_FALSE(call.restarted);
    CHECK(system_call_name(row.number) == row.name);
    CHECK(class_of_call(row.number) == row.kind);
  }
}

TEST_CASE("a finished call is no sleep", "[syscall]") {
  // Zero, a count, and every error that is none of the five, the codes' own neighbours with them.
  const std::int64_t result = GENERATE(as<std::int64_t>{}, 0, 1, 65536, -1, -3, -5, -11, -110, -511,
                                       -515, -517, 512, 4, INT64_MIN, INT64_MAX);
  const SystemCall call = parsed(202, result);
  CHECK(call.state == CallState::returning);
  CHECK(call.number == 202);
}

TEST_CASE("yielding in a loop is running", "[syscall]") {
  CHECK(parsed(24, 0).state == CallState::returning);
  CHECK(system_call_name(24) == "sched_yield");
}

TEST_CASE("outside any call", "[syscall]") {
  // -1: user code; anything beyond the table: what a signal frame or a debugger left there.
  const std::int64_t number =
      GENERATE(as<std::int64_t>{}, -1, -2, 601, 0x7fffffff, INT64_MIN, INT64_MAX);
  const SystemCall call = parsed(number, -512);
  CHECK(call.state == CallState::user_code);
  CHECK(call.number == -1);
}

TEST_CASE("the result is 64 bits wide", "[syscall]") {
  // 0xfffffe00 is -512 of an int, and a count of the kernel's.
  CHECK(parsed(0, 0xfffffe00).state == CallState::returning);
}

TEST_CASE("numbers up to 600 are calls", "[syscall]") {
  CHECK(parsed(600, -512).state == CallState::asleep);
  CHECK(parsed(0, -512).state == CallState::asleep);
}

TEST_CASE("a restarted call has lost its number", "[syscall]") {
  const SystemCall call = parsed(219, -516);
  CHECK(call.state == CallState::asleep);
  CHECK(call.restarted);
  CHECK(call.number == call_restart);
  CHECK(system_call_name(219) == "restart_syscall");
}

TEST_CASE("a call that no table has is named by nobody", "[syscall]") {
  CHECK(system_call_name(599).empty());
  CHECK(system_call_name(-1).empty());
  CHECK(system_call_name(65536 + 202).empty());
  CHECK(class_of_call(599) == CallClass::other);
}

}  // namespace
}  // namespace coldcase
