#include "lens/basics.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <map>

#include "base/digest.hpp"
#include "base/rings.hpp"
#include "base/text.hpp"

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
  if (module.file && module.found == Found::file && module.file->path() != module.path) {
    fact.file = clean_text(shorten_home(module.file->path()));
  }
  fact.symbols = module.level();
  return fact;
}

// The function a native thread started with: the frame just inside start_thread.
std::string entry_of(const View& view, std::size_t i) {
  const auto& frames = view.threads.walks[i].frames;
  for (std::size_t f = 1; f < frames.size(); ++f) {
    const std::string& symbol = view.threads.name_of(frames[f]).symbol;
    if (symbol != "start_thread" && !symbol.starts_with("__libc_start_call_main") &&
        symbol != "__libc_start_main")
      continue;
    const CodeName& inner = view.threads.name_of(frames[f - 1]);
    return clean_text(inner.function, 256);
  }
  return {};
}

void add_file_gaps(const View& view, Ledger& ledger) {
  std::vector<bool> on_stack(view.modules.list.size());
  for (std::uint32_t i = 0; i < view.threads.rules.size(); ++i) {
    if (const Module* module = view.threads.rules.row(i).module)
      on_stack[view.modules.index_of(module)] = true;
  }
  std::size_t unverifiable = 0;
  for (std::size_t i = 0; i < view.modules.list.size(); ++i) {
    const Module& module = view.modules.list[i];
    if (module.file && module.identity == Identity::same_layout && on_stack[i]) {
      ledger.add_note("unverified-file", Severity::info,
                      clean_text(module.name()) +
                          (!module.file->build_id().empty() ? "'s build-id is not in the core"
                                                            : " has no build-id") +
                          "; the file here has the same layout and is used, and nothing is called "
                          "proved through it",
                      {view.module_id(&module)});
    }
    if (module.file) continue;
    const std::string name = clean_text(module.name());
    const std::string option = "--sysroot DIR, or --executable " + name + "=FILE";
    if (module.found == Found::mismatch) {
      ledger.add_note("module-mismatch", on_stack[i] ? Severity::warning : Severity::info,
                      name + ": " + clean_text(shorten_home(module.rejected)) +
                          " is another build than the one that ran, and is not used",
                      {view.module_id(&module)},
                      "supply the file of the machine the process ran on: " + option);
    } else if (module.unverifiable) {
      ++unverifiable;
    } else if (on_stack[i]) {
      ledger.add_note(
          "module-missing", Severity::warning,
          name +
              " is not on this machine: the frames in it have no names, and stacks may end there",
          {view.module_id(&module)}, "supply it: " + option);
    }
  }
  if (unverifiable > 0) {
    ledger.add_note("module-unverified", Severity::warning,
                    "the pages that would identify " + counted(unverifiable, "mapped file") +
                        " are not in the core (it was cut short, or written without ELF headers): "
                        "the files here are "
                        "not used, and stacks end in them",
                    {}, "take the core whole, with bit 4 of /proc/PID/coredump_filter set");
  }
}

// glibc 2.42 and later makes guard pages inside the mapping of a stack (MADV_GUARD_INSTALL); gdb 13
// stops at the first of them and leaves the rest of the mapping zero (native-waits.md 1.5). The
// thread block then lacks its pointer to itself, and nothing lies at the stack pointer.
bool stack_is_zero(const View& view, const CoreThread& thread) {
  const auto block = view.image.read<std::uint64_t>(thread.registers.at(Registers::fs_base));
  const auto top =
      view.image.read<std::array<std::uint64_t, 8>>(thread.registers.at(Registers::rsp));
  return block && *block == 0 && top && *top == std::array<std::uint64_t, 8>{};
}

void add_zero_stacks(const View& view, Ledger& ledger) {
  if (view.core.writer != Writer::gcore) return;
  const auto count = static_cast<std::uint64_t>(std::ranges::count_if(
      view.core.threads, [&](const CoreThread& thread) { return stack_is_zero(view, thread); }));
  if (count == 0) return;
  ledger.add_note("zero-stacks", Severity::warning,
                  "the stacks of " + counted(count, "thread") +
                      " are all zeros in this core: gcore did not get past a guard page. Their "
                      "registers are right; what they hold and how they came here is lost",
                  {},
                  "use a newer gdb, or a kernel core: kill -ABRT PID with  ulimit -c unlimited");
}

