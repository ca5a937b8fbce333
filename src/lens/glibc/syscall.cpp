#include "lens/glibc/syscall.hpp"

#include <algorithm>
#include <array>

namespace coldcase {
namespace {

struct CallRow {
  std::int16_t number;
  CallClass kind;
  std::string_view name;
};

// Linux arch/x86/entry/syscalls/syscall_64.tbl: the calls threads sleep in.
constexpr std::array call_table{
    CallRow{0, CallClass::io, "read"},
    CallRow{1, CallClass::io, "write"},
    CallRow{7, CallClass::io, "poll"},
    CallRow{16, CallClass::io, "ioctl"},
    CallRow{17, CallClass::io, "pread64"},
    CallRow{18, CallClass::io, "pwrite64"},
    CallRow{19, CallClass::io, "readv"},
    CallRow{20, CallClass::io, "writev"},
    CallRow{23, CallClass::io, "select"},
    CallRow{24, CallClass::other, "sched_yield"},
    CallRow{34, CallClass::signal, "pause"},
    CallRow{35, CallClass::sleep, "nanosleep"},
    CallRow{42, CallClass::io, "connect"},
    CallRow{43, CallClass::io, "accept"},
    CallRow{44, CallClass::io, "sendto"},
    CallRow{45, CallClass::io, "recvfrom"},
    CallRow{46, CallClass::io, "sendmsg"},
    CallRow{47, CallClass::io, "recvmsg"},
    CallRow{61, CallClass::child, "wait4"},
    CallRow{65, CallClass::other, "semop"},
    CallRow{69, CallClass::io, "msgsnd"},
    CallRow{70, CallClass::io, "msgrcv"},
    CallRow{72, CallClass::io, "fcntl"},
    CallRow{73, CallClass::io, "flock"},
    CallRow{74, CallClass::io, "fsync"},
    CallRow{75, CallClass::io, "fdatasync"},
    CallRow{128, CallClass::signal, "rt_sigtimedwait"},
    CallRow{130, CallClass::signal, "rt_sigsuspend"},
    CallRow{202, CallClass::other, "futex"},
    CallRow{208, CallClass::io, "io_getevents"},
    CallRow{219, CallClass::other, "restart_syscall"},
    CallRow{220, CallClass::other, "semtimedop"},
    CallRow{230, CallClass::sleep, "clock_nanosleep"},
    CallRow{232, CallClass::io, "epoll_wait"},
    CallRow{234, CallClass::other, "tgkill"},
    CallRow{247, CallClass::child, "waitid"},
    CallRow{257, CallClass::io, "openat"},
    CallRow{270, CallClass::io, "pselect6"},
    CallRow{271, CallClass::io, "ppoll"},
    CallRow{281, CallClass::io, "epoll_pwait"},
    CallRow{288, CallClass::io, "accept4"},
    CallRow{299, CallClass::io, "recvmmsg"},
    CallRow{426, CallClass::io, "io_uring_enter"},
    CallRow{441, CallClass::io, "epoll_pwait2"},
    CallRow{449, CallClass::other, "futex_waitv"},
};

const CallRow* find_call(std::int64_t number) {
  const auto at = std::ranges::find(call_table, number,
                                    [](const CallRow& row) { return std::int64_t{row.number}; });
  return at == call_table.end() ? nullptr : &*at;
}

}  // namespace

SystemCall parse_system_call(const Registers& registers) {
  const std::int64_t number = registers.as_signed(Registers::orig_rax);
  const std::int64_t result = registers.as_signed(Registers::rax);
  if (number < 0 || number > 600) return {};
  const bool slept =
      result == -512 || result == -513 || result == -514 || result == -516 || result == -4;
  return {slept ? CallState::asleep : CallState::returning, number, number == call_restart};
}

std::string_view system_call_name(std::int64_t number) {
  const CallRow* row = find_call(number);
  return row != nullptr ? row->name : std::string_view{};
}

CallClass class_of_call(std::int64_t number) {
  const CallRow* row = find_call(number);
  return row != nullptr ? row->kind : CallClass::other;
}

}  // namespace coldcase
