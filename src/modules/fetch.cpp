#include "modules/fetch.hpp"

#include <algorithm>
#include <map>

#include "base/text.hpp"

namespace coldcase {
namespace {

constexpr std::size_t stack_window = std::size_t{256} << 10;  // of one thread
constexpr std::size_t most_scanned = std::size_t{32} << 20;   // of all

bool is_code(const Module& module, Addr at) {
  const std::uint64_t value = module.to_file(at);
  return std::ranges::any_of(module.headers, [&](const elf::ProgramHeader& load) {
    return load.type == elf::pt_load && (load.flags & elf::flag_x) != 0 && value >= load.vaddr &&
           value - load.vaddr < load.memsz;
  });
}

// Modules that an instruction pointer or a word on a stack leads into: a superset of those with
// frames, told before any stack can be walked, so that all is asked for at once.
std::vector<bool> on_stacks(const Core& core, const MemoryImage& saved, const Modules& modules) {
  std::vector<bool> seen(modules.list.size());
  if (modules.list.empty()) return seen;
  const Addr lowest = modules.list.front().range.begin;
  Addr highest = lowest;
  for (const Module& module : modules.list) highest = std::max(highest, module.range.end);
  const auto look = [&](Addr at) {
    if (at < lowest || at >= highest) return;
    const Module* module = modules.find(at);
    if (module == nullptr || seen[modules.index_of(module)] || !is_code(*module, at)) return;
    seen[modules.index_of(module)] = true;
  };
  std::size_t scanned = 0;
  for (const CoreThread& thread : core.threads) {
    look(thread.registers.at(Registers::rip));
    const Bytes stack = saved.view(thread.registers.at(Registers::rsp), stack_window);
    for (std::size_t at = 0; at + 8 <= stack.size() && scanned < most_scanned; at += 8) {
      look(Addr{*parse_at<std::uint64_t>(stack, at)});
      scanned += 8;
    }
  }
  if (modules.executable != Modules::npos) seen[modules.executable] = true;
  return seen;
}

bool lacks_debug(const Module& module) {
  const bool whole = module.file && module.file->has_symtab() && module.file->has_dwarf();
  return !whole && !(module.debug && module.debug->has_dwarf());
}

using Answers = std::map<FetchRequest, FetchAnswer>;

// Asks for what is not yet answered, all at once.
void ask(Debuginfod& servers, const std::vector<FetchRequest>& wanted, Answers& answers) {
  std::vector<FetchRequest> requests;
  for (const FetchRequest& request : wanted) {
    if (request.build_id.size() > 2 && answers.try_emplace(request).second)
      requests.push_back(request);
  }
  const std::vector<FetchAnswer> given = servers.fetch(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) answers[requests[i]] = given[i];
}

// What came for this request; null also when it is no ELF file for us, which is said.
std::unique_ptr<ElfFile> open_answer(const Answers& answers, const FetchRequest& request,
                                     Module& module) {
  const auto answer = answers.find(request);
  if (answer == answers.end() || answer->second.path.empty()) return nullptr;
  std::unique_ptr<ElfFile> file = ElfFile::open(answer->second.path);
  if (!file || file->build_id() != request.build_id) {
    module.refused_file = answer->second.path;
    return nullptr;
  }
  return file;
}

void apply(Module& module, const Answers& answers, const FileSearch& search) {
  if (!module.file) {
    auto file = open_answer(answers, {module.build_id, FetchKind::executable}, module);
    const Identity identity = file ? compare(module, *file) : Identity::none;
    if (identity != Identity::none) {
      module.file = std::move(file);
      module.identity = identity;
      module.found = Found::debuginfod;
    } else if (file) {
      module.refused_file = file->path();
    }
  }
  if (lacks_debug(module)) {
    auto debug = open_answer(answers, {module.build_id, FetchKind::debuginfo}, module);
    if (debug) {
      module.supplement.reset();
      module.lacks_supplement.clear();
      module.debug = std::move(debug);
    }
  }
  find_debug_files(module, search);
}

void fetch_supplements(const std::vector<Module*>& modules, Debuginfod& servers, Answers& answers) {
  std::vector<FetchRequest> wanted;
  for (const Module* module : modules) {
    if (!module->lacks_supplement.empty())
      wanted.push_back({module->lacks_supplement, FetchKind::debuginfo});
  }
  ask(servers, wanted, answers);
  for (Module* module : modules) {
    if (module->lacks_supplement.empty()) continue;
    auto common = open_answer(answers, {module->lacks_supplement, FetchKind::debuginfo}, *module);
    if (common) add_supplement(*module, std::move(common));
  }
}

// The servers' cache keeps what they sent, right or wrong.
FetchNote note_of_refused(const Module& module) {
  const std::string folder = module.refused_file.substr(0, module.refused_file.find_last_of('/'));
  const bool plain = folder.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                         "0123456789/._-") == std::string::npos;
  return {"debuginfod-refused", true,
          "what a debuginfod server sent for " + clean_text(module.name()) +
              " is another file than was asked for, and is not used",
          "drop it from the cache before asking again", plain ? "rm -r " + folder : ""};
}

std::vector<FetchNote> notes_of(const std::vector<Module*>& modules) {
  std::vector<FetchNote> notes;
  std::vector<const Module*> without;
  for (const Module* module : modules) {
    if (!module->refused_file.empty()) notes.push_back(note_of_refused(*module));
    if (module->file && (lacks_debug(*module) || !module->lacks_supplement.empty()))
      without.push_back(module);
  }
  if (without.empty()) return notes;
  std::string text = "no debug information came for " + clean_text(without.front()->name());
  if (without.size() > 1) text += " and " + counted(without.size() - 1, "other file");
  notes.push_back({"debuginfo-missing", false, text + ": lines there are not told", "",
                   supply_command(*without.front())});
  return notes;
}

std::optional<PackageNote> package_of(const Module& module) {
  const Bytes bytes = module.file ? module.file->bytes() : module.header_page;
  for (const elf::ProgramHeader& entry : module.headers) {
    if (entry.type != elf::pt_note) continue;
    if (auto package = parse_package_note(slice(bytes, entry.offset, entry.filesz))) return package;
  }
  return std::nullopt;
}

}  // namespace

