// Blocked or running, and in which system call: from the registers alone (Linux x86_64).
#pragma once

#include <coldcase/registers.hpp>
#include <cstdint>
#include <string_view>

namespace coldcase {

enum class CallState : std::uint8_t {
  user_code,  // in no system call
  asleep,     // the kernel had put it to sleep in one
  returning   // the call has finished: treat as running
};

struct SystemCall {
  CallState state = CallState::user_code;
  std::int64_t number = -1;
  bool restarted = false;  // restart_syscall: the number was lost to an earlier stop
};

// The kernel's return values for a sleeper it interrupted for the dump (include/linux/errno.h):
// ERESTARTSYS 512, ERESTARTNOINTR 513, ERESTARTNOHAND 514, ERESTART_RESTARTBLOCK 516, EINTR 4.
SystemCall parse_system_call(const Registers& registers);

// "futex", "poll" ...; empty for a number that no table here has.
std::string_view system_call_name(std::int64_t number);

inline constexpr std::int64_t call_futex = 202, call_restart = 219;

// A sleep, or a wait for files, sockets, signals, children: what it is waiting for in plain words.
enum class CallClass : std::uint8_t { other, io, sleep, child, signal };
CallClass class_of_call(std::int64_t number);

}  // namespace coldcase
