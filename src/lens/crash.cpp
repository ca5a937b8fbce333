#include "lens/crash.hpp"

#include <cxxabi.h>

#include <algorithm>

#include "base/text.hpp"
#include "modules/symbols.hpp"

namespace coldcase {
namespace {

constexpr std::uint64_t null_page = 64 * 1024;  // an address below is a null pointer plus an offset
constexpr std::uint64_t exception_class =
    0x474e5543432b2b00;  // "GNUCC++\0" (libsupc++ unwind-cxx.h)

// __abort_msg (glibc assert/assert.c, sysdeps/posix/libc_fatal.c): a pointer to {u32 size, text}.
// Set by assert and by the library's own checks; not by abort itself. With dlmopen there are
// several C libraries: the message is in the one that wrote it.
std::string abort_message(const View& view) {
  for (const Module& module : view.modules.in_lookup_order()) {
    if (!starts_with_any(module.name(), {"libc.so", "libc-2"})) continue;
    const auto at = module.find_symbol("__abort_msg");
    const auto block = at ? view.image.read_pointer(*at) : Read<Addr>(Addr{});
    if (!block || block->value == 0) continue;
    std::string text = view.image.read_text(offset_by(*block, 4), 4096).value_or("");
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    return clean_text(text);
  }
  return {};
}

std::string type_name(const View& view, Addr type_info) {
  const auto name = view.image.read_pointer(offset_by(type_info, 8));
  std::string mangled = name ? view.image.read_text(*name, 512).value_or("") : "";
  if (mangled.starts_with('*')) mangled.erase(0, 1);
  if (mangled.empty()) return {};
  int status = 0;
  char* text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  std::string readable = status == 0 && text != nullptr ? text : mangled;
  std::free(text);  // NOLINT: the ABI hands out malloc'ed memory
  return clean_text(readable, 256);
}

// Standard exceptions that keep their message as a counted string right after the vtable pointer.
bool keeps_message(std::string_view type) {
  return starts_with_any(
      type, {"std::runtime_error", "std::logic_error", "std::invalid_argument", "std::out_of_range",
             "std::length_error", "std::domain_error", "std::range_error", "std::overflow_error",
             "std::underflow_error", "std::system_error"});
}

// The exception in flight: a pointer to its header on the stack of the thread that terminated.
// Offsets from the _Unwind_Exception (libsupc++ struct __cxa_exception): type at -80, object at
// +32.
void read_exception(const View& view, std::size_t i, CrashFact& crash) {
  const Walk& walk = view.threads.walks[i];
  if (walk.frames.empty()) return;
  const std::uint64_t begin = view.core.threads[i].registers[Registers::rsp];
  for (std::uint64_t at = begin & ~std::uint64_t{7}; at < begin + 8192; at += 8) {
    const auto header = view.image.read_pointer(Addr{at});
    if (!header) return;
    if (header->value % 8 != 0 ||
        view.image.read<std::uint64_t>(*header).value_or(0) != exception_class)
      continue;
    const auto type = view.image.read_pointer(offset_by(*header, -80));
    if (!type) continue;
    crash.exception_type = type_name(view, *type);
    if (crash.exception_type.empty()) continue;
    crash.exception_runtime = "c++";
    const auto base = view.image.read_pointer(offset_by(*type, 16));
    const bool derived = base && keeps_message(type_name(view, *base));
    if (!keeps_message(crash.exception_type) && !derived) return;
    const auto text = view.image.read_pointer(offset_by(*header, 40));
    if (text) crash.exception_what = clean_text(view.image.read_text(*text, 1024).value_or(""));
    return;
  }
}

bool has_frame(const View& view, std::size_t i, std::initializer_list<std::string_view> names) {
  return std::ranges::any_of(view.threads.walks[i].frames, [&](const WalkFrame& frame) {
    const std::string& symbol = view.threads.name_of(frame).symbol;
    return std::ranges::find(names, symbol) != names.end();
  });
}

void describe_address(const View& view, const SignalFact& signal, const Registers& registers,
                      CrashFact& crash) {
  crash.registers["rip"] = registers.at(Registers::rip);
  crash.registers["rsp"] = registers.at(Registers::rsp);
  if (!signal.address) return;
  crash.address = *signal.address;
  const std::uint64_t address = signal.address->value;
  if (signal.code == 128) {
    crash.address.reset();
    crash.address_is =
        "an address that no pointer can have (non-canonical); the kernel does not tell which";
  } else if (signal.number == 4 || signal.number == 8) {
    crash.address_is = "the instruction itself";
  } else if (address == registers[Registers::rip]) {
    crash.access = Access::execute;
    crash.address_is = "a call to where no code is";
  } else if (address < null_page) {
    crash.address_is = "null + " + hex(address);
  } else if (const Extent* extent = view.image.find(*signal.address)) {
    (void)extent;
    crash.address_is = "mapped, and not to be used this way";
  } else {
    crash.address_is = "not mapped";
  }
}

}  // namespace

void look_at_crash(const View& view, std::int32_t signal_thread, Ledger& ledger) {
  const ProcessFact& process = ledger.facts.processes[view.process.index];
  if (process.dump_reason != DumpReason::signal || !process.signal) return;
  const auto at = std::ranges::find(view.core.threads, signal_thread, &CoreThread::tid);
  if (at == view.core.threads.end()) return;
  const auto i = static_cast<std::size_t>(at - view.core.threads.begin());
  CrashFact crash;
  crash.thread = view.thread_id(i);
  describe_address(view, *process.signal, at->registers, crash);
  if (process.signal->number == 6) {
    crash.message = abort_message(view);
    if (has_frame(view, i,
                  {"_ZSt9terminatev", "_ZN10__cxxabiv111__terminateEPFvvE",
                   "_ZN9__gnu_cxx27__verbose_terminate_handlerEv"})) {
      read_exception(view, i, crash);
    }
  }
  ledger.thread(crash.thread).state = ThreadState::crashed;
  Evidence evidence;
  evidence.claim = "the signal (" + process.signal->name +
                   (process.signal->code_name.empty() ? "" : ", " + process.signal->code_name) +
                   ") and the registers";
  evidence.basis = Basis::register_;
  evidence.thread = crash.thread;
  evidence.frame = 0;
  evidence.source = "NT_SIGINFO, NT_PRSTATUS";
  ledger.add_evidence(std::move(evidence));
  if (!crash.message.empty()) {
    Evidence message;
    message.claim = "the C library's abort message";
    message.basis = Basis::memory;
    message.thread = crash.thread;
    message.source = "__abort_msg, glibc";
    ledger.add_evidence(std::move(message));
  }
  if (!crash.exception_type.empty()) {
    Evidence thrown;
    thrown.claim = "the exception object that the thread's stack refers to";
    thrown.basis = Basis::memory;
    thrown.thread = crash.thread;
    thrown.source = "struct __cxa_exception, libstdc++";
    ledger.add_evidence(std::move(thrown));
  }
  ledger.facts.crashes.push_back(std::move(crash));
}

}  // namespace coldcase