std::vector<FetchNote> fetch_files(const Core& core, const MemoryImage& saved,
                                   const FileSearch& search, Modules& modules,
                                   Debuginfod& servers) {
  const std::vector<bool> seen = on_stacks(core, saved, modules);
  std::vector<Module*> lacking;
  std::vector<FetchRequest> wanted;
  for (std::size_t i = 0; i < modules.list.size(); ++i) {
    Module& module = modules.list[i];
    if (!seen[i] || module.build_id.empty() || module.found == Found::core) continue;
    if (!module.file) wanted.push_back({module.build_id, FetchKind::executable});
    if (lacks_debug(module)) wanted.push_back({module.build_id, FetchKind::debuginfo});
    if (!module.file || lacks_debug(module) || !module.lacks_supplement.empty())
      lacking.push_back(&module);
  }
  Answers answers;
  ask(servers, wanted, answers);
  for (Module* module : lacking) apply(*module, answers, search);
  fetch_supplements(lacking, servers, answers);
  return notes_of(lacking);
}

std::string supply_command(const Module& module) {
  if (module.found == Found::core || module.build_id.empty()) return {};
  const bool debug = module.file != nullptr;
  if (debug && !lacks_debug(module)) {
    return module.lacks_supplement.empty() ? ""
                                           : "debuginfod-find debuginfo " + module.lacks_supplement;
  }
  const auto package = package_of(module);
  if (package && package->type == "deb") {
    return "apt-get install " + package->name + (debug ? "-dbgsym" : "") +
           (package->version.empty() ? "" : "=" + package->version);
  }
  if (package && package->type == "rpm") {
    return (debug ? "dnf debuginfo-install " : "dnf install ") + package->name +
           (package->version.empty() ? "" : "-" + package->version);
  }
  return (debug ? "debuginfod-find debuginfo " : "debuginfod-find executable ") + module.build_id;
}

}  // namespace coldcase
