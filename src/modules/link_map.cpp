#include "modules/link_map.hpp"

#include <algorithm>

#include "image/walk.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_modules = 10'000, most_namespaces = 16;  // glibc: DL_NNS
constexpr std::int64_t dt_debug = 21, dt_strtab = 5, dt_soname = 14;

struct LinkMap {  // link.h, both C libraries
  std::uint64_t l_addr, l_name, l_ld, l_next, l_prev;
};

std::optional<std::uint64_t> dynamic_value(const MemoryImage& image, Addr dynamic,
                                           std::int64_t tag) {
  for (std::uint64_t i = 0; i < 256; ++i) {
    const auto entry =
        image.read<elf::Dynamic>(offset_by(dynamic, static_cast<std::int64_t>(i * 16)));
    if (!entry || entry->tag == 0) return std::nullopt;
    if (entry->tag == tag) return entry->value;
  }
  return std::nullopt;
}

// struct r_debug (link.h): r_version at 0, r_map at 8; from glibc 2.35 on, where r_version is 2,
// r_next at 40: that of the next namespace.
std::optional<Addr> find_debug(const Core& core, const MemoryImage& image) {
  const auto phdr = core.auxv_value(elf::at_phdr);
  const auto count = core.auxv_value(elf::at_phnum);
  if (!phdr || !count) return std::nullopt;
  std::optional<std::uint64_t> bias, dynamic;
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(*count, 64); ++i) {
    const auto entry = image.read<elf::ProgramHeader>(Addr{*phdr + i * sizeof(elf::ProgramHeader)});
    if (!entry) return std::nullopt;
    if (entry->type == elf::pt_phdr) bias = *phdr - entry->vaddr;
    if (entry->type == elf::pt_dynamic) dynamic = entry->vaddr;
  }
  if (!dynamic) return std::nullopt;
  const auto debug = dynamic_value(image, Addr{bias.value_or(0) + *dynamic}, dt_debug);
  if (!debug || *debug == 0) return std::nullopt;
  return Addr{*debug};
}

// What the module calls itself (DT_SONAME), for one that no list names.
std::string soname_of(const Module& module, const MemoryImage& image) {
  for (const auto& entry : module.headers) {
    if (entry.type != elf::pt_dynamic) continue;
    const Addr dynamic = module.to_process(entry.vaddr);
    const auto strings = dynamic_value(image, dynamic, dt_strtab);
    const auto soname = dynamic_value(image, dynamic, dt_soname);
    if (!strings || !soname) continue;
    std::string name = image.read_text(Addr{*strings + *soname}, 256).value_or("");
    if (!name.empty()) return name;
  }
  return "(unnamed module)";
}

// The module whose ELF header is at `base`, when the core has saved it.
bool add_saved_module(const MemoryImage& image, Addr base, std::string path, Modules& modules) {
  const auto magic = image.read<std::uint32_t>(base);
  if (!magic || *magic != 0x464c457f) return false;
  Module module;
  module.path = std::move(path);
  module.header_saved = true;
  module.headers = parse_program_headers(image.view(base, 65536));
  std::uint64_t end = 0;
  for (const auto& entry : module.headers) {
    if (entry.type == elf::pt_load && entry.vaddr < (std::uint64_t{1} << 47)) {
      end = std::max(end, entry.vaddr + std::min(entry.memsz, std::uint64_t{1} << 40));
    }
  }
  const bool fixed =
      !module.headers.empty() && std::ranges::any_of(module.headers, [&](const auto& h) {
        return h.type == elf::pt_load && h.offset == 0 && h.vaddr == base.value;
      });
  module.bias = fixed ? 0 : base.value;
  const Addr last{module.bias + end};
  if (end == 0 || last <= base || modules.find(base) != nullptr) return false;
  module.range = {base, last};
  for (const auto& entry : module.headers) {
    if (entry.type != elf::pt_note || entry.filesz > 65536 || !module.build_id.empty()) continue;
    module.build_id = parse_build_id(image.view(module.to_process(entry.vaddr), entry.filesz));
  }
  if (module.path.empty()) module.path = soname_of(module, image);
  modules.list.push_back(std::move(module));
  std::ranges::sort(modules.list, {}, [](const Module& m) { return m.range.begin; });
  return true;
}

// `own`: it is the namespace of the program.
void read_namespace(const MemoryImage& image, Addr head, bool own, Modules& modules) {
  std::uint32_t place = 0;
  const auto next = [&](Addr at) { return image.read_pointer(offset_by(at, 24)); };
  walk_list(head, most_modules, next, [&](Addr at) {
    const auto entry = image.read<LinkMap>(at);
    if (!entry) return false;
    // l_ld, the dynamic section, lies inside the module; l_addr alone may be 0 (a non-PIE program).
    const Addr inside{entry->l_ld};
    if (modules.find(inside) == nullptr && entry->l_addr != 0 &&
        modules.list.size() < most_modules) {
      add_saved_module(image, Addr{entry->l_addr},
                       image.read_text(Addr{entry->l_name}).value_or(""), modules);
    }
    const Module* module = own ? modules.find(inside) : nullptr;
    if (module != nullptr && !module->loaded) modules.list[modules.index_of(module)].loaded = place;
    ++place;
    return true;
  });
}

}  // namespace

void read_link_maps(const Core& core, const MemoryImage& image, Modules& modules) {
  const auto debug = find_debug(core, image);
  if (!debug) return;
  const auto next = [&](Addr at) -> Read<Addr> {
    const auto version = image.read<std::int32_t>(at);
    return version && *version >= 2 ? image.read_pointer(offset_by(at, 40)) : Read<Addr>(Addr{});
  };
  walk_list(*debug, most_namespaces, next, [&](Addr at) {
    read_namespace(image, image.read_pointer(offset_by(at, 8)).value_or(Addr{}), at == *debug,
                   modules);
    return true;
  });
}

void add_modules_by_magic(const Core& core, const MemoryImage& image, Modules& modules) {
  for (const Segment& segment : core.segments) {
    if (modules.list.size() >= most_modules) break;
    add_saved_module(image, segment.range.begin, "", modules);
  }
}

}  // namespace coldcase
