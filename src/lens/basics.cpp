#include "lens/basics.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <map>

#include "base/digest.hpp"
#include "base/function_name.hpp"
#include "base/rings.hpp"
#include "base/text.hpp"
#include "modules/fetch.hpp"

namespace coldcase {
namespace {

// Linux include/uapi/asm-generic/signal.h.
constexpr std::array signal_names{
    "",          "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
    "SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
    "SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
    "SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS"};

std::string code_name(std::int64_t signal, std::int64_t code) {
  if (code == 0) return "SI_USER";
  if (code == -6) return "SI_TKILL";
  if (code == 128) return "SI_KERNEL";
  if (signal == 11) return code == 1 ? "SEGV_MAPERR" : code == 2 ? "SEGV_ACCERR" : "";
  if (signal == 7)
    return code == 1 ? "BUS_ADRALN" : code == 2 ? "BUS_ADRERR" : code == 3 ? "BUS_OBJERR" : "";
  if (signal == 8) return code == 1 ? "FPE_INTDIV" : "";
  if (signal == 4) return code == 2 ? "ILL_ILLOPN" : "";
  return "";
}

std::string rfc3339(std::int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  if (::gmtime_r(&time, &parts) == nullptr) return {};
  std::array<char, 32> text{};
  return std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts) > 0
             ? std::string(text.data())
             : "";
}

InputFact input_fact(const View& view, const Input& input) {
  const Core& core = view.core;
  InputFact fact;
  fact.kind = InputKind::core;
  fact.path = clean_text(shorten_home(input.path));
  fact.process = view.process;
  fact.writer = core.writer == Writer::kernel  ? "kernel"
                : core.writer == Writer::gcore ? "gcore"
                                               : "other";
  fact.compression = std::string(word(input.compression));
  fact.identity = "sha256:" + sha256_hex(core.identity);
  fact.file_bytes = input.file_bytes;
  fact.declared_bytes = core.declared_bytes;
  fact.present_bytes = std::min<std::uint64_t>(core.file.size(), core.declared_bytes);
  fact.truncated = core.truncated();
  if (input.taken.at != 0) {
    fact.taken_at = rfc3339(input.taken.at);
    fact.taken_source = std::string(input.taken.source);
  }
  if (view.side_car != nullptr && !view.side_car->taken_at.empty()) {
    fact.taken_at = view.side_car->taken_at;
    fact.taken_source = "side-car";
  }
  return fact;
}

// Whether any of its code could have set a handler for a signal, or takes signals otherwise: by the
// functions for it that a module wants from the C library. A static program has them linked in. The
// kernel alone knows the handlers.
bool may_handle_signals(const Modules& modules) {
  static constexpr std::array<std::string_view, 9> functions{
      "sigaction", "__sigaction", "signal",  "__sysv_signal", "bsd_signal",
      "sigset",    "signalfd",    "sigwait", "ssignal"};
  return std::ranges::any_of(modules.list, [&](const Module& module) {
    if (module.name().starts_with("libc.") || module.name().starts_with("libpthread") ||
        module.name().starts_with("ld-") || module.found == Found::core)
      return false;
    if (!module.file || !module.file->has_dynsym()) {
      return !module.file || !module.file->has_symtab() ||
             std::ranges::any_of(functions, [&](std::string_view name) {
               return module.file->find_symbol(name).has_value();
             });
    }
    return module.file->imports_any(functions);
  });
}

// A signal a process gets by its own doing; the others come from somebody who wanted a dump or an
// end.
bool is_fault(std::int64_t signal) {
  return signal == 4 || signal == 5 || signal == 7 || signal == 8 || signal == 11 || signal == 31;
}

ProcessFact process_fact(const View& view) {
  const Core& core = view.core;
  ProcessFact fact;
  fact.arch = "x86_64";
  if (core.process) fact.pid = core.process->pid;
  fact.handles_signals = may_handle_signals(view.modules);
  const Module* main = view.modules.executable == Modules::npos
                           ? nullptr
                           : &view.modules.list[view.modules.executable];
  fact.executable = view.module_id(main);
  // pr_fname is the thread's own name in a kernel core, cut at 15 bytes.
  if (core.process && (main == nullptr || !main->name().starts_with(core.process->name))) {
    fact.label = clean_text(core.process->name);
  }
  fact.dump_reason = DumpReason::unknown;
  if (core.writer == Writer::gcore) {
    fact.dump_reason = DumpReason::snapshot;
    fact.fate = Fate::alive;
    return fact;
  }
  if (!core.signal) return fact;
  SignalFact signal;
  signal.number = core.signal->number;
  signal.name = signal_name(signal.number);
  signal.code = core.signal->code;
  signal.code_name = code_name(signal.number, signal.code);
  signal.from_outside = core.signal->code == 0 || (core.signal->code < 0 && core.process &&
                                                   core.signal->sender_pid != core.process->pid);
  if (is_fault(signal.number) && core.signal->code > 0)
    signal.address = core.signal->address;
  else
    signal.sender_pid = core.signal->sender_pid;
  // Sent from outside (kill -ABRT): the core of a hang, not of a crash.
  fact.dump_reason = *signal.from_outside ? DumpReason::snapshot : DumpReason::signal;
  fact.fate = Fate::killed;
  fact.signal = signal;
  return fact;
}

ModuleFact module_fact(const View& view, const Module& module) {
  ModuleFact fact;
  fact.name = clean_text(module.name());
  fact.path = clean_text(shorten_home(module.path));
  fact.build_id = module.build_id;
  fact.mapped.push_back({view.process, module.range.begin});
  fact.found = module.found;
  const bool elsewhere = module.found == Found::file || module.found == Found::debuginfod;
  if (module.file && elsewhere && module.file->path() != module.path) {
    fact.file = clean_text(shorten_home(module.file->path()));
  }
  if (module.found == Found::mismatch) fact.refused = clean_text(shorten_home(module.rejected));
  if (module.identity == Identity::same_layout) fact.identity = "same_layout";
  if (module.debug) fact.debug_file = clean_text(shorten_home(module.debug->path()));
  if (module.supplement) fact.supplement = clean_text(shorten_home(module.supplement->path()));
  fact.fetch = supply_command(module);
  if (const auto package = package_of(module)) {
    fact.package = PackageFact{package->name, package->version};
  }
  fact.symbols = module.level();
  return fact;
}

// What begins a thread of std::thread, or lies between start_thread and the user's function where
// the C library is part of the program. libstdc++'s own has no name where it is stripped.
bool is_runtime_entry(const View& view, const CodeName& name) {
  const bool runtime = name.module != nullptr && ring_of_module(name.module->path) == Ring::runtime;
  return (name.function.empty() && runtime) || name.function == "execute_native_thread_routine" ||
         name.function == "__pthread_once_slow" ||  // std::async begins so
         is_standard_library(name.function) ||
         (is_c_library(name.function) && has_c_library_linked_in(view.modules));
}

// The function a native thread started with: the frame just inside start_thread.
std::string entry_of(const View& view, std::size_t i) {
  const auto& frames = view.threads.walks[i].frames;
  for (std::size_t f = 1; f < frames.size(); ++f) {
    const std::string& symbol = view.threads.name_of(frames[f]).symbol;
    if (symbol != "start_thread" && !symbol.starts_with("__libc_start_call_main") &&
        symbol != "__libc_start_main")
      continue;
    // libstdc++'s std::thread begins each thread with one function of its own, and calls through
    // templates.
    std::size_t inner = f - 1;
    while (inner > 0 && is_runtime_entry(view, view.threads.name_of(frames[inner]))) --inner;
    const CodeName& name = view.threads.name_of(frames[inner]);
    // The user's function is inlined into the last of those: by its inline frames, later.
    const bool runtime =
        name.module != nullptr && ring_of_module(name.module->path) == Ring::runtime;
    if (runtime && inner < f - 1) return {};
    return plain_function(clean_text(name.function, 256));
  }
  return {};
}

void set_time(const CoreThread& thread, ThreadFact& fact) {
  if (!thread.cpu) return;
  fact.cpu_ms = (thread.cpu->user_us + thread.cpu->system_us) / 1000;
  fact.cpu_system_ms = thread.cpu->system_us / 1000;
  fact.cpu_from = thread.cpu->remainder ? CpuFrom::core_remainder : CpuFrom::core;
}

}  // namespace

