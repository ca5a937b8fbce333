#include "threads/threads.hpp"

#include "bytes/mapping.hpp"

namespace coldcase {
namespace {

constexpr Size stack_window = 32 * 1024;  // what the kernel is asked to read ahead of each stack

// Rows are named by what they look up; a signal trampoline by itself, as the byte before it is
// another function's.
Addr naming_address(const Row& row) {
  return row.signal_frame ? row.pc : row.lookup;
}

}  // namespace

Threads unwind_threads(const Core& core, const MemoryImage& image, const Modules& modules) {
  Threads threads{Rules(modules), {}, {}};
  for (const CoreThread& thread : core.threads) {
    prefetch(image.view(thread.registers.at(Registers::rsp), stack_window));
  }
  Unwinder unwinder(image, threads.rules);
  threads.walks.reserve(core.threads.size());
  for (const CoreThread& thread : core.threads) {
    threads.walks.push_back(unwinder.unwind(thread.registers));
  }
  std::vector<Addr> addresses;
  addresses.reserve(threads.rules.size());
  for (std::uint32_t i = 0; i < threads.rules.size(); ++i) {
    addresses.push_back(naming_address(threads.rules.row(i)));
  }
  threads.names = name_code(modules, addresses);
  return threads;
}

}  // namespace coldcase
