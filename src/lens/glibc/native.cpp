// The waits as the registers have them, and small questions about a thread's frames.
#include <algorithm>

#include "base/text.hpp"
#include "lens/glibc/waits.hpp"

namespace coldcase {

std::string_view without_underscores(std::string_view symbol) {
  while (symbol.starts_with('_')) symbol.remove_prefix(1);
  return symbol;
}

NativeWaits parse_native_waits(const View& view) {
  NativeWaits native;
  for (const CoreThread& thread : view.core.threads) {
    const Registers& r = thread.registers;
    const SystemCall call = parse_system_call(r);
    native.calls.push_back(call);
    native.futexes.emplace_back();
    if (call.state != CallState::asleep) continue;
    const auto operation = r[Registers::rsi] & 0x7f;
    const bool wait_operation =
        operation == 0 || operation == 9 || operation == 6 || operation == 13;
    // restart_syscall keeps the arguments of the timed futex wait it goes on with
    // (native-waits.md 2.3).
    const auto word = view.image.read<std::uint32_t>(r.at(Registers::rdi));
    const bool restarted_futex = call.restarted && operation == 9 && r[Registers::rdi] % 4 == 0 &&
                                 word && *word == static_cast<std::uint32_t>(r[Registers::rdx]);
    if (!(call.number == call_futex && wait_operation) && !restarted_futex) continue;
    FutexWait futex;
    futex.address = r.at(Registers::rdi);
    futex.expected = static_cast<std::uint32_t>(r[Registers::rdx]);
    futex.timed = r[Registers::r10] != 0;
    futex.stale = word && (operation == 0 || operation == 9) && *word != futex.expected;
    native.futexes.back() = futex;
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
      name = demangle(symbol.name);
      if (value != symbol.value) name += "+" + std::to_string(value - symbol.value);
    });
    if (!name.empty()) return label + " " + clean_text(name, 256);
  }
  label += " at " + hex(address.value);
  if (module != nullptr) label += " in " + clean_text(module->name(), 256);
  return label;
}

}  // namespace coldcase
