// Blocked or running, and in which system call: from the registers alone (Linux x86_64).
#pragma once

#include <coldcase/registers.hpp>
#include <cstdint>
#include <optional>
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
  // A write that had slept on a full pipe or socket: the dump made it return what it had got rid
  // of (gcore and kernel alike). Asleep all the same.
  std::optional<std::uint64_t> written;
};

// The kernel's return values for a sleeper it interrupted for the dump (include/linux/errno.h):
// ERESTARTSYS 512, ERESTARTNOINTR 513, ERESTARTNOHAND 514, ERESTART_RESTARTBLOCK 516, EINTR 4.
SystemCall parse_system_call(const Registers& registers);

// "futex", "poll" ...; empty for a number that no table here has.
std::string_view system_call_name(std::int64_t number);
// -1 when no table here has the name.
std::int64_t system_call_number(std::string_view name);

inline constexpr std::int64_t call_futex = 202, call_restart = 219, call_futex_waitv = 449,
                              call_futex_wait = 455;

// A sleep, or a wait for files, sockets, signals, children: what it is waiting for in plain words.
enum class CallClass : std::uint8_t { other, io, sleep, child, signal };
CallClass class_of_call(std::int64_t number);

// What the arguments of a call name: how to find what the thread waits for.
enum class CallUse : std::uint8_t {
  other,
  reads,         // rdi: a descriptor
  writes,        // the same, rdx: bytes asked for
  receives,      // a socket
  sends,         // a socket
  accepts,       // a listening socket
  connects,      // a socket
  polls,         // rdi: pollfd array, rsi: how many, rdx: milliseconds or timespec*
  selects,       // rdi: highest + 1, rsi rdx r10: sets, r8: timeval* or timespec*
  epolls,        // rdi: an eventpoll, r10: milliseconds or timespec*
  child,         // rdi: wait4's pid
  waits_id,      // rdi, rsi: waitid's
  sleeps,        // nanosleep
  sleeps_clock,  // clock_nanosleep
  signal,        // any signal of a set
  flocks,        // rdi: a descriptor, rsi: operation
  controls,      // fcntl: rsi 7 F_SETLKW, 38 F_OFD_SETLKW
  semaphores,    // rdi: System V set, rsi: sembuf array
  messages,      // rdi: System V queue
  disk,          // a file system that does not answer
  words          // futexes
};
CallUse use_of_call(std::int64_t number);

}  // namespace coldcase