void set_time(const CoreThread& thread, ThreadFact& fact) {
  if (!thread.cpu) return;
  fact.cpu_ms = (thread.cpu->user_us + thread.cpu->system_us) / 1000;
  fact.cpu_system_ms = thread.cpu->system_us / 1000;
  fact.cpu_from = thread.cpu->remainder ? CpuFrom::core_remainder : CpuFrom::core;
}

}  // namespace

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

void add_sites(const View& view, Ledger& ledger) {
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    ThreadFact& thread = ledger.thread(view.thread_id(i));
    if (!thread.stack.known()) continue;
    const Stack& stack = ledger.facts.stacks[thread.stack.index];
    std::optional<std::uint32_t> library;
    for (std::uint32_t f = 0; f < stack.frames.size(); ++f) {
      const Frame& frame = ledger.facts.frames[stack.frames[f]];
      if (begins_child(frame)) break;
      const bool named = !frame.function.empty() && frame.function != "_start" &&
                         !frame.function.ends_with("not yet entered)");
      if (named && frame.in_app.value_or(false)) {
        thread.site = f;
        break;
      }
      if (library || !named || frame.kind == FrameKind::inline_) continue;
      const bool python_library =
          frame.kind == FrameKind::python && ring_of_python(frame.file) == Ring::library;
      const bool native_library =
          frame.module.known() &&
          ring_of_module(ledger.facts.modules[frame.module.index].path) == Ring::library;
      if (python_library || native_library) library = f;
    }
    if (!thread.site) thread.site = library;
  }
}

// Threads of a Go program carry its goroutines, which wait without one.
static void add_goroutines_gap(const View& view, Ledger& ledger) {
  if (view.modules.executable == Modules::npos) return;
  const Module& program = view.modules.list[view.modules.executable];
  if (!program.file || program.file->go_table() == nullptr) return;
  ledger.add_note("goroutines-unread", Severity::info,
                  "what goroutines wait for is not read: only the threads that run them are",
                  {view.module_id(&program)},
                  "Go's own debugger reads them: dlv core PROGRAM CORE");
}

void add_gaps(const View& view, const Input& input, Ledger& ledger) {
  const Core& core = view.core;
  const InputId id{view.process.index};
  if (core.truncated()) {
    const double percent = core.declared_bytes == 0
                               ? 0
                               : 100.0 * static_cast<double>(core.file.size()) /
                                     static_cast<double>(core.declared_bytes);
    std::string text = std::to_string(static_cast<int>(percent)) + "." +
                       std::to_string(static_cast<int>(percent * 10) % 10) +
                       " % of the core's declared bytes are present: it was cut short";
    if (core.threads.empty())
      text += ", and the registers of its threads were at the end (gcore writes them last)";
    ledger.add_note("truncated", core.threads.empty() ? Severity::error : Severity::warning, text,
                    {id}, "take it again with room on the disk and  ulimit -c unlimited");
  }
  if (!input.cut_short.empty()) {
    ledger.add_note("compressed-cut", Severity::warning,
                    "the compressed file could not be read to its end: " + input.cut_short, {id});
  }
  add_file_gaps(view, ledger);
  add_goroutines_gap(view, ledger);
  add_zero_stacks(view, ledger);
  std::map<std::string, std::size_t> ended;
  for (const Walk& walk : view.threads.walks) {
    if (walk.stop.code == StopCode::outermost) continue;
    const Absence why = walk.stop.fault ? walk.stop.fault->why : Absence::malformed;
    ++ended[walk.stop.code == StopCode::limit ? "at the limit of frames"
            : walk.stop.fault                 ? std::string(text_of(why))
                                              : "where no unwind information leads on"];
  }
  for (const auto& [why, count] : ended) {
    ledger.add_note("stack-incomplete", Severity::warning,
                    "the stack of " + counted(count, "thread") + " ends early: " + why, {});
  }
}

}  // namespace coldcase
