// What was missing, as notes: each says what it costs and what helps.
#include <algorithm>
#include <array>
#include <map>

#include "base/text.hpp"
#include "lens/basics.hpp"
#include "lens/file_gaps.hpp"

namespace coldcase {
namespace {

// Debug information that is here and was not read to its end.
void add_debug_gaps(const View& view, Ledger& ledger) {
  std::map<const Module*, DebugRead> worst;
  for (const CodeName& name : view.threads.names) {
    if (name.module == nullptr || name.debug_read == DebugRead::whole) continue;
    DebugRead& known = worst[name.module];
    known = std::max(known, name.debug_read);
  }
  for (const auto& [module, read] : worst) {
    const std::string name = clean_text(module->name());
    if (read == DebugRead::cut_short) {
      ledger.add_note("debuginfo-cut-short", Severity::warning,
                      name +
                          "'s debug information is damaged and was not read to its end: lines and "
                          "inlined functions may be missing there",
                      {view.module_id(module)}, "take the file anew from where it was built");
    } else {
      ledger.add_note(
          "debuginfo-split", Severity::info,
          name +
              " was built with -gsplit-dwarf: its lines are told, its inlined functions "
              "are in .dwo or .dwp files, which are not read",
          {view.module_id(module)}, "build it without -gsplit-dwarf to have them told");
    }
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

// Threads of a Go program carry its goroutines, which wait without one.
void add_goroutines_gap(const View& view, Ledger& ledger) {
  if (view.modules.executable == Modules::npos) return;
  const Module& program = view.modules.list[view.modules.executable];
  if (!program.file || program.file->go_table() == nullptr) return;
  ledger.add_note(
      "goroutines-unread", Severity::info,
      "Go runtime: its goroutines are not read, only the threads that run them are",
      {view.module_id(&program)},
      "Go's own debugger reads them: dlv core PROGRAM CORE. While it hangs, kill -QUIT PID "
      "makes it print them all, and ends it");
}

// Machines that run code of their own making, by the names of their files. (Java: the verdict.)
struct VirtualMachine {
  std::string_view file;
  std::string_view code;
  std::string_view text;
  std::string_view advice;
};
constexpr VirtualMachine virtual_machines[] = {
    {"node", "javascript-unread", "V8: what JavaScript waits for and its own frames are not read",
     "llnode reads them:  llnode node -c CORE"},
    {"libnode.so", "javascript-unread",
     "V8: what JavaScript waits for and its own frames are not read",
     "llnode reads them:  llnode node -c CORE"},
};

void add_virtual_machine_gaps(const View& view, Ledger& ledger) {
  for (const Module& module : view.modules.list) {
    const auto machine = std::ranges::find_if(virtual_machines, [&](const VirtualMachine& one) {
      return module.name() == one.file ||
             (one.file.ends_with(".so") && module.name().starts_with(one.file));
    });
    if (machine == std::end(virtual_machines)) continue;
    ledger.add_note(machine->code, Severity::info,
                    std::string(machine->text) + ", native frames are", {view.module_id(&module)},
                    std::string(machine->advice));
    return;
  }
}

// "LWP 12, LWP 14 and 3 more".
std::string name_threads(const std::vector<std::int32_t>& tids) {
  constexpr std::size_t most_named = 6;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::min(tids.size(), most_named); ++i)
    names.push_back("LWP " + std::to_string(tids[i]));
  const std::string text = join(names, ", ");
  return tids.size() <= most_named
             ? text
             : text + " and " + std::to_string(tids.size() - most_named) + " more";
}

// Whose innermost stack page is absent for this reason.
std::vector<std::int32_t> without_stack(const View& view, Absence why) {
  std::vector<std::int32_t> tids;
  for (const CoreThread& thread : view.core.threads) {
    if (view.image.why_absent(thread.registers.at(Registers::rsp)) == why)
      tids.push_back(thread.tid);
  }
  return tids;
}

// The walk ended at bytes that were cut off, or in a file whose identity was.
bool is_cut(const View& view, std::size_t i) {
  const auto& fault = view.threads.walks[i].stop.fault;
  if (!fault) return false;
  const Addr top = view.core.threads[i].registers.at(Registers::rsp);
  const Module* module = view.modules.find(fault->address);
  return fault->why == Absence::truncated || view.image.why_absent(top) == Absence::truncated ||
         (module != nullptr && module->unverifiable);
}

void add_truncation(const View& view, InputId id, Ledger& ledger) {
  const Core& core = view.core;
  if (!core.truncated()) return;
  const double percent = core.declared_bytes == 0 ? 0
                                                  : 100.0 * static_cast<double>(core.file.size()) /
                                                        static_cast<double>(core.declared_bytes);
  std::string text = std::to_string(static_cast<int>(percent)) + "." +
                     std::to_string(static_cast<int>(percent * 10) % 10) +
                     " % of the core's declared bytes are present: it was cut short";
  if (core.threads.empty())
    text += ", and the registers of its threads were at the end (gcore writes them last)";
  std::vector<std::int32_t> tids;
  for (std::size_t i = 0; i < core.threads.size(); ++i) {
    if (is_cut(view, i)) tids.push_back(core.threads[i].tid);
  }
  if (!tids.empty())
    text += "; the " + std::string(tids.size() == 1 ? "stack" : "stacks") + " of " +
            name_threads(tids) + (tids.size() == 1 ? " is" : " are") + " affected";
  ledger.add_note("truncated", core.threads.empty() ? Severity::error : Severity::warning, text,
                  {id}, "take it again with room on the disk and  ulimit -c unlimited");
}

bool is_file(const Core& core, Addr at) {
  return std::ranges::any_of(core.files,
                             [&](const FileMapping& row) { return row.range.contains(at); });
}

// What the process's coredump_filter (core(5)) kept out of a kernel core, by what is lacking: the
// filter itself is not in the core. Bit 0: private memory without a file, stacks among it; bit 3:
// memory that is shared through a file, as /dev/shm's.
void add_filter_gaps(const View& view, InputId id, Ledger& ledger) {
  const Core& core = view.core;
  if (core.writer != Writer::kernel || core.truncated()) return;
  const std::vector<std::int32_t> tids = without_stack(view, Absence::not_saved);
  if (!tids.empty())
    ledger.add_note("filter-stacks", Severity::error,
                    "the " + std::string(tids.size() == 1 ? "stack" : "stacks") + " of " +
                        name_threads(tids) + (tids.size() == 1 ? " was" : " were") +
                        " not written to this core: the process's coredump_filter lacked bit 0",
                    {id}, std::string(filter_remedy));
  std::size_t shared = 0;
  for (const ResourceFact& resource : ledger.facts.resources) {
    shared += std::ranges::any_of(resource.at, [&](const Place& place) {
      return place.process == view.process && is_file(core, place.address) &&
             view.image.why_absent(place.address) == Absence::not_saved;
    });
  }
  if (shared > 0)
    ledger.add_note(
        "filter-shared", Severity::warning,
        counted(shared, "object") + " that threads use " + (shared == 1 ? "lies" : "lie") +
            " in memory shared through a file, which is not in this core: the process's "
            "coredump_filter lacked bit 3, as it does by default",
        {id}, std::string(filter_remedy));
}

}  // namespace

void add_gaps(const View& view, const Input& input, Ledger& ledger) {
  const InputId id{view.process.index};
  add_truncation(view, id, ledger);
  add_filter_gaps(view, id, ledger);
  if (!input.cut_short.empty()) {
    ledger.add_note("compressed-cut", Severity::warning,
                    "the compressed file could not be read to its end: " + input.cut_short, {id});
  }
  add_file_gaps(view, ledger);
  add_debug_gaps(view, ledger);
  add_goroutines_gap(view, ledger);
  add_virtual_machine_gaps(view, ledger);
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