bool has_c_library_linked_in(const Modules& modules) {
  return std::ranges::none_of(modules.list, [](const Module& module) {
    return module.name().starts_with("libc.") || module.name().starts_with("libc-") ||
           module.name().starts_with("ld-musl-");
  });
}

std::string signal_name(std::int64_t number) {
  if (number > 0 && number < static_cast<std::int64_t>(signal_names.size())) {
    return signal_names[static_cast<std::size_t>(number)];
  }
  return "signal " + std::to_string(number);
}

void add_basics(const View& view, const Input& input, std::int32_t signal_thread, Ledger& ledger) {
  Facts& facts = ledger.facts;
  facts.inputs.push_back(input_fact(view, input));
  facts.processes.push_back(process_fact(view));
  for (const Module& module : view.modules.list) facts.modules.push_back(module_fact(view, module));
  const ProcessFact& process = facts.processes.back();
  const bool crashed = process.dump_reason == DumpReason::signal;
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    const CoreThread& thread = view.core.threads[i];
    ThreadFact fact;
    fact.process = view.process;
    fact.tid = thread.tid;
    fact.entry = entry_of(view, i);
    set_time(thread, fact);
    if (crashed && thread.tid == signal_thread) fact.state = ThreadState::crashed;
    facts.threads.push_back(std::move(fact));
  }
}

