#include "lens/file_gaps.hpp"

#include <algorithm>
#include <map>

#include "base/text.hpp"
#include "modules/fetch.hpp"

namespace coldcase {
namespace {

// A file that was mapped several times (dlmopen, memfd) is missing once.
struct Missing {
  const Module* module = nullptr;  // the first of them
  std::vector<Ref> all;
  bool on_stack = false;
};

struct Advice {
  std::string text;
  std::string command;
};

bool ran_from_memory(const Module& module) {
  return module.path.starts_with("/memfd:");
}

bool was_deleted(const Module& module) {
  return without_deleted(module.path).size() != module.path.size();
}

std::vector<bool> modules_on_stacks(const View& view) {
  std::vector<bool> seen(view.modules.list.size());
  for (std::uint32_t i = 0; i < view.threads.rules.size(); ++i) {
    if (const Module* module = view.threads.rules.row(i).module)
      seen[view.modules.index_of(module)] = true;
  }
  return seen;
}

std::string text_of_missing(const Module& module) {
  const std::string name = clean_text(module.name());
  if (ran_from_memory(module)) return name + " ran from memory (memfd) and has no file of its own";
  if (was_deleted(module))
    return name + " was deleted or replaced while the process ran, and is not on this machine";
  return name + " is not on this machine";
}

std::string text_of_mismatch(const Module& module) {
  const bool replaced = was_deleted(module) && !ran_from_memory(module);
  return clean_text(module.name()) + ": " + clean_text(shorten_home(module.rejected)) +
         " is another build than the one that ran, and is not used" +
         (replaced ? "; that one was deleted or replaced while the process ran" : "");
}

// What the kernel keeps of a file without a name for as long as it is mapped (proc(5)): "exe", and
// "map_files/" with the range of a mapping, which only root may open. Empty when the name is not
// one for a shell.
std::string copy_command(const View& view, const Module& module) {
  const std::string_view name = module.name();
  const bool plain = !name.empty() && name.front() != '-' && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("+.-_:").find(c) != std::string_view::npos;
  });
  const auto row = std::ranges::find_if(view.core.files, [&](const FileMapping& one) {
    return one.range.begin == module.range.begin;
  });
  if (!plain || row == view.core.files.end()) return {};
  const std::string range =
      hex(row->range.begin.value).substr(2) + "-" + hex(row->range.end.value).substr(2);
  const bool program = view.modules.executable == view.modules.index_of(&module);
  return "cp /proc/" + std::to_string(view.core.process->pid) +
         (program ? "/exe " : "/map_files/" + range + " ") + std::string(name);
}

// gcore lets the process go on: what it runs can be had from it.
Advice advice_for(const View& view, const Module& module) {
  const std::string name = clean_text(module.name());
  const std::string by_name = "--executable " + name + "=FILE";
  const bool nameless = ran_from_memory(module);
  const bool goes_on =
      view.core.writer == Writer::gcore && view.core.process && view.core.process->pid > 0;
  const std::string command = supply_command(module);
  if (!goes_on) return {(nameless ? "" : "--sysroot DIR, or ") + by_name, command};
  const std::string pid = std::to_string(view.core.process->pid);
  if (nameless || was_deleted(module)) {
    const std::string copy = copy_command(view, module);
    if (!copy.empty())
      return {by_name + "; while process " + pid + " runs, a copy in the core's folder will do",
              copy};
  }
  if (nameless) return {by_name, command};
  return {"--sysroot DIR (/proc/" + pid + "/root while it runs in a container), or " + by_name,
          command};
}

void add_missing(const View& view, const Missing& missing, Ledger& ledger) {
  const Module& module = *missing.module;
  Advice advice = advice_for(view, module);
  if (module.found == Found::mismatch) {
    ledger.add_note("module-mismatch", missing.on_stack ? Severity::warning : Severity::info,
                    text_of_mismatch(module), missing.all,
                    "supply the file of the machine the process ran on: " + advice.text,
                    advice.command);
  } else if (missing.on_stack) {
    ledger.add_note(
        "module-missing", Severity::warning,
        text_of_missing(module) + ": the frames in it have no names, and stacks may end there",
        missing.all, "supply it: " + advice.text, advice.command);
  }
}

void add_unverifiable(const View& view, std::size_t count, Ledger& ledger) {
  if (count == 0) return;
  const bool cut = view.core.truncated();
  ledger.add_note(
      "module-unverified", Severity::warning,
      "the pages that would identify " + counted(count, "mapped file") + " are not in the core" +
          (cut ? ", which was cut short"
               : " (written without ELF headers: bit 4 of the process's coredump_filter)") +
          ": the files here are not used, and stacks end in them",
      {}, cut ? "take the core whole" : std::string(filter_remedy));
}

}  // namespace

void add_file_gaps(const View& view, Ledger& ledger) {
  const std::vector<bool> on_stack = modules_on_stacks(view);
  std::vector<Missing> missing;
  std::map<std::pair<std::string_view, std::string_view>, std::size_t> places;
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
    if (module.unverifiable && module.found != Found::mismatch) {
      ++unverifiable;
      continue;
    }
    const auto at = places.try_emplace({module.path, module.build_id}, missing.size()).first;
    if (at->second == missing.size()) missing.push_back({&module, {}, false});
    missing[at->second].all.push_back(view.module_id(&module));
    missing[at->second].on_stack = missing[at->second].on_stack || on_stack[i];
  }
  for (const Missing& one : missing) add_missing(view, one, ledger);
  add_unverifiable(view, unverifiable, ledger);
}

}  // namespace coldcase
