// The waits as the registers have them, and small questions about a thread's frames.
#include <algorithm>

#include "base/readable_name.hpp"
#include "base/text.hpp"
#include "lens/glibc/waits.hpp"

namespace coldcase {
namespace {

// The operations of futex(2) that sleep.
enum Operation : std::uint8_t {
  wait = 0,
  lock_pi = 6,
  wait_bitset = 9,
  wait_requeue_pi = 11,
  lock_pi2 = 13
};
constexpr std::uint64_t private_flag = 0x80;
constexpr std::uint64_t most_words = 128;  // FUTEX_WAITV_MAX

bool sleeps(std::uint64_t operation) {
  return operation == wait || operation == lock_pi || operation == wait_bitset ||
         operation == wait_requeue_pi || operation == lock_pi2;
}

std::optional<std::uint64_t> read_timespec_ms(const View& view, Addr at) {
  const auto words = view.image.read<std::array<std::int64_t, 2>>(at);
  if (!words || (*words)[0] < 0 || (*words)[0] > (std::int64_t{1} << 40) || (*words)[1] < 0 ||
      (*words)[1] >= 1'000'000'000)
    return std::nullopt;
  return static_cast<std::uint64_t>((*words)[0]) * 1000 +
         static_cast<std::uint64_t>((*words)[1]) / 1'000'000;
}

FutexWait parse_futex(const View& view, const Registers& r) {
  const std::uint64_t operation = r[Registers::rsi] & 0x7f;
  FutexWait futex;
  futex.address = r.at(Registers::rdi);
  futex.expected = static_cast<std::uint32_t>(r[Registers::rdx]);
  futex.timed = r[Registers::r10] != 0;
  futex.shared = (r[Registers::rsi] & private_flag) == 0;
  futex.by_owner = operation == lock_pi || operation == lock_pi2;
  const auto word = view.image.read<std::uint32_t>(futex.address);
  futex.stale = word && (operation == wait || operation == wait_bitset) && *word != futex.expected;
  if (futex.timed && operation == wait)
    futex.timeout_ms = read_timespec_ms(view, r.at(Registers::r10));
  return futex;
}

// futex_wait(2) of 2024: rdi word, rsi value, rdx mask, r10 flags (FUTEX2_PRIVATE 128), r8 timeout.
FutexWait parse_futex2(const View& view, const Registers& r) {
  FutexWait futex;
  futex.address = r.at(Registers::rdi);
  futex.expected = static_cast<std::uint32_t>(r[Registers::rsi]);
  futex.timed = r[Registers::r8] != 0;
  futex.shared = (r[Registers::r10] & private_flag) == 0;
  const auto word = view.image.read<std::uint32_t>(futex.address);
  futex.stale = word && *word != futex.expected;
  return futex;
}

// struct futex_waitv: val u64, uaddr u64, flags u32, reserved u32. Any of them ends the wait.
std::optional<FutexWait> parse_futex_vector(const View& view, const Registers& r) {
  std::optional<FutexWait> futex;
  const std::uint64_t count = std::min(r[Registers::rsi], most_words);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto row = view.image.read<std::array<std::uint64_t, 3>>(
        offset_by(r.at(Registers::rdi), static_cast<std::int64_t>(i * 24)));
    if (!row) break;
    if (futex) {
      futex->others.push_back(Addr{(*row)[1]});
      continue;
    }
    futex.emplace();
    futex->address = Addr{(*row)[1]};
    futex->expected = static_cast<std::uint32_t>((*row)[0]);
    futex->timed = r[Registers::r10] != 0;
    futex->shared = ((*row)[2] & private_flag) == 0;
  }
  return futex;
}

// restart_syscall keeps the arguments and loses the number (native-waits.md 2.3). What it was: the
// immediate in front of the syscall instruction (to 2.40), the function's name, or the arguments'
// shape.
std::int64_t restarted_call(const View& view, std::size_t i) {
  const Registers& r = view.core.threads[i].registers;
  const Addr rip = r.at(Registers::rip);
  const auto code = view.image.read<std::array<std::uint8_t, 7>>(Addr{rip.value - 7});
  if (code && (*code)[0] == 0xb8 && (*code)[5] == 0x0f && (*code)[6] == 0x05) {
    const std::int64_t number = (*code)[1] | (*code)[2] << 8;
    if (!system_call_name(number).empty() && number != call_restart) return number;
  }
  const Walk& walk = view.threads.walks[i];
  for (std::size_t f = 0; f < std::min<std::size_t>(walk.frames.size(), 4); ++f) {
    const Module* module = view.threads.rules.row(walk.frames[f].row).module;
    const bool libc =
        module != nullptr && starts_with_any(module->name(), {"libc.so", "libc-2", "libpthread"});
    if (!libc) break;  // above it names are the program's, and those of what started the thread
    const std::string_view name = without_underscores(view.threads.name_of(walk.frames[f]).symbol);
    if (name == "nanosleep" || name.starts_with("clock_nanosleep")) return 230;
    if (name.starts_with("futex_") || name.starts_with("pthread_") || name.starts_with("sem_") ||
        name.starts_with("new_sem_"))
      return call_futex;
    if (const std::int64_t number = system_call_number(name); number >= 0) return number;
    if (name.starts_with("libc_") && system_call_number(name.substr(5)) >= 0)
      return system_call_number(name.substr(5));
  }
  const auto word = view.image.read<std::uint32_t>(r.at(Registers::rdi));
  const std::uint64_t operation = r[Registers::rsi] & 0x7f;
  const bool futex = (operation == wait || operation == wait_bitset) &&
                     r[Registers::rdi] % 4 == 0 && word &&
                     *word == static_cast<std::uint32_t>(r[Registers::rdx]);
  return futex ? call_futex : call_restart;
}

// A stopped process was let go on just before the dump: the kernel has put pc back onto the syscall
// instruction and the number into rax, and the thread has not got there yet. Nobody sleeps in a
// futex call that wakes others: that thread comes there by itself.
bool about_to_call(const View& view, const Registers& r) {
  if (r[Registers::rax] == call_futex && !sleeps(r[Registers::rsi] & 0x7f)) return false;
  const auto code = view.image.read<std::array<std::uint8_t, 2>>(r.at(Registers::rip));
  return code && (*code)[0] == 0x0f && (*code)[1] == 0x05 && r[Registers::rax] < 600 &&
         !system_call_name(r.as_signed(Registers::rax)).empty();
}

std::optional<FutexWait> find_futex(const View& view, const Registers& r, std::int64_t number) {
  if (number == call_futex && sleeps(r[Registers::rsi] & 0x7f)) return parse_futex(view, r);
  if (number == call_futex_wait) return parse_futex2(view, r);
  if (number == call_futex_waitv) return parse_futex_vector(view, r);
  return std::nullopt;
}

// A file that was mapped twice (dlmopen, memfd) has its variables twice: their names do not tell
// them apart, the base does, as `show modules` lists it.
std::string of_which_copy(const View& view, const Module& module) {
  const bool several = std::ranges::any_of(view.modules.list, [&](const Module& other) {
    return &other != &module && !module.build_id.empty() && other.build_id == module.build_id;
  });
  if (!several) return {};
  return " of the " + clean_text(module.name(), 256) + " at " + hex(module.range.begin.value);
}

}  // namespace

std::string_view without_underscores(std::string_view symbol) {
  while (symbol.starts_with('_')) symbol.remove_prefix(1);
  return symbol;
}

NativeWaits parse_native_waits(const View& view) {
  NativeWaits native;
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    const Registers& r = view.core.threads[i].registers;
    SystemCall call = parse_system_call(r);
    if (call.state != CallState::asleep && about_to_call(view, r)) {
      call.state = CallState::asleep;
      call.number = r.as_signed(Registers::rax);
      call.restarted = call.number == call_restart;
    }
    if (call.state == CallState::asleep && call.restarted) call.number = restarted_call(view, i);
    native.calls.push_back(call);
    native.futexes.push_back(call.state == CallState::asleep ? find_futex(view, r, call.number)
                                                             : std::nullopt);
  }
  return native;
}

