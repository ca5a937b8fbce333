#include "modules/fetch.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <coldcase/result.hpp>
#include <map>

#include "base/text.hpp"
#include "bytes/handles.hpp"
#include "modules/section_file.hpp"

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

Mapping map_section(const std::string& path) {
  const FileHandle file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};
  struct stat about {};
  if (!file.valid() || ::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode)) return {};
  if (about.st_size <= 0) return {};
  try {
    return {file.get(), static_cast<std::uint64_t>(about.st_size)};
  } catch (const Error&) {
    return {};  // as good as not there
  }
}

// What came of a debug file that is too large. The sections are copied: their files may go.
void use_sections(Module& module, const FetchAnswer& answer) {
  std::array<Mapping, section_names.size()> files;
  for (std::size_t k = 0; k < files.size(); ++k) {
    if (!answer.sections[k].empty()) files[k] = map_section(answer.sections[k]);
  }
  auto parts = join_sections(
      {files[0].bytes(), files[1].bytes(), files[2].bytes(), files[3].bytes(), files[4].bytes()},
      answer.sections[1]);
  if (parts && agrees(module, *parts))
    module.parts = std::move(parts);
  else
    module.refused_file = answer.sections[1];
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
    const auto answer = answers.find({module.build_id, FetchKind::debuginfo});
    if (module.file && !module.debug && answer != answers.end() && answer->second.has_sections())
      use_sections(module, answer->second);
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

FetchNote note_of_parts(const Module& module) {
  const bool lines = module.parts->find_section(".debug_line") != nullptr;
  return {
      "debuginfo-parts", false,
      "the debug information of " + clean_text(module.name()) + " is too large to come whole: " +
          (lines ? "names and lines come from parts of it. Functions inlined there are not told, "
                   "and a line may be of one of them"
                 : "names come from parts of it, lines there are not told"),
      "", supply_command(module)};
}

std::vector<FetchNote> notes_of(const std::vector<Module*>& modules) {
  std::vector<FetchNote> notes;
  std::vector<const Module*> without;
  for (const Module* module : modules) {
    if (!module->refused_file.empty()) notes.push_back(note_of_refused(*module));
    if (module->parts) notes.push_back(note_of_parts(*module));
    const bool lacks = lacks_debug(*module) || !module->lacks_supplement.empty();
    if (module->file && lacks && !module->parts) without.push_back(module);
  }
  if (without.empty()) return notes;
  std::string text = "no debug information came for " + clean_text(without.front()->name());
  if (without.size() > 1) text += " and " + counted(without.size() - 1, "other file");
  notes.push_back({"debuginfo-missing", false, text + ": lines there are not told", "",
                   supply_command(*without.front())});
  return notes;
}

// By build-id, from the servers in DEBUGINFOD_URLS. A package note of Debian's names the source
// package, whose files are in packages of other names, so that no command for apt can be made of
// it: Debian 12's libsystemd.so.0 says "systemd" and comes with libsystemd0, its debug file with
// libsystemd0-dbgsym.
std::string find_command(std::string_view kind, std::string_view build_id) {
  return "debuginfod-find " + std::string(kind) + " " + std::string(build_id);
}

// Fedora's packages are found by the files in them; gdb there advises the same.
std::string dnf_command(bool debug, const std::string& build_id) {
  const std::string file = "/.build-id/" + build_id.substr(0, 2) + "/" + build_id.substr(2);
  return debug ? "dnf --enablerepo='*debug*' install /usr/lib/debug" + file + ".debug"
               : "dnf install /usr/lib" + file;
}

// Of these modules missing files cost something.
std::vector<std::size_t> worth_asking(const Core& core, const MemoryImage& saved,
                                      const Modules& modules) {
  const std::vector<bool> seen = on_stacks(core, saved, modules);
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < modules.list.size(); ++i) {
    const Module& module = modules.list[i];
    if (seen[i] && !module.build_id.empty() && module.found != Found::core) indices.push_back(i);
  }
  return indices;
}

// False when the module has all its files.
bool add_missing(const Module& module, std::vector<FetchRequest>& wanted) {
  const std::size_t before = wanted.size();
  if (!module.file) wanted.push_back({module.build_id, FetchKind::executable});
  if (lacks_debug(module)) {
    wanted.push_back({module.build_id, module.parts ? FetchKind::sections : FetchKind::debuginfo});
  }
  if (!module.lacks_supplement.empty())
    wanted.push_back({module.lacks_supplement, FetchKind::debuginfo});
  return wanted.size() > before;
}

}  // namespace

std::optional<PackageNote> package_of(const Module& module) {
  const Bytes bytes = module.file ? module.file->bytes() : module.header_page;
  for (const elf::ProgramHeader& entry : module.headers) {
    if (entry.type != elf::pt_note) continue;
    if (auto package = parse_package_note(slice(bytes, entry.offset, entry.filesz))) return package;
  }
  return std::nullopt;
}

std::vector<FetchRequest> missing_files(const Core& core, const MemoryImage& saved,
                                        const Modules& modules, std::size_t most) {
  std::vector<FetchRequest> missing;
  for (const std::size_t i : worth_asking(core, saved, modules))
    add_missing(modules.list[i], missing);
  std::erase_if(missing, [](const FetchRequest& one) { return one.build_id.size() <= 2; });
  std::ranges::sort(missing);
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  missing.resize(std::min(missing.size(), most));
  return missing;
}

std::vector<FetchNote> fetch_files(const Core& core, const MemoryImage& saved,
                                   const FileSearch& search, Modules& modules,
                                   Debuginfod& servers) {
  std::vector<Module*> lacking;
  std::vector<FetchRequest> wanted;
  for (const std::size_t i : worth_asking(core, saved, modules)) {
    if (add_missing(modules.list[i], wanted)) lacking.push_back(&modules.list[i]);
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
  const bool rpm = package && package->type == "rpm" && module.build_id.size() > 2;
  return rpm ? dnf_command(debug, module.build_id)
             : find_command(debug ? "debuginfo" : "executable", module.build_id);
}

}  // namespace coldcase
