#include "modules/elf_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <coldcase/result.hpp>
#include <cstddef>
#include <cstring>

#include "bytes/handles.hpp"
#include "modules/separate.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_headers = 4096;
// A debug file may hold more than this inflated; then its symbols have to do (native-waits.md 11).
constexpr std::uint64_t most_inflated = std::uint64_t{256} << 20;
constexpr std::uint64_t section_compressed = 0x800;  // SHF_COMPRESSED
constexpr std::uint32_t section_without_bytes = 8;   // SHT_NOBITS

}  // namespace

std::string parse_build_id(Bytes notes) {
  while (const auto note = parse_at<elf::NoteHeader>(notes, 0)) {
    const std::uint64_t name_size = (std::uint64_t{note->namesz} + 3) & ~std::uint64_t{3};
    const std::uint64_t desc_size = (std::uint64_t{note->descsz} + 3) & ~std::uint64_t{3};
    const std::uint64_t desc_at = sizeof(elf::NoteHeader) + name_size;
    if (note->type == elf::nt_gnu_build_id && text_at(notes, sizeof(elf::NoteHeader)) == "GNU") {
      const Bytes id = slice(notes, desc_at, note->descsz);
      if (id.size() != note->descsz || id.size() > 64) return {};
      return hex_digits(id);
    }
    notes = slice(notes, desc_at + desc_size, notes.size());
  }
  return {};
}

std::vector<elf::ProgramHeader> parse_program_headers(Bytes bytes) {
  std::vector<elf::ProgramHeader> headers;
  const auto header = parse_at<elf::Header>(bytes, 0);
  if (!header || header->ident[0] != 0x7f || header->ident[4] != 2) return headers;
  const std::size_t count = std::min<std::size_t>(header->phnum, most_headers);
  for (std::size_t i = 0; i < count; ++i) {
    const auto entry =
        parse_at<elf::ProgramHeader>(bytes, header->phoff + i * sizeof(elf::ProgramHeader));
    if (!entry) break;
    headers.push_back(*entry);
  }
  return headers;
}

std::unique_ptr<ElfFile> ElfFile::open(const std::string& path) {
  const FileHandle file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};
  struct stat about {};
  if (!file.valid() || ::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode)) return nullptr;
  if (about.st_size < 64) return nullptr;
  std::unique_ptr<ElfFile> opened{new ElfFile};
  opened->path_ = path;
  try {
    // libelf inflates compressed sections in place: it writes to the section headers.
    opened->mapping_ = Mapping(file.get(), static_cast<std::uint64_t>(about.st_size),
                               Mapping::Access::copy_on_write);
  } catch (const Error&) {
    return nullptr;  // as good as not there; the caller notes the module as missing
  }
  opened->bytes_ = opened->mapping_.bytes();
  opened->writable_ = true;
  return opened->parse() ? std::move(opened) : nullptr;
}

std::unique_ptr<ElfFile> ElfFile::from_memory(Bytes bytes, std::string name, Writable writable) {
  std::unique_ptr<ElfFile> opened{new ElfFile};
  opened->path_ = std::move(name);
  opened->bytes_ = bytes;
  opened->writable_ = writable == Writable::yes;
  return opened->parse() ? std::move(opened) : nullptr;
}

std::unique_ptr<ElfFile> ElfFile::from_buffer(std::vector<std::byte> bytes, std::string name) {
  std::unique_ptr<ElfFile> opened{new ElfFile};
  opened->path_ = std::move(name);
  opened->owned_ = std::move(bytes);
  opened->bytes_ = opened->owned_;
  opened->writable_ = true;
  return opened->parse() ? std::move(opened) : nullptr;
}

bool ElfFile::parse() {
  const auto header = parse_at<elf::Header>(bytes_, 0);
  if (!header || parse_at<std::uint32_t>(bytes_, 0) != std::uint32_t{0x464c457f}) return false;
  if (header->ident[4] != 2 || header->machine != elf::machine_x86_64) return false;
  header_ = *header;
  headers_ = parse_program_headers(bytes_);
  for (const auto& entry : headers_) {
    if (entry.type != elf::pt_note || !build_id_.empty()) continue;
    build_id_ = parse_build_id(slice(bytes_, entry.offset, entry.filesz));
  }
  const auto names_at = parse_at<elf::SectionHeader>(
      bytes_, header->shoff + std::uint64_t{header->shstrndx} * sizeof(elf::SectionHeader));
  const Bytes names =
      names_at && header->shoff != 0 ? slice(bytes_, names_at->offset, names_at->size) : Bytes{};
  for (std::size_t i = 0; i < std::min<std::size_t>(header->shnum, most_headers); ++i) {
    const auto section =
        parse_at<elf::SectionHeader>(bytes_, header->shoff + i * sizeof(elf::SectionHeader));
    if (!section) break;
    sections_.push_back({text_at(names, section->name), *section});
    if (build_id_.empty() &&
        section->type == 7) {  // SHT_NOTE: separate debug files have no segments' bytes
      build_id_ = parse_build_id(slice(bytes_, section->offset, section->size));
    }
  }
  return true;
}