std::optional<std::size_t> find_frame(const View& view, std::size_t core_thread, std::size_t limit,
                                      std::initializer_list<std::string_view> names) {
  const Walk& walk = view.threads.walks[core_thread];
  for (std::size_t i = 0; i < std::min(walk.frames.size(), limit); ++i) {
    if (starts_with_any(without_underscores(view.threads.name_of(walk.frames[i]).symbol), names))
      return i;
  }
  return std::nullopt;
}

std::string label_of_object(const View& view, Addr address, std::string_view noun) {
  const Module* module = view.modules.find(address);
  std::string label(noun);
  if (module != nullptr && module->symbols() != nullptr) {
    const std::uint64_t value = module->to_file(address);
    std::string name;
    module->symbols()->each_symbol([&](const ElfSymbol& symbol) {
      if (symbol.type != 1 || value < symbol.value || value - symbol.value >= symbol.size) return;
      name = readable_name(demangle(symbol.name()));
      if (value != symbol.value) name += "+" + std::to_string(value - symbol.value);
    });
    if (!name.empty()) return label + " " + clean_text(name, 256) + of_which_copy(view, *module);
  }
  label += " at " + hex(address.value);
  if (module != nullptr) label += " in " + clean_text(module->name(), 256);
  return label;
}

}  // namespace coldcase