// Where multiprocessing's child begins: what lies outside it in a forked one is the parent's call
// of start(), copied.
static bool begins_child(const Frame& frame) {
  return frame.kind == FrameKind::python && frame.function.ends_with("_bootstrap") &&
         frame.file.ends_with("multiprocessing/process.py");
}

// Of a thread whose own function is inlined into what began it: the outermost of the program's own.
static std::string inlined_entry(const Facts& facts, const Stack& stack) {
  for (auto f = stack.frames.rbegin(); f != stack.frames.rend(); ++f) {
    const Frame& frame = facts.frames[*f];
    if (frame.kind == FrameKind::inline_ && frame.in_app.value_or(false) && !frame.function.empty())
      return plain_function(frame.function);
    if (frame.in_app.value_or(false) && !is_standard_library(frame.function)) break;
  }
  return {};
}

// The innermost frame of the user's own code, else of a library that is not the runtime's.
static std::optional<std::uint32_t> find_site(const Facts& facts, const Stack& stack) {
  std::optional<std::uint32_t> library;
  for (std::uint32_t f = 0; f < stack.frames.size(); ++f) {
    const Frame& frame = facts.frames[stack.frames[f]];
    if (begins_child(frame)) break;
    const bool named = !frame.function.empty() && frame.function != "_start" &&
                       !frame.function.ends_with("not yet entered)");
    if (named && frame.in_app.value_or(false)) return f;
    if (library || !named || frame.kind == FrameKind::inline_) continue;
    const bool python_library =
        frame.kind == FrameKind::python && ring_of_python(frame.file) == Ring::library;
    const bool native_library =
        frame.module.known() &&
        ring_of_module(facts.modules[frame.module.index].path) == Ring::library;
    if (python_library || native_library) library = f;
  }
  return library;
}

void add_sites(const View& view, Ledger& ledger) {
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    ThreadFact& thread = ledger.thread(view.thread_id(i));
    if (!thread.stack.known()) continue;
    const Stack& stack = ledger.facts.stacks[thread.stack.index];
    if (const auto site = find_site(ledger.facts, stack)) thread.site = site;
    if (thread.entry.empty()) thread.entry = inlined_entry(ledger.facts, stack);
  }
}

}  // namespace coldcase