// libdw 0.188 opens whatever path .gnu_debugaltlink names, a pipe as well, and does not look at the
// build-id of what it gets. The supplement is found and proved by us; libdw is shown no such
// section.
void ElfFile::hide_alt_link() const {
  for (std::size_t i = 0; i < sections_.size(); ++i) {
    if (sections_[i].name != ".gnu_debugaltlink") continue;
    const std::uint64_t at =
        header_.shoff + i * sizeof(elf::SectionHeader) + offsetof(elf::SectionHeader, type);
    const Bytes type = slice(bytes_, at, sizeof section_without_bytes);
    if (type.size() == sizeof section_without_bytes)
      std::memcpy(const_cast<std::byte*>(type.data()), &section_without_bytes, type.size());
  }
}

const ElfSection* ElfFile::find_section(std::string_view name) const {
  for (const ElfSection& section : sections_) {
    // In a separate debug file the sections of the program itself are empty shells (SHT_NOBITS).
    if (section.name == name && section.header.type != section_without_bytes) return &section;
  }
  return nullptr;
}

bool ElfFile::has_dwarf() const {
  return find_section(".debug_info") != nullptr;
}

ElfFile::SymbolTable ElfFile::symbol_table(std::string_view name) const {
  const ElfSection* section = find_section(name);
  if (section == nullptr || section->header.link >= sections_.size()) return {};
  const elf::SectionHeader& strings = sections_[section->header.link].header;
  const Bytes rows = slice(bytes_, section->header.offset, section->header.size);
  return {slice(rows, sizeof(elf::Symbol), rows.size()),  // the first is reserved
          slice(bytes_, strings.offset, strings.size), name == ".dynsym"};
}

namespace {

// Not of what is undefined, has no name, or is a section or a file.
std::optional<ElfSymbol> symbol_of(const elf::Symbol& row, Bytes names, bool dynamic) {
  const auto type = static_cast<std::uint8_t>(row.info & 15);
  if (row.shndx == 0 || row.name == 0) return std::nullopt;
  if (type > 2 && type != 10 && type != 6) return std::nullopt;
  return ElfSymbol{slice(names, row.name, names.size()),     row.value, row.size, type,
                   static_cast<std::uint8_t>(row.info >> 4), dynamic};
}

// Most differ from what is wanted in the first letter.
bool is_named(Bytes names, std::uint32_t at, std::string_view wanted) {
  if (at >= names.size() || std::to_integer<char>(names[at]) != wanted.front()) return false;
  const std::string_view text(reinterpret_cast<const char*>(names.data()) + at, names.size() - at);
  return text.starts_with(wanted) && (text.size() == wanted.size() || text[wanted.size()] == '\0');
}

}  // namespace

void ElfFile::each_symbol(const std::function<void(const ElfSymbol&)>& visit) const {
  for (const std::string_view name : {".symtab", ".dynsym"}) {
    const SymbolTable table = symbol_table(name);
    for (std::uint64_t at = 0; at + sizeof(elf::Symbol) <= table.rows.size();
         at += sizeof(elf::Symbol)) {
      const auto symbol =
          symbol_of(*parse_at<elf::Symbol>(table.rows, at), table.names, table.dynamic);
      if (symbol) visit(*symbol);
    }
  }
}

std::optional<ElfSymbol> ElfFile::find_symbol(std::string_view name) const {
  const auto [found, fresh] = found_.try_emplace(std::string(name));
  std::optional<ElfSymbol>& best = found->second;
  if (!fresh || name.empty()) return best;
  for (const std::string_view of : {".symtab", ".dynsym"}) {
    const SymbolTable table = symbol_table(of);
    for (std::uint64_t at = 0; at + sizeof(elf::Symbol) <= table.rows.size();
         at += sizeof(elf::Symbol)) {
      const auto row = *parse_at<elf::Symbol>(table.rows, at);
      if (!is_named(table.names, row.name, name)) continue;
      const auto symbol = symbol_of(row, table.names, table.dynamic);
      if (symbol && (!best || symbol->bind != 0)) best = symbol;
      if (best && best->bind != 0) return best;
    }
  }
  return best;
}

bool ElfFile::imports_any(std::span<const std::string_view> names) const {
  const ElfSection* section = find_section(".dynsym");
  if (section == nullptr || section->header.link >= sections_.size()) return false;
  const elf::SectionHeader& strings = sections_[section->header.link].header;
  const Bytes text = slice(bytes_, strings.offset, strings.size);
  const Bytes rows = slice(bytes_, section->header.offset, section->header.size);
  for (std::uint64_t at = 0; at + sizeof(elf::Symbol) <= rows.size(); at += sizeof(elf::Symbol)) {
    const auto row = *parse_at<elf::Symbol>(rows, at);
    if (row.shndx != 0 || row.name == 0) continue;
    if (std::ranges::find(names, text_at(text, row.name)) != names.end()) return true;
  }
  return false;
}

