#include "modules/modules.hpp"

#include <algorithm>
#include <limits>
#include <map>

#include "base/text.hpp"
#include "modules/link_map.hpp"

namespace coldcase {
namespace {

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t most_header_bytes = 256 * 1024;

bool is_elf(const MemoryImage& image, Addr at) {
  const auto magic = image.read<std::uint32_t>(at);
  return magic && *magic == 0x464c457f;
}

std::uint64_t span_of(const std::vector<elf::ProgramHeader>& headers) {
  std::uint64_t end = 0;
  std::uint64_t begin = UINT64_MAX;
  for (const auto& load : headers) {
    if (load.type != elf::pt_load || load.vaddr > UINT64_MAX - load.memsz) continue;
    begin = std::min(begin, load.vaddr & ~(page - 1));
    end = std::max(end, load.vaddr + load.memsz);
  }
  return end > begin ? (end - begin + page - 1) & ~(page - 1) : 0;
}

std::uint64_t first_address(const std::vector<elf::ProgramHeader>& headers) {
  for (const auto& load : headers) {
    if (load.type == elf::pt_load) return (load.vaddr - load.offset) & ~(page - 1);
  }
  return 0;
}

// The build-id through the core: the note lies in the first page or close behind it.
std::string saved_build_id(const Module& module, const MemoryImage& image) {
  for (const auto& entry : module.headers) {
    if (entry.type != elf::pt_note || entry.filesz > 65536) continue;
    std::string id = parse_build_id(image.view(module.to_process(entry.vaddr), entry.filesz));
    if (!id.empty()) return id;
  }
  return {};
}

bool same_headers(const std::vector<elf::ProgramHeader>& one,
                  const std::vector<elf::ProgramHeader>& other) {
  const auto alike = [](const elf::ProgramHeader& a, const elf::ProgramHeader& b) {
    return a.type == b.type && a.vaddr == b.vaddr && a.offset == b.offset && a.filesz == b.filesz &&
           a.memsz == b.memsz && a.flags == b.flags;
  };
  return std::ranges::equal(one, other, alike);
}

void locate(Module& module, bool is_executable, const FileSearch& search) {
  for (const std::string& path :
       candidate_files(module.path, module.build_id, is_executable, search)) {
    std::unique_ptr<ElfFile> file = open_candidate(path, search);
    if (!file) continue;
    const Identity identity = compare(module, *file);
    if (identity == Identity::none && !module.header_saved) {
      // Nothing in the core tells which build it was: that is no mismatch, and no reason to trust
      // it.
      module.unverifiable = true;
      module.rejected = path;
      continue;
    }
    if (identity == Identity::none) {
      module.found = Found::mismatch;
      module.rejected = path;
      continue;
    }
    module.identity = identity;
    module.found = Found::file;
    module.file = std::move(file);
    break;
  }
}

// A module from the row of NT_FILE that maps its header.
std::optional<Module> module_at(const FileMapping& row, const MemoryImage& image) {
  Module module;
  module.path = std::string(row.path);
  module.header_saved = is_elf(image, row.range.begin);
  if (module.header_saved) {
    module.headers = parse_program_headers(
        image.view(row.range.begin, std::min(row.range.size(), most_header_bytes)));
  } else {
    // The core has no header page (coredump_filter without bit 4): the file tells the layout, and
    // nothing can tell whether it is this file.
    const std::unique_ptr<ElfFile> file = ElfFile::open(module.path);
    if (!file) return std::nullopt;
    module.headers = file->program_headers();
  }
  const std::uint64_t span = span_of(module.headers);
  if (span == 0) return std::nullopt;
  module.bias = row.range.begin.value - first_address(module.headers);
  const auto end = checked_add(row.range.begin, span);
  if (!end) return std::nullopt;
  module.range = {row.range.begin, *end};
  if (!module.header_saved) return module;
  module.build_id = saved_build_id(module, image);
  module.header_page = image.view(row.range.begin, page);
  return module;
}

// A library that something maps to read it, as debuggers and symbolizers do: where its code would
// be, nothing is executable. It is no module, and its bss would hide the one that follows it.
bool is_mapped_as_data(const Module& module, const std::vector<const Segment*>& by_address) {
  for (const elf::ProgramHeader& load : module.headers) {
    if (load.type != elf::pt_load || (load.flags & elf::flag_x) == 0) continue;
    const Addr at = module.to_process(load.vaddr);
    const auto above = std::ranges::upper_bound(
        by_address, at, {}, [](const Segment* one) { return one->range.begin; });
    if (above == by_address.begin()) return false;
    const Segment& segment = **(above - 1);
    if (segment.range.contains(at)) return !segment.executable;
  }
  return false;
}

// One file may be mapped several times: in namespaces of their own (dlmopen), or from memory that
// has no name (memfd). What is here of one is here of all.
void share_files(Modules& modules) {
  std::map<std::string_view, const Module*> here;
  for (const Module& module : modules.list) {
    if (module.file && module.found == Found::file) here.try_emplace(module.build_id, &module);
  }
  for (Module& module : modules.list) {
    const auto other =
        module.build_id.empty() || module.file ? here.end() : here.find(module.build_id);
    if (other == here.end()) continue;
    std::unique_ptr<ElfFile> file = ElfFile::open(other->second->file->path());
    if (!file || compare(module, *file) != Identity::build_id) continue;
    module.identity = Identity::build_id;
    module.found = Found::file;
    module.file = std::move(file);
  }
}

void add_vdso(const Core& core, const MemoryImage& image, Modules& modules) {
  const auto at = core.auxv_value(elf::at_sysinfo_ehdr);
  if (!at || modules.find(Addr{*at}) != nullptr) return;
  const Bytes bytes = image.view(Addr{*at}, 64 * 1024);
  std::unique_ptr<ElfFile> file = ElfFile::from_memory(bytes, "[vdso]");
  if (!file) return;
  Module module;
  module.path = "[vdso]";
  module.headers = file->program_headers();
  module.bias = *at - first_address(module.headers);
  module.range = {Addr{*at}, Addr{*at + bytes.size()}};
  module.build_id = file->build_id();
  module.header_saved = true;
  module.identity = Identity::build_id;
  module.found = Found::core;
  module.file = std::move(file);
  modules.list.push_back(std::move(module));
  std::ranges::sort(modules.list, {}, [](const Module& m) { return m.range.begin; });
}

}  // namespace

// The identity ladder. Program headers are compared in any case: patchelf keeps a build-id.
Identity compare(const Module& module, const ElfFile& file) {
  if (!module.header_saved || !same_headers(module.headers, file.program_headers()))
    return Identity::none;
  if (!module.build_id.empty() && module.build_id == file.build_id()) return Identity::build_id;
  if (module.build_id.empty() && file.build_id().empty()) return Identity::same_layout;
  // patchelf (every repaired wheel) moves the note with the build-id into pages that no core saves,
  // or leaves its program header behind: seen with PyPI's pyzmq 19 to 27. The core then tells none,
  // and the whole header page is what is left to compare.
  const Bytes page_of_file = slice(file.bytes(), 0, module.header_page.size());
  if (module.build_id.empty() && module.header_page.size() == page &&
      std::ranges::equal(module.header_page, page_of_file))
    return Identity::same_layout;
  return Identity::none;
}

std::string_view Module::name() const {
  return base_name(without_deleted(path));
}

const ElfFile* Module::symbols() const {
  if (debug && debug->has_symtab()) return debug.get();
  return file.get();
}

const ElfFile* Module::packed_symbols() const {
  constexpr std::size_t most = std::size_t{64} << 20;
  if (tried_packed) return packed.get();
  tried_packed = true;
  const ElfSection* section =
      file && !debug && !file->has_symtab() ? file->find_section(".gnu_debugdata") : nullptr;
  if (section == nullptr) return nullptr;
  auto bytes =
      unpack_debug_data(slice(file->bytes(), section->header.offset, section->header.size), most);
  if (!bytes.empty()) packed = ElfFile::from_buffer(std::move(bytes), file->path());
  return packed.get();
}

SymbolLevel Module::level() const {
  if ((file && file->has_dwarf()) || (debug && debug->has_dwarf())) return SymbolLevel::dwarf;
  const bool full = file && (file->has_symtab() || file->find_section(".gnu_debugdata") != nullptr);
  if (full || debug) return SymbolLevel::full;
  return file && file->has_dynsym() ? SymbolLevel::dynamic : SymbolLevel::none;
}

bool Module::of_c_library() const {
  return starts_with_any(name(),
                         {"libc.so", "libc-2", "libpthread", "ld-linux", "ld-2", "libm.so"});
}

std::optional<Addr> Module::find_symbol(std::string_view wanted) const {
  for (const ElfFile* from : {file.get(), debug.get()}) {
    if (from == nullptr) continue;
    if (const auto symbol = from->find_symbol(wanted)) return to_process(symbol->value);
  }
  return std::nullopt;
}

const Module* Modules::find(Addr at) const {
  auto above =
      std::ranges::upper_bound(list, at, {}, [](const Module& m) { return m.range.begin; });
  if (above == list.begin()) return nullptr;
  --above;
  return above->range.contains(at) ? &*above : nullptr;
}

std::vector<std::reference_wrapper<const Module>> Modules::in_lookup_order() const {
  std::vector<std::reference_wrapper<const Module>> order(list.begin(), list.end());
  std::ranges::stable_sort(order, {}, [](const Module& module) {
    return module.loaded.value_or(std::numeric_limits<std::uint32_t>::max());
  });
  return order;
}

Modules find_modules(const Core& core, const MemoryImage& image, const FileSearch& search) {
  Modules modules;
  std::vector<const Segment*> by_address;
  for (const Segment& segment : core.segments) by_address.push_back(&segment);
  std::ranges::sort(by_address, {}, [](const Segment* one) { return one->range.begin; });
  for (const FileMapping& row : core.files) {
    // Later rows of a module lie inside the span its headers tell.
    if (row.offset != 0 || modules.find(row.range.begin) != nullptr) continue;
    auto module = module_at(row, image);
    if (module && !is_mapped_as_data(*module, by_address))
      modules.list.push_back(std::move(*module));
  }
  add_vdso(core, image, modules);
  read_link_maps(core, image, modules);
  if (core.files.empty() && modules.list.empty()) add_modules_by_magic(core, image, modules);
  std::ranges::sort(modules.list, {}, [](const Module& m) { return m.range.begin; });
  const auto program = core.auxv_value(elf::at_phdr);
  const Module* main = program ? modules.find(Addr{*program}) : nullptr;
  if (main != nullptr) modules.executable = modules.index_of(main);
  for (Module& module : modules.list) {
    if (!module.file) locate(module, &module == main, search);
  }
  share_files(modules);
  for (Module& module : modules.list) {
    if (module.found != Found::core) find_debug_files(module, search);
  }
  return modules;
}

std::vector<Extent> file_extents(const Core& core, const Modules& modules) {
  std::vector<Extent> extents;
  for (const FileMapping& row : core.files) {
    const Module* module = modules.find(row.range.begin);
    if (module == nullptr || module->path != row.path) continue;
    Extent extent{row.range, {}, Source::file, Absence::file_missing};
    if (module->file) {
      extent.bytes = slice(module->file->bytes(), row.offset, row.range.size());
      extent.rest = Absence::not_mapped;
    } else if (module->found == Found::mismatch) {
      extent.rest = Absence::file_mismatch;
    } else if (module->unverifiable) {
      extent.rest = Absence::file_unproved;
    }
    extents.push_back(extent);
  }
  return extents;
}

}  // namespace coldcase
