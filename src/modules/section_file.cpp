#include "modules/section_file.hpp"

#include <algorithm>
#include <cstring>
#include <map>

namespace coldcase {
namespace {

constexpr std::uint64_t most_bytes = std::uint64_t{256} << 20;  // as of inflated DWARF

constexpr std::uint32_t plain_bytes = 1, symbols = 2, strings = 3, notes = 7;  // SHT_*
constexpr std::uint64_t section_compressed = 0x800;                            // SHF_COMPRESSED

struct Part {
  std::string_view name;
  std::uint32_t type;
  Bytes bytes;
};

// A server sends a section as it is in the file, and not its flags. struct Elf64_Chdr: type (1
// zlib, 2 zstd), 0; no table of lines is one byte long, no first text is so odd.
bool looks_compressed(Bytes bytes) {
  const auto type = parse_at<std::uint32_t>(bytes, 0);
  const auto reserved = parse_at<std::uint32_t>(bytes, 4);
  return bytes.size() > 24 && (*type == 1 || *type == 2) && *reserved == 0;
}

template <class T>
void put(std::vector<std::byte>& file, std::uint64_t at, const T& value) {
  std::memcpy(file.data() + at, &value, sizeof value);
}

// Ends in zero: names never run over the end.
void append(std::vector<std::byte>& file, Bytes bytes) {
  file.insert(file.end(), bytes.begin(), bytes.end());
  file.resize((file.size() + 8) & ~std::size_t{7});
}

std::vector<std::byte> build(const std::vector<Part>& parts) {
  std::vector<std::byte> file(sizeof(elf::Header));
  std::vector<elf::SectionHeader> headers(1);
  std::string names(1, '\0');
  for (const Part& part : parts) {
    elf::SectionHeader header{};
    header.name = static_cast<std::uint32_t>(names.size());
    header.type = part.type;
    header.offset = file.size();
    header.size = part.bytes.size();
    header.addralign = part.type == plain_bytes ? 1 : 8;
    if (part.type == symbols) {
      header.entsize = sizeof(elf::Symbol);
      header.link = static_cast<std::uint32_t>(headers.size() + 1);  // the strings come next
    }
    if (part.type == plain_bytes && looks_compressed(part.bytes)) header.flags = section_compressed;
    headers.push_back(header);
    names += std::string(part.name) + '\0';
    append(file, part.bytes);
  }
  elf::SectionHeader own{};
  own.name = static_cast<std::uint32_t>(names.size());
  own.type = strings;
  own.offset = file.size();
  names += std::string(".shstrtab") + '\0';
  own.size = names.size();
  own.addralign = 1;
  headers.push_back(own);
  append(file, std::as_bytes(std::span(names)));
  elf::Header header{};
  header.ident = {0x7f, 'E', 'L', 'F', 2, 1, 1};
  header.type = elf::type_shared;
  header.machine = elf::machine_x86_64;
  header.version = 1;
  header.ehsize = sizeof(elf::Header);
  header.shentsize = sizeof(elf::SectionHeader);
  header.shoff = file.size();
  header.shnum = static_cast<std::uint16_t>(headers.size());
  header.shstrndx = static_cast<std::uint16_t>(headers.size() - 1);
  put(file, 0, header);
  append(file, std::as_bytes(std::span(headers)));
  return file;
}

bool lies_in_code(const Module& module, std::uint64_t value) {
  return std::ranges::any_of(module.headers, [value](const elf::ProgramHeader& load) {
    return load.type == elf::pt_load && (load.flags & elf::flag_x) != 0 && value >= load.vaddr &&
           value - load.vaddr < load.memsz;
  });
}

std::string_view without_version(std::string_view name) {
  return name.substr(0, name.find('@'));
}

}  // namespace

std::unique_ptr<ElfFile> join_sections(const SectionBytes& sections, std::string name) {
  if (sections.note.empty() || sections.symtab.empty() || sections.strtab.empty()) return nullptr;
  std::uint64_t room = most_bytes;
  std::vector<Part> parts;
  const auto add = [&](std::initializer_list<Part> some) {
    std::uint64_t size = 0;
    for (const Part& part : some) size += part.bytes.size();
    if (size > room) return;
    room -= size;
    parts.insert(parts.end(), some);
  };
  add({{".note.gnu.build-id", notes, sections.note},
       {".symtab", symbols, sections.symtab},
       {".strtab", strings, sections.strtab}});
  if (parts.empty()) return nullptr;
  if (!sections.line.empty()) {
    add({{".debug_line", plain_bytes, sections.line},
         {".debug_line_str", plain_bytes, sections.line_text}});
  }
  return ElfFile::from_buffer(build(parts), std::move(name));
}

bool agrees(const Module& module, const ElfFile& sections) {
  if (!module.file || module.build_id.empty() || sections.build_id() != module.build_id)
    return false;
  std::multimap<std::string_view, std::uint64_t> exported;
  module.file->each_symbol([&](const ElfSymbol& symbol) {
    if (symbol.function() && symbol.size != 0)
      exported.emplace(without_version(symbol.name()), symbol.value);
  });
  std::size_t inside = 0, outside = 0, same = 0, other = 0;
  sections.each_symbol([&](const ElfSymbol& symbol) {
    if (!symbol.function() || symbol.size == 0) return;
    ++(lies_in_code(module, symbol.value) ? inside : outside);
    if (symbol.bind == 0) return;  // a local one of the same name may be anywhere
    const auto [first, last] = exported.equal_range(without_version(symbol.name()));
    if (first == last) return;
    const bool there =
        std::any_of(first, last, [&](const auto& one) { return one.second == symbol.value; });
    ++(there ? same : other);
  });
  return inside > 0 && outside == 0 && other == 0 && (exported.empty() || same > 0);
}

}  // namespace coldcase