Bytes ElfFile::at_address(std::uint64_t value, std::uint64_t size) const {
  for (const auto& load : headers_) {
    if (load.type != elf::pt_load || value < load.vaddr || value - load.vaddr >= load.filesz)
      continue;
    const std::uint64_t inside = value - load.vaddr;
    return slice(bytes_, load.offset + inside, std::min(size, load.filesz - inside));
  }
  return {};
}

// Where its functions begin the table says itself, or (1.26 and later) it is where .text begins:
// then the program's entry has to be a function of it, which it is not where a C compiler linked.
const GoTable* ElfFile::go_table() const {
  if (tried_go_) return go_table_ ? &*go_table_ : nullptr;
  tried_go_ = true;
  const ElfSection* section = find_section(".gopclntab");
  if (section == nullptr) section = find_section(".data.rel.ro.gopclntab");
  const ElfSection* text = find_section(".text");
  if (section == nullptr || text == nullptr) return nullptr;
  const auto table = GoTable::parse(slice(bytes_, section->header.offset, section->header.size),
                                    text->header.addr);
  if (!table) return nullptr;
  const auto entry = table->says_text() ? std::nullopt : table->find(header_.entry);
  if (table->says_text() || (entry && entry->entry == header_.entry)) go_table_ = table;
  return go_table_ ? &*go_table_ : nullptr;
}

Elf* ElfFile::elf() const {
  if (!tried_elf_) {
    tried_elf_ = true;
    elf_version(EV_CURRENT);
    if (writable_) hide_alt_link();
    // libelf takes a char* and does not write to it as long as nothing is changed through the
    // handle.
    auto* image = reinterpret_cast<char*>(const_cast<std::byte*>(bytes_.data()));
    elf_.reset(elf_memory(image, bytes_.size()));
  }
  return elf_.get();
}

Dwarf_CFI* ElfFile::cfi() const {
  if (!tried_cfi_ && elf() != nullptr) {
    tried_cfi_ = true;
    cfi_.reset(dwarf_getcfi_elf(elf()));
  }
  return cfi_.get();
}

Dwarf_CFI* ElfFile::debug_cfi() const {
  if (find_section(".debug_frame") == nullptr || dwarf() == nullptr) return nullptr;
  return dwarf_getcfi(dwarf());  // made once, and owned by the Dwarf
}

std::uint64_t ElfFile::inflated_bytes() const {
  std::uint64_t inflated = 0;
  for (const ElfSection& section : sections_) {
    if ((section.header.flags & section_compressed) == 0) continue;
    // struct Elf64_Chdr: type, reserved (u32 each), size, alignment (u64 each).
    inflated += parse_at<std::uint64_t>(bytes_, section.header.offset + 8).value_or(0);
  }
  return inflated;
}

Bytes ElfFile::debug_section(std::string_view name) const {
  const ElfSection* section = find_section(name);
  if (section == nullptr) return {};
  if ((section->header.flags & section_compressed) == 0)
    return slice(bytes_, section->header.offset, section->header.size);
  if (!writable_ || elf() == nullptr || inflated_bytes() > most_inflated) return {};
  Elf_Scn* scn = elf_getscn(elf(), static_cast<std::size_t>(section - sections_.data()));
  if (scn == nullptr || elf_compress(scn, 0, 0) < 0) return {};
  const Elf_Data* data = elf_rawdata(scn, nullptr);
  if (data == nullptr || data->d_buf == nullptr) return {};
  return {static_cast<const std::byte*>(data->d_buf), data->d_size};
}

void ElfFile::done_with(Bytes part) const {
  // Of a file of our own alone: memory that somebody lent may hold what no file does.
  const Bytes mine = mapping_.bytes();
  if (part.empty() || part.data() < mine.data() ||
      part.data() + part.size() > mine.data() + mine.size()) {
    return;
  }
  drop_pages(part);
}

Dwarf* ElfFile::dwarf() const {
  // Not for bytes of the core: those are mapped read-only.
  if (tried_dwarf_ || !writable_ || elf() == nullptr) return dwarf_.get();
  tried_dwarf_ = true;
  const bool worth = has_dwarf() || find_section(".debug_frame") != nullptr;
  if (!worth || inflated_bytes() > most_inflated) return nullptr;
  dwarf_.reset(dwarf_begin_elf(elf(), DWARF_C_READ, nullptr));
  Dwarf* common = dwarf_ && supplement_ != nullptr ? supplement_->dwarf() : nullptr;
  if (common != nullptr) dwarf_setalt(dwarf_.get(), common);
  return dwarf_.get();
}

}  // namespace coldcase
