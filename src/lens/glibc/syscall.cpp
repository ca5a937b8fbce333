#include "lens/glibc/syscall.hpp"

#include <algorithm>
#include <array>

namespace coldcase {
namespace {

struct CallRow {
  std::int16_t number;
  CallClass kind;
  CallUse use;
  std::string_view name;
};

// Linux arch/x86/entry/syscalls/syscall_64.tbl: the calls threads sleep in.
constexpr std::array call_table{
    CallRow{0, CallClass::io, CallUse::reads, "read"},
    CallRow{1, CallClass::io, CallUse::writes, "write"},
    CallRow{3, CallClass::io, CallUse::disk, "close"},
    CallRow{7, CallClass::io, CallUse::polls, "poll"},
    CallRow{11, CallClass::other, CallUse::other, "munmap"},
    CallRow{16, CallClass::io, CallUse::reads, "ioctl"},
    CallRow{17, CallClass::io, CallUse::reads, "pread64"},
    CallRow{18, CallClass::io, CallUse::writes, "pwrite64"},
    CallRow{19, CallClass::io, CallUse::reads, "readv"},
    CallRow{20, CallClass::io, CallUse::writes, "writev"},
    CallRow{23, CallClass::io, CallUse::selects, "select"},
    CallRow{24, CallClass::other, CallUse::other, "sched_yield"},
    CallRow{34, CallClass::signal, CallUse::signal, "pause"},
    CallRow{35, CallClass::sleep, CallUse::sleeps, "nanosleep"},
    CallRow{40, CallClass::io, CallUse::writes, "sendfile"},
    CallRow{42, CallClass::io, CallUse::connects, "connect"},
    CallRow{43, CallClass::io, CallUse::accepts, "accept"},
    CallRow{44, CallClass::io, CallUse::sends, "sendto"},
    CallRow{45, CallClass::io, CallUse::receives, "recvfrom"},
    CallRow{46, CallClass::io, CallUse::sends, "sendmsg"},
    CallRow{47, CallClass::io, CallUse::receives, "recvmsg"},
    CallRow{56, CallClass::child, CallUse::other, "clone"},
    CallRow{58, CallClass::child, CallUse::other, "vfork"},
    CallRow{59, CallClass::io, CallUse::disk, "execve"},
    CallRow{61, CallClass::child, CallUse::child, "wait4"},
    CallRow{65, CallClass::other, CallUse::semaphores, "semop"},
    CallRow{69, CallClass::io, CallUse::messages, "msgsnd"},
    CallRow{70, CallClass::io, CallUse::messages, "msgrcv"},
    CallRow{72, CallClass::io, CallUse::controls, "fcntl"},
    CallRow{73, CallClass::io, CallUse::flocks, "flock"},
    CallRow{74, CallClass::io, CallUse::disk, "fsync"},
    CallRow{75, CallClass::io, CallUse::disk, "fdatasync"},
    CallRow{128, CallClass::signal, CallUse::signal, "rt_sigtimedwait"},
    CallRow{130, CallClass::signal, CallUse::signal, "rt_sigsuspend"},
    CallRow{202, CallClass::other, CallUse::words, "futex"},
    CallRow{208, CallClass::io, CallUse::other, "io_getevents"},
    CallRow{219, CallClass::other, CallUse::other, "restart_syscall"},
    CallRow{220, CallClass::other, CallUse::semaphores, "semtimedop"},
    CallRow{230, CallClass::sleep, CallUse::sleeps_clock, "clock_nanosleep"},
    CallRow{232, CallClass::io, CallUse::epolls, "epoll_wait"},
    CallRow{234, CallClass::other, CallUse::other, "tgkill"},
    CallRow{242, CallClass::io, CallUse::writes, "mq_timedsend"},
    CallRow{243, CallClass::io, CallUse::reads, "mq_timedreceive"},
    CallRow{247, CallClass::child, CallUse::waits_id, "waitid"},
    CallRow{257, CallClass::io, CallUse::disk, "openat"},
    CallRow{270, CallClass::io, CallUse::selects, "pselect6"},
    CallRow{271, CallClass::io, CallUse::polls, "ppoll"},
    CallRow{275, CallClass::io, CallUse::reads, "splice"},
    CallRow{277, CallClass::io, CallUse::disk, "sync_file_range"},
    CallRow{281, CallClass::io, CallUse::epolls, "epoll_pwait"},
    CallRow{288, CallClass::io, CallUse::accepts, "accept4"},
    CallRow{295, CallClass::io, CallUse::reads, "preadv"},
    CallRow{296, CallClass::io, CallUse::writes, "pwritev"},
    CallRow{299, CallClass::io, CallUse::receives, "recvmmsg"},
    CallRow{307, CallClass::io, CallUse::sends, "sendmmsg"},
    CallRow{426, CallClass::io, CallUse::other, "io_uring_enter"},
    CallRow{441, CallClass::io, CallUse::epolls, "epoll_pwait2"},
    CallRow{449, CallClass::other, CallUse::words, "futex_waitv"},
    CallRow{455, CallClass::other, CallUse::words, "futex_wait"},
};

const CallRow* find_call(std::int64_t number) {
  const auto at = std::ranges::find(call_table, number,
                                    [](const CallRow& row) { return std::int64_t{row.number}; });
  return at == call_table.end() ? nullptr : &*at;
}

// Bytes a write-like call was asked to move, where a register says so (write, sendto).
std::optional<std::uint64_t> asked_to_write(const Registers& registers, std::int64_t number) {
  if (number != 1 && number != 18 && number != 44) return std::nullopt;
  return registers[Registers::rdx];
}

}  // namespace

SystemCall parse_system_call(const Registers& registers) {
  const std::int64_t number = registers.as_signed(Registers::orig_rax);
  const std::int64_t result = registers.as_signed(Registers::rax);
  if (number < 0 || number > 600) return {};
  const bool slept =
      result == -512 || result == -513 || result == -514 || result == -516 || result == -4;
  SystemCall call{slept ? CallState::asleep : CallState::returning, number, number == call_restart,
                  std::nullopt};
  const auto asked = asked_to_write(registers, number);
  if (asked && result > 0 && static_cast<std::uint64_t>(result) < *asked) {
    call.state = CallState::asleep;
    call.written = static_cast<std::uint64_t>(result);
  }
  return call;
}

std::string_view system_call_name(std::int64_t number) {
  const CallRow* row = find_call(number);
  return row != nullptr ? row->name : std::string_view{};
}

std::int64_t system_call_number(std::string_view name) {
  const auto at = std::ranges::find(call_table, name, &CallRow::name);
  return at == call_table.end() ? -1 : at->number;
}

CallClass class_of_call(std::int64_t number) {
  const CallRow* row = find_call(number);
  return row != nullptr ? row->kind : CallClass::other;
}

CallUse use_of_call(std::int64_t number) {
  const CallRow* row = find_call(number);
  return row != nullptr ? row->use : CallUse::other;
}

}  // namespace coldcase
