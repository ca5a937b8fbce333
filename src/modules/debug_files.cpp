// The files that belong to a module's own: its debug file, and what dwz moved common parts to.
#include "modules/modules.hpp"

namespace coldcase {
namespace {

bool has_names(const ElfFile& file) {
  return file.has_symtab() || file.has_dwarf();
}

// By the name in .gnu_debuglink. Equal build-ids prove it; where one of the two has none, the CRC
// of the whole file does.
std::unique_ptr<ElfFile> open_linked(const Module& module, const FileSearch& search) {
  const ElfSection* section = module.file->find_section(".gnu_debuglink");
  if (section == nullptr) return nullptr;
  const auto link =
      parse_debug_link(slice(module.file->bytes(), section->header.offset, section->header.size));
  if (!link) return nullptr;
  const std::string& wanted = module.file->build_id();
  for (const std::string& path :
       linked_files(module.path, module.file->path(), link->name, search)) {
    std::unique_ptr<ElfFile> debug = open_candidate(path, search);
    if (!debug || !has_names(*debug)) continue;
    const bool told = !wanted.empty() && !debug->build_id().empty();
    if (told ? debug->build_id() == wanted : debug_link_crc(debug->bytes()) == link->crc)
      return debug;
  }
  return nullptr;
}

std::unique_ptr<ElfFile> open_debug(const Module& module, const FileSearch& search) {
  if (!module.build_id.empty()) {
    for (const std::string& path : debug_files(module.path, module.build_id, search)) {
      std::unique_ptr<ElfFile> debug = open_candidate(path, search);
      if (debug && debug->build_id() == module.build_id) return debug;
    }
  }
  return module.file ? open_linked(module, search) : nullptr;
}

// The file whose DWARF is read: the one that may need a supplement.
ElfFile* dwarf_holder(const Module& module) {
  if (module.debug && module.debug->has_dwarf()) return module.debug.get();
  return module.file && module.file->has_dwarf() ? module.file.get() : nullptr;
}

void find_supplement(Module& module, const FileSearch& search) {
  ElfFile* holder = dwarf_holder(module);
  const ElfSection* section =
      holder == nullptr ? nullptr : holder->find_section(".gnu_debugaltlink");
  if (section == nullptr || module.supplement) return;
  const auto link =
      parse_alt_link(slice(holder->bytes(), section->header.offset, section->header.size));
  if (!link) return;
  for (const std::string& path : supplement_files(holder->path(), *link, search)) {
    std::unique_ptr<ElfFile> common = open_candidate(path, search);
    if (common && add_supplement(module, std::move(common))) return;
  }
  module.lacks_supplement = link->build_id;
}

}  // namespace

bool add_supplement(Module& module, std::unique_ptr<ElfFile> common) {
  ElfFile* holder = dwarf_holder(module);
  const ElfSection* section =
      holder == nullptr ? nullptr : holder->find_section(".gnu_debugaltlink");
  if (section == nullptr) return false;
  const auto link =
      parse_alt_link(slice(holder->bytes(), section->header.offset, section->header.size));
  if (!link || common->build_id() != link->build_id) return false;
  module.supplement = std::move(common);
  module.lacks_supplement.clear();
  holder->set_supplement(module.supplement.get());
  return true;
}

void find_debug_files(Module& module, const FileSearch& search) {
  const bool whole = module.file && module.file->has_symtab() && module.file->has_dwarf();
  if (!whole && !module.debug) module.debug = open_debug(module, search);
  find_supplement(module, search);
}

}  // namespace coldcase
